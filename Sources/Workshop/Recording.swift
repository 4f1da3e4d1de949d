import Documents
import OCISpec

/// The system calls that a command made, in one run or in many (`FILE.rec`, JSON).
///
/// Counts are of calls, not of processes. A call that the filter let through counts as allowed whatever the kernel then
/// answered; denied is what the filter itself answered.
public struct Recording: SpecObject {
    /// The version of the format that this writes; it reads no other.
    public static let currentVersion: UInt32 = 1

    /// The version of the format.
    public var version: UInt32
    /// What saw the calls.
    public var source: RecordingSource
    /// The places that were recorded: one, or after a merge each different one.
    public var environments: [RecordedEnvironment]
    /// The commands that were recorded.
    public var commands: [RecordedCommand]
    /// The programs that ran.
    public var executables: [RecordedExecutable]
    /// How many runs this is the union of.
    public var runs: UInt64
    /// What tells a run from every other, a word for each that has one: two runs of one command can be the same in all else.
    public var runIDs: [String]
    /// Calls that happened and could not be recorded. A recording with such is no evidence of absence.
    public var lost: UInt64
    /// Calls through the entry of another architecture (`int 0x80`, x32), whose numbers mean other calls.
    public var foreign: UInt64
    /// The calls, each name once, sorted by name when written.
    public var calls: [RecordedCall]

    /// An empty recording of one run.
    public init(
        source: RecordingSource, environment: RecordedEnvironment, command: [String] = [],
        executables: [RecordedExecutable] = [], lost: UInt64 = 0
    ) {
        version = Self.currentVersion
        self.source = source
        environments = [environment]
        commands = command.isEmpty ? [] : [RecordedCommand(words: command, runs: 1)]
        self.executables = executables
        runs = 1
        runIDs = []
        self.lost = lost
        foreign = 0
        calls = []
    }

    /// A value to read into.
    public static var blank: Self { Self(source: .ebpf, environment: .blank) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("version", &version)
        members("source", &source)
        members("environments", &environments)
        members("commands", &commands)
        members("executables", &executables)
        members("runs", &runs)
        members("runIDs", &runIDs)
        members("lost", &lost)
        members("foreign", &foreign)
        members("calls", &calls)
    }

    /// Counts calls of one name.
    ///
    /// - Parameters:
    ///   - name: the call's name (`CallTable.name`), or `syscall_NUMBER` where it has none.
    ///   - count: how many calls.
    ///   - errno: the filter's answer; `nil`: the filter let them through.
    ///   - scalars: the values of the call's enumerable arguments (`EnumerableArguments`), sorted by index.
    public mutating func add(
        _ name: String, count: UInt64, deniedWith errno: Int32? = nil, scalars: [RecordedScalar] = []
    ) {
        let index: Int
        if let found = calls.firstIndex(where: { $0.name == name }) {
            index = found
        } else {
            index = calls.count
            calls.append(RecordedCall(name: name, runs: 1))
        }
        calls[index].add(count, errno, scalars)
    }
}

/// What saw the calls of a recording.
public enum RecordingSource: String, Sendable, CaseIterable, SpecScalar {
    /// eBPF programs at the entry and the exit of raw system calls.
    case ebpf
    /// A seccomp listener that lets every call continue.
    case notify
    /// The log of strace(1).
    case strace
    /// Several of these, merged.
    case mixed
}

/// Where a recording was made. Two are told apart since another libc or kernel makes other calls of the same command.
public struct RecordedEnvironment: SpecObject, Hashable {
    /// The kernel's release (uname(2)).
    public var kernel: String
    /// The C library inside, for example `glibc 2.36`; empty where it was not told.
    public var libc: String
    /// The architecture as uname(2) calls it: `x86_64` or `aarch64`.
    public var architecture: String
    /// The distribution inside, for example `debian 12`; `nil` where it was not told.
    public var system: String?
    /// What is installed inside: `packages:sha256:` and the digest of the system's name and its list of packages; `nil` where
    /// there is no such list.
    public var image: String?

    /// Where a recording was made.
    public init(
        kernel: String, libc: String = "", architecture: String, system: String? = nil, image: String? = nil
    ) {
        self.kernel = kernel
        self.libc = libc
        self.architecture = architecture
        self.system = system
        self.image = image
    }

    /// A value to read into.
    public static var blank: Self { Self(kernel: "", architecture: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("kernel", &kernel)
        members("libc", &libc)
        members("architecture", &architecture)
        members("system", &system)
        members("image", &image)
    }
}

/// A program that ran.
public struct RecordedExecutable: SpecObject, Hashable {
    /// Its path, as seen inside.
    public var path: String
    /// What tells it from others of this path: `build-id:` and the linker's hash of its content, or `sha256:` and the digest of
    /// the file; `nil` where it could not be read after the run.
    public var identity: String?

    /// A program that ran.
    public init(path: String, identity: String? = nil) {
        self.path = path
        self.identity = identity
    }

    /// A value to read into.
    public static var blank: Self { Self(path: "") }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("path", &path)
        members("identity", &identity)
    }
}

/// One command, and in how many runs it was recorded.
public struct RecordedCommand: SpecObject, Hashable {
    /// The program and its arguments.
    public var words: [String]
    /// In how many runs.
    public var runs: UInt64

    /// One command, and in how many runs it was recorded.
    public init(words: [String], runs: UInt64) {
        self.words = words
        self.runs = runs
    }

    /// A value to read into.
    public static var blank: Self { Self(words: [], runs: 1) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("words", &words)
        members("runs", &runs)
    }
}

/// What was seen of one system call.
public struct RecordedCall: SpecObject {
    /// The call's name, or `syscall_NUMBER`.
    public var name: String
    /// How often the filter let it through.
    public var allowed: UInt64
    /// How often the filter refused it, by its answer.
    public var denied: [RecordedDenial]
    /// In how many runs it was seen.
    public var runs: UInt64
    /// The enumerable arguments' values that were seen, each combination once.
    public var arguments: [RecordedArguments]
    /// Calls whose values were not kept (too many different ones). Their call cannot be narrowed by arguments.
    public var unlisted: UInt64

    /// A call that was not seen yet.
    public init(name: String, runs: UInt64) {
        self.name = name
        self.runs = runs
        (allowed, denied, arguments, unlisted) = (0, [], [], 0)
    }

    /// A value to read into.
    public static var blank: Self { Self(name: "", runs: 1) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("name", &name)
        members("allowed", &allowed)
        members("denied", &denied)
        members("runs", &runs)
        members("arguments", &arguments)
        members("unlisted", &unlisted)
    }

    /// How often it was called at all.
    public var count: UInt64 { denied.reduce(allowed) { $0 + $1.count } }

    fileprivate mutating func add(_ count: UInt64, _ errno: Int32?, _ scalars: [RecordedScalar]) {
        if let errno { addDenial(RecordedDenial(errno: errno, count: count)) } else { allowed += count }
        if scalars.isEmpty { return }
        var seen = RecordedArguments(scalars: scalars, runs: 1)
        if errno == nil { seen.allowed = count } else { seen.denied = count }
        addArguments(seen, runs: 0)
    }

    mutating func addDenial(_ denial: RecordedDenial) {
        if let found = denied.firstIndex(where: { $0.errno == denial.errno }) {
            denied[found].count += denial.count
        } else {
            denied.append(denial)
        }
    }

    /// - Parameter runs: in how many more runs, if the combination was seen before.
    mutating func addArguments(_ seen: RecordedArguments, runs: UInt64) {
        if let found = arguments.firstIndex(where: { $0.scalars == seen.scalars }) {
            arguments[found].allowed += seen.allowed
            arguments[found].denied += seen.denied
            arguments[found].runs += runs
        } else {
            arguments.append(seen)
        }
    }
}

/// How often the filter answered a call with an errno.
public struct RecordedDenial: SpecObject {
    /// The filter's answer; 0: success without a call.
    public var errno: Int32
    /// How often.
    public var count: UInt64

    /// How often the filter answered a call with an errno.
    public init(errno: Int32, count: UInt64) {
        self.errno = errno
        self.count = count
    }

    /// A value to read into.
    public static var blank: Self { Self(errno: 0, count: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("errno", &errno)
        members("count", &count)
    }
}

/// One combination of a call's enumerable arguments.
public struct RecordedArguments: SpecObject {
    /// The arguments, sorted by index.
    public var scalars: [RecordedScalar]
    /// How often the filter let it through.
    public var allowed: UInt64
    /// How often the filter refused it.
    public var denied: UInt64
    /// In how many runs it was seen.
    public var runs: UInt64

    /// A combination that was not counted yet.
    public init(scalars: [RecordedScalar], runs: UInt64) {
        self.scalars = scalars
        self.runs = runs
        (allowed, denied) = (0, 0)
    }

    /// A value to read into.
    public static var blank: Self { Self(scalars: [], runs: 1) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("scalars", &scalars)
        members("allowed", &allowed)
        members("denied", &denied)
        members("runs", &runs)
    }
}

/// One argument's value, as far as it was looked at.
public struct RecordedScalar: SpecObject, Hashable {
    /// The argument, 0 to 5.
    public var index: UInt32
    /// The bits of the register that were looked at.
    public var mask: UInt64
    /// Their value: `register & mask`.
    public var value: UInt64

    /// One argument's value, as far as it was looked at.
    public init(index: UInt32, mask: UInt64, value: UInt64) {
        self.index = index
        self.mask = mask
        self.value = value
    }

    /// A value to read into.
    public static var blank: Self { Self(index: 0, mask: .max, value: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("index", &index)
        members("mask", &mask)
        members("value", &value)
    }
}
