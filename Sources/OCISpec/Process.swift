import Documents

/// The process that a container runs.
public struct Process: SpecObject {
    /// Whether a pseudo-terminal is attached to it.
    public var terminal: Bool
    /// The size of the terminal.
    public var consoleSize: Box?
    /// The ids it runs with.
    public var user: User
    /// The argument vector; at least one element is needed to start.
    public var args: [String]
    /// The environment, as `NAME=value`.
    public var env: [String]
    /// The working directory, an absolute path inside.
    public var cwd: String
    /// The capabilities that it keeps; none are kept where this is absent.
    public var capabilities: LinuxCapabilities?
    /// Resource limits, each type once.
    public var rlimits: [POSIXRlimit]
    /// Whether no program that it executes can gain privileges (`PR_SET_NO_NEW_PRIVS`).
    public var noNewPrivileges: Bool
    /// The AppArmor profile.
    public var apparmorProfile: String?
    /// The value of `/proc/self/oom_score_adj`, -1000 to 1000; absent: unchanged.
    public var oomScoreAdj: Int64?
    /// The scheduling policy (sched_setattr(2)).
    public var scheduler: Scheduler?
    /// The SELinux label.
    public var selinuxLabel: String?
    /// The I/O scheduling class (ioprio_set(2)).
    public var ioPriority: LinuxIOPriority?
    /// The CPUs of processes that enter by `exec`.
    public var execCPUAffinity: CPUAffinity?

    /// Makes one from its members.
    public init(
        terminal: Bool = false, consoleSize: Box? = nil, user: User = User(), args: [String] = [], env: [String] = [],
        cwd: String = "/", capabilities: LinuxCapabilities? = nil, rlimits: [POSIXRlimit] = [],
        noNewPrivileges: Bool = false, apparmorProfile: String? = nil, oomScoreAdj: Int64? = nil,
        scheduler: Scheduler? = nil, selinuxLabel: String? = nil, ioPriority: LinuxIOPriority? = nil,
        execCPUAffinity: CPUAffinity? = nil
    ) {
        self.terminal = terminal
        self.consoleSize = consoleSize
        self.user = user
        self.args = args
        self.env = env
        self.cwd = cwd
        self.capabilities = capabilities
        self.rlimits = rlimits
        self.noNewPrivileges = noNewPrivileges
        self.apparmorProfile = apparmorProfile
        self.oomScoreAdj = oomScoreAdj
        self.scheduler = scheduler
        self.selinuxLabel = selinuxLabel
        self.ioPriority = ioPriority
        self.execCPUAffinity = execCPUAffinity
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members.flag("terminal", &terminal)
        members("consoleSize", &consoleSize)
        members("user", &user)
        members("args", &args)
        members("env", &env)
        members("cwd", &cwd)
        members("capabilities", &capabilities)
        members("rlimits", &rlimits)
        members.flag("noNewPrivileges", &noNewPrivileges)
        members("apparmorProfile", &apparmorProfile)
        members("oomScoreAdj", &oomScoreAdj)
        members("scheduler", &scheduler)
        members("selinuxLabel", &selinuxLabel)
        members("ioPriority", &ioPriority)
        members("execCPUAffinity", &execCPUAffinity)
    }
}

/// The size of a terminal, in characters.
public struct Box: SpecObject {
    /// Lines.
    public var height: UInt32
    /// Columns.
    public var width: UInt32

    /// Makes one from its members.
    public init(height: UInt32, width: UInt32) {
        self.height = height
        self.width = width
    }

    /// A value to read into.
    public static var blank: Self { Self(height: 0, width: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("height", &height)
        members("width", &width)
    }
}

/// The ids of a process, as seen inside the container.
public struct User: SpecObject {
    /// The user id.
    public var uid: UInt32
    /// The group id.
    public var gid: UInt32
    /// The file mode creation mask; absent: unchanged.
    public var umask: UInt32?
    /// Supplementary groups.
    public var additionalGids: [UInt32]

    /// Makes one from its members.
    public init(uid: UInt32 = 0, gid: UInt32 = 0, umask: UInt32? = nil, additionalGids: [UInt32] = []) {
        self.uid = uid
        self.gid = gid
        self.umask = umask
        self.additionalGids = additionalGids
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("uid", &uid)
        members("gid", &gid)
        members("umask", &umask)
        members("additionalGids", &additionalGids)
    }
}

/// The five capability sets of capabilities(7), names as in `CAP_KILL`.
public struct LinuxCapabilities: SpecObject {
    /// What no program executed can exceed.
    public var bounding: [String]
    /// What is in force.
    public var effective: [String]
    /// What is kept over execve(2) of a file that has it in its inheritable set.
    public var inheritable: [String]
    /// What can be put in force.
    public var permitted: [String]
    /// What is kept over execve(2) of an ordinary file.
    public var ambient: [String]

    /// Makes one from its members.
    public init(
        bounding: [String] = [], effective: [String] = [], inheritable: [String] = [], permitted: [String] = [],
        ambient: [String] = []
    ) {
        self.bounding = bounding
        self.effective = effective
        self.inheritable = inheritable
        self.permitted = permitted
        self.ambient = ambient
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("bounding", &bounding)
        members("effective", &effective)
        members("inheritable", &inheritable)
        members("permitted", &permitted)
        members("ambient", &ambient)
    }
}

/// One resource limit of setrlimit(2).
public struct POSIXRlimit: SpecObject {
    /// The resource, for example `RLIMIT_NOFILE`.
    public var type: String
    /// The hard limit; `UInt64.max` is `RLIM_INFINITY`.
    public var hard: UInt64
    /// The soft limit, at most the hard one.
    public var soft: UInt64

    /// Makes one from its members.
    public init(type: String, hard: UInt64, soft: UInt64) {
        self.type = type
        self.hard = hard
        self.soft = soft
    }

    /// A value to read into.
    public static var blank: Self { Self(type: "", hard: 0, soft: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("type", &type)
        members("hard", &hard)
        members("soft", &soft)
    }
}

/// The scheduling attributes of sched_setattr(2).
public struct Scheduler: SpecObject {
    /// The policy.
    public var policy: LinuxSchedulerPolicy
    /// The nice value, for `SCHED_OTHER` and `SCHED_BATCH`.
    public var nice: Int32?
    /// The static priority, for `SCHED_FIFO` and `SCHED_RR`.
    public var priority: Int32?
    /// `SCHED_FLAG_*` names.
    public var flags: [String]
    /// Nanoseconds, for `SCHED_DEADLINE`.
    public var runtime: UInt64?
    /// Nanoseconds, for `SCHED_DEADLINE`.
    public var deadline: UInt64?
    /// Nanoseconds, for `SCHED_DEADLINE`.
    public var period: UInt64?

    /// Makes one from its members.
    public init(
        policy: LinuxSchedulerPolicy = .other, nice: Int32? = nil, priority: Int32? = nil, flags: [String] = [],
        runtime: UInt64? = nil, deadline: UInt64? = nil, period: UInt64? = nil
    ) {
        self.policy = policy
        self.nice = nice
        self.priority = priority
        self.flags = flags
        self.runtime = runtime
        self.deadline = deadline
        self.period = period
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("policy", &policy)
        members("nice", &nice)
        members("priority", &priority)
        members("flags", &flags)
        members("runtime", &runtime)
        members("deadline", &deadline)
        members("period", &period)
    }
}

/// A scheduling policy of sched(7).
public enum LinuxSchedulerPolicy: String, Sendable, CaseIterable {
    /// Time sharing.
    case other = "SCHED_OTHER"
    /// First in, first out.
    case fifo = "SCHED_FIFO"
    /// Round robin.
    case roundRobin = "SCHED_RR"
    /// Batch.
    case batch = "SCHED_BATCH"
    /// Reserved, not in Linux.
    case iso = "SCHED_ISO"
    /// Background.
    case idle = "SCHED_IDLE"
    /// Earliest deadline first.
    case deadline = "SCHED_DEADLINE"
}

/// An I/O priority of ioprio_set(2).
public struct LinuxIOPriority: SpecObject {
    /// The class.
    public var `class`: IOPriorityClass
    /// The level within the class, 0 (highest) to 7.
    public var priority: Int64

    /// Makes one from its members.
    public init(class: IOPriorityClass, priority: Int64) {
        self.class = `class`
        self.priority = priority
    }

    /// A value to read into.
    public static var blank: Self { Self(class: .idle, priority: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("class", &`class`)
        members("priority", &priority)
    }
}

/// An I/O scheduling class.
public enum IOPriorityClass: String, Sendable, CaseIterable {
    /// Served first.
    case realtime = "IOPRIO_CLASS_RT"
    /// The usual class.
    case bestEffort = "IOPRIO_CLASS_BE"
    /// Served when nobody else asks.
    case idle = "IOPRIO_CLASS_IDLE"
}

/// The CPUs of processes that enter a running container, as lists like `0-3,7`.
public struct CPUAffinity: SpecObject {
    /// The CPUs before the process joins the container's cgroup.
    public var initial: String?
    /// The CPUs after it joined.
    public var `final`: String?

    /// Makes one from its members.
    public init(initial: String? = nil, final: String? = nil) {
        self.initial = initial
        self.final = `final`
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("initial", &initial)
        members("final", &final)
    }
}
