import Documents

/// A system call filter (config-linux.md, "Seccomp").
public struct LinuxSeccomp: SpecObject {
    /// What a call that no rule names does.
    public var defaultAction: LinuxSeccompAction
    /// The errno of the default action `SCMP_ACT_ERRNO` (absent: `EPERM`), or the message of `SCMP_ACT_TRACE`.
    public var defaultErrnoRet: UInt32?
    /// The architectures that the filter knows, `SCMP_ARCH_*`; empty: the host's own.
    public var architectures: [String]
    /// `SECCOMP_FILTER_FLAG_*` for seccomp(2).
    public var flags: [String]
    /// A Unix socket that the notification descriptor is sent to.
    public var listenerPath: String?
    /// Opaque data sent with it.
    public var listenerMetadata: String?
    /// The rules.
    public var syscalls: [LinuxSyscall]

    /// Makes one from its members.
    public init(
        defaultAction: LinuxSeccompAction, defaultErrnoRet: UInt32? = nil, architectures: [String] = [],
        flags: [String] = [], listenerPath: String? = nil, listenerMetadata: String? = nil,
        syscalls: [LinuxSyscall] = []
    ) {
        self.defaultAction = defaultAction
        self.defaultErrnoRet = defaultErrnoRet
        self.architectures = architectures
        self.flags = flags
        self.listenerPath = listenerPath
        self.listenerMetadata = listenerMetadata
        self.syscalls = syscalls
    }

    /// A value to read into.
    public static var blank: Self { Self(defaultAction: .killProcess) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("defaultAction", &defaultAction)
        members("defaultErrnoRet", &defaultErrnoRet)
        members("architectures", &architectures)
        members("flags", &flags)
        members("listenerPath", &listenerPath)
        members("listenerMetadata", &listenerMetadata)
        members("syscalls", &syscalls)
    }
}

/// One rule: calls, and what they do when every argument comparison holds.
public struct LinuxSyscall: SpecObject {
    /// The names of the calls, at least one.
    public var names: [String]
    /// What the calls do.
    public var action: LinuxSeccompAction
    /// As `LinuxSeccomp.defaultErrnoRet`.
    public var errnoRet: UInt32?
    /// Comparisons, of which all must hold; empty: the rule always applies.
    public var args: [LinuxSeccompArg]

    /// Makes one from its members.
    public init(
        names: [String] = [], action: LinuxSeccompAction, errnoRet: UInt32? = nil, args: [LinuxSeccompArg] = []
    ) {
        self.names = names
        self.action = action
        self.errnoRet = errnoRet
        self.args = args
    }

    /// A value to read into.
    public static var blank: Self { Self(action: .killProcess) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("names", &names)
        members("action", &action)
        members("errnoRet", &errnoRet)
        members("args", &args)
    }
}

/// One comparison of an argument. The kernel hands a filter all 64 bits of the register, whatever the type of the
/// parameter: compare an `int` with `SCMP_CMP_MASKED_EQ` and a 32-bit mask.
public struct LinuxSeccompArg: SpecObject {
    /// The argument, 0 to 5.
    public var index: UInt32
    /// What it is compared with; the mask, for `SCMP_CMP_MASKED_EQ`.
    public var value: UInt64
    /// What the masked argument is compared with, for `SCMP_CMP_MASKED_EQ`.
    public var valueTwo: UInt64?
    /// The comparison.
    public var op: LinuxSeccompOperator

    /// Makes one from its members.
    public init(index: UInt32, value: UInt64, valueTwo: UInt64? = nil, op: LinuxSeccompOperator) {
        self.index = index
        self.value = value
        self.valueTwo = valueTwo
        self.op = op
    }

    /// A value to read into.
    public static var blank: Self { Self(index: 0, value: 0, op: .equalTo) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("index", &index)
        members("value", &value)
        members("valueTwo", &valueTwo)
        members("op", &op)
    }
}

/// What a filtered call does (seccomp(2)).
public enum LinuxSeccompAction: String, Sendable, CaseIterable {
    /// Kills the thread; the old name of `killThread`.
    case kill = "SCMP_ACT_KILL"
    /// Kills the process.
    case killProcess = "SCMP_ACT_KILL_PROCESS"
    /// Kills the thread.
    case killThread = "SCMP_ACT_KILL_THREAD"
    /// Sends `SIGSYS`.
    case trap = "SCMP_ACT_TRAP"
    /// Fails with an errno.
    case errno = "SCMP_ACT_ERRNO"
    /// Asks the tracer.
    case trace = "SCMP_ACT_TRACE"
    /// Runs.
    case allow = "SCMP_ACT_ALLOW"
    /// Runs, and is logged.
    case log = "SCMP_ACT_LOG"
    /// Asks the listener.
    case notify = "SCMP_ACT_NOTIFY"
}

/// A comparison of an argument with a value, unsigned, 64 bits wide.
public enum LinuxSeccompOperator: String, Sendable, CaseIterable {
    case notEqual = "SCMP_CMP_NE"
    case lessThan = "SCMP_CMP_LT"
    case lessOrEqual = "SCMP_CMP_LE"
    case equalTo = "SCMP_CMP_EQ"
    case greaterOrEqual = "SCMP_CMP_GE"
    case greaterThan = "SCMP_CMP_GT"
    /// `argument & value == valueTwo`.
    case maskedEqual = "SCMP_CMP_MASKED_EQ"
}
