import Documents

/// How sessions of one kind are boxed: a profile with everything that it extends merged in, checked whole.
///
/// `Docs/Profiles.md` describes every field. The values written here are those of a field that no file sets.
public struct Profile: Sendable, Equatable {
    /// The name that it was asked for by, without directory and `.yaml`.
    public var name = ""
    /// What it is for, in a line.
    public var description = ""
    /// The base root.
    public var image = Image.host
    /// Who the session runs as, as seen inside.
    public var user = User()
    /// The session's environment; nothing else is in it but what the launcher sets (`HOME`, `USER`, `LOGNAME`).
    public var environment = Environment()
    /// Host paths shown inside, beside the workdir and the config directory.
    public var mounts: [Mount] = []
    /// The tenant's working tree.
    public var workdir = Workdir()
    /// The tenant's agent settings and memory; `nil`: the session has no config directory.
    public var config: Config?
    /// What the session can use.
    public var limits = Limits()
    /// The seccomp filter.
    public var seccomp = Filter(name: "agent-default", path: "")
    /// What can be executed.
    public var exec = Exec()
    /// What Landlock cuts off from the host, beneath the namespaces.
    public var scopes: [Scope] = [.abstractSocket, .signal]
    /// What of the network is reachable.
    public var network = Network.isolated
    /// What the gateway lets through.
    public var egress = Egress()
    /// Controls whose absence on a host is no refusal to start; the report tells it.
    public var optionalControls: [Control] = []
    /// The file mode creation mask.
    public var umask: UInt32 = 0o022
    /// Where each value came from.
    var trace = ProfileTrace()
    /// The files that it was read from: the profile asked for, then what it extends.
    public internal(set) var files: [String] = []

    /// Whether both box sessions alike, wherever their values came from.
    public static func == (left: Profile, right: Profile) -> Bool { left.name == right.name && left.node == right.node }
}

extension Profile {
    /// The base root of a session.
    public enum Image: Sendable, Equatable {
        /// The host's `/usr`, read-only.
        case host
        /// A prepared directory that the operator has given a name: `images/NAME` of the catalog, and where that is.
        case named(String, path: String)
        /// A prepared directory, an absolute path on the host.
        case directory(String)
    }

    /// Who a session runs as.
    public struct User: Sendable, Equatable {
        /// The user id inside.
        public var uid: UInt32 = 1000
        /// The group id inside.
        public var gid: UInt32 = 1000
        /// The login name.
        public var name = "agent"
        /// The home directory, a tmpfs.
        public var home = "/home/agent"
    }

    /// What a session finds in its environment.
    public struct Environment: Sendable, Equatable {
        /// Variables and their values, sorted by name.
        public var set: [Variable] = []
        /// Names taken from the caller where it has them; the caller's value then stands before that of `set`.
        public var pass: [String] = []

        /// One variable.
        public struct Variable: Sendable, Equatable {
            /// Its name.
            public var name: String
            /// Its value.
            public var value: String
        }
    }

    /// What a session can do with a directory of the host.
    public enum Access: String, Sendable, CaseIterable {
        /// Look.
        case readOnly = "read-only"
        /// Change.
        case readWrite = "read-write"
    }

    /// A host path shown inside.
    public struct Mount: Sendable, Equatable {
        /// The path on the host.
        public var source: String
        /// The path inside.
        public var target: String
        /// What the session can do with it.
        public var access = Access.readOnly
        /// Whether a source that does not exist is left out; otherwise it is a refusal to start.
        public var optional = false
        /// Whether programs in it can be executed.
        public var executable = true
        /// Whether it is of the command line: no symbolic link leads to its source then, nor when it is mounted.
        public var isOfCommandLine = false
    }

    /// The tenant's working tree inside.
    public struct Workdir: Sendable, Equatable {
        /// The path inside.
        public var target = "/workspace"
        /// What the session can do with it.
        public var access = Access.readWrite
        /// Paths and globs, relative to the tree, that are read-only inside; a plain path even when nothing is there yet.
        public var protect: [String] = []
        /// Globs, relative to the tree, of what reads as absent or empty.
        public var deny: [String] = []
    }

    /// The tenant's config directory inside.
    public struct Config: Sendable, Equatable {
        /// The path inside.
        public var target: String
        /// The environment variable that names it to the agent; `nil`: none does.
        public var variable: String?
    }

    /// What a session can use. Sizes are in bytes, durations in nanoseconds; `nil` is no limit.
    public struct Limits: Sendable, Equatable {
        /// Memory, tmpfs pages included.
        public var memory = 1 << 30
        /// Where the kernel begins to slow the session down instead of giving it more memory; unified hosts only.
        public var memoryHigh: Int?
        /// Swap beyond it.
        public var swap = 0
        /// Tasks: processes and threads.
        public var pids = 256
        /// Processors' worth of time, in thousandths.
        public var cpus: Int? = 2000
        /// Open descriptors a process.
        public var openFiles = 1024
        /// The size of `/tmp`.
        public var tmp = 256 << 20
        /// The size of the home directory.
        public var home = 64 << 20
        /// The size of `/dev/shm`.
        public var shm = 64 << 20
        /// How long the session can last.
        public var wallClock: Int64? = 3600 * 1_000_000_000
        /// How long it can do nothing.
        public var idle: Int64?
        /// How much processor time it can use in all.
        public var cpuTime: Int64?
        /// The memory that it is planned with; what it uses beyond, it should not use for long.
        public var ceiling: Int?
        /// How long it can be beyond its ceiling before it is ended, to be started anew.
        public var recycle: Int64?
        /// How long it has between SIGTERM and SIGKILL.
        public var grace: Int64 = 10 * 1_000_000_000
        /// How much of a detached session's output is kept.
        public var log = 16 << 20
        /// How readily the kernel kills it when the host runs out of memory (`/proc/PID/oom_score_adj`).
        public var oomScoreAdj = 500
    }

    /// A seccomp filter.
    public struct Filter: Sendable, Equatable {
        /// As the profile names it.
        public var name: String
        /// The file that was found for it.
        public var path: String
        /// Whether the supervisor answers what it refuses, and writes down what that was.
        public var explain = false
    }

    /// What can be executed in a session.
    public struct Exec: Sendable, Equatable {
        /// The only programs, as absolute paths inside, with the interpreters and libraries that they need; `nil`: all
        /// that the read-only root has.
        public var allow: [String]?
        /// Writable places from which programs can be executed.
        public var from: [Place] = []

        /// A writable place of a session.
        public enum Place: String, Sendable, CaseIterable {
            /// The working tree.
            case workdir
            /// The config directory.
            case config
            /// The home directory.
            case home
            /// `/tmp`.
            case tmp
        }
    }

    /// What Landlock keeps a session from reaching outside itself (landlock(7), ABI 6).
    public enum Scope: String, Sendable, CaseIterable {
        /// Abstract Unix sockets.
        case abstractSocket = "abstract-socket"
        /// Signals.
        case signal
    }

    /// What of the network a session reaches.
    public enum Network: String, Sendable, CaseIterable {
        /// Nothing but its own loopback.
        case isolated = "none"
        /// What the host's gateway lets through by `egress`, and nothing where that has no rule.
        case gateway
    }

    /// A control that some hosts cannot give.
    public enum Control: String, Sendable, CaseIterable {
        /// `limits.memory`.
        case memory
        /// `limits.memoryHigh`.
        case memoryHigh = "memory.high"
        /// `limits.swap`.
        case swap
        /// `limits.pids`.
        case pids
        /// `limits.cpus`.
        case cpus
        /// Id-mapped mounts of the tenant's directories.
        case idmap
        /// `exec.allow`.
        case landlockExec = "landlock.exec"
        /// `scopes`.
        case landlockScope = "landlock.scope"
    }
}
