import Documents

/// What one session did and what was done to it: format `carrel.report/1`, described in Docs/Reports.md.
///
/// Times carry their unit in the name. A figure that is `nil` is not known, since the host has no counter for it.
public struct Report: Sendable, Equatable {
    /// The name and version of the format.
    public static let schema = "carrel.report/1"

    /// The session's name.
    public var session: String
    /// Whose session it was.
    public var tenant: String
    /// Where it ran.
    public var host: Host
    /// The version of Carrel that ran it.
    public var carrel: String
    /// How it was boxed.
    public var profile: Profile
    /// Its base root: an image's name, `host`, or a directory.
    public var image: String
    /// The program and its arguments; written up to 16 KiB, then cut with a mark that says how much.
    public var command: [String]
    /// When Carrel began to launch it.
    public var started: Timestamp
    /// When it was over.
    public var ended: Timestamp
    /// How it ended.
    public var exit: Exit
    /// The limits that the profile and the command line asked for.
    public var limitsAsked: Limits
    /// The limits that the kernel and the supervisor were in fact given.
    public var limitsInForce: Limits
    /// The hierarchy the limits were in: `unified` or `hybrid`.
    public var cgroups: String
    /// The controls that the profile called optional and the host could not give.
    public var absent: [Absence]
    /// What it used.
    public var usage: Usage
    /// How long it waited for what it lacked; `nil` where the host measures no pressure (PSI).
    public var pressure: Pressure?
    /// What left it through the gateway; `nil` of a session without a door.
    public var egress: Egress?
    /// What its memory did, where that was watched.
    public var curve: Curve?
    /// The campaign of measurements that it was a run of.
    public var campaign: Campaign?
    /// In what it was slowed down; empty where it was not.
    public var throttled: [Throttle] = []
    /// The steps of the launch in their order, each with the time it took.
    public var launch: [Phase]
    /// What the system call filter refused, where that was explained (Docs/Seccomp.md); null elsewhere.
    public var denials: Node
    /// What else a reader should know, in words.
    public var notes: [String]

    /// A report with the figures that are not known yet left out.
    public init(
        session: String, tenant: String, host: Host, carrel: String, profile: Profile, image: String,
        command: [String], started: Timestamp, ended: Timestamp, exit: Exit, limitsAsked: Limits = Limits(),
        limitsInForce: Limits = Limits(), cgroups: String, absent: [Absence] = [], usage: Usage = Usage(),
        pressure: Pressure? = nil, egress: Egress? = nil, launch: [Phase] = [], denials: Node = nil,
        notes: [String] = []
    ) {
        self.session = session
        self.tenant = tenant
        self.host = host
        self.carrel = carrel
        self.profile = profile
        self.image = image
        self.command = command
        self.started = started
        self.ended = ended
        self.exit = exit
        self.limitsAsked = limitsAsked
        self.limitsInForce = limitsInForce
        self.cgroups = cgroups
        self.absent = absent
        self.usage = usage
        self.pressure = pressure
        self.egress = egress
        self.launch = launch
        self.denials = denials
        self.notes = notes
    }
}

extension Report {
    /// The machine a session ran on.
    public struct Host: Sendable, Equatable {
        /// Its name (uname(2)).
        public var name: String
        /// This boot of it (`/proc/sys/kernel/random/boot_id`): process ids mean something only within it.
        public var bootID: String

        /// A machine.
        public init(name: String, bootID: String) {
            self.name = name
            self.bootID = bootID
        }
    }

    /// The profile of a session.
    public struct Profile: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// The SHA-256 of its effective content, as hexadecimal digits: two sessions with one digest were boxed alike.
        public var sha256: String

        /// A profile.
        public init(name: String, sha256: String) {
            self.name = name
            self.sha256 = sha256
        }
    }

    /// How a session ended.
    public struct Exit: Sendable, Equatable {
        /// What ended it.
        public enum How: String, Sendable, CaseIterable {
            /// The program ended by itself.
            case exited
            /// A signal ended the program that Carrel did not send.
            case signaled
            /// It came up against its memory limit.
            case oom
            /// It came up against its wall clock limit.
            case timeout
            /// It did nothing for too long.
            case idle
            /// Its budget was spent.
            case budget
            /// Its dummy credential was seen where it does not belong.
            case tripwire
            /// It used all of its processor time.
            case cpuTime
            /// It was beyond its ceiling for too long, and was ended to be started anew.
            case recycled
            /// Someone ended it: `by` tells who.
            case killed
            /// Carrel would not start it. Kept for readers: such a start has no report, but a record in the audit log.
            case refused
            /// Carrel could not go on with it: its request log cannot be written.
            case failed
            /// Its supervisor died; the next call of Carrel cleaned up and knows no more.
            case lost
        }

        /// What ended it.
        public var how: How
        /// The exit status that the caller of Carrel saw, 0 to 255; `nil` when there was no caller left to see one.
        public var status: Int64?
        /// The signal that ended the program, if one did.
        public var signal: Int64?
        /// The whole story in one line, for people.
        public var why: String
        /// Who ended it, where someone did.
        public var by: Actor?
        /// Whose limit it was that it came up against, where it is `oom`; `nil` where nothing tells.
        public var limit: Level?

        /// Whose limit.
        public enum Level: String, Sendable, CaseIterable {
            /// The session's own.
            case session
            /// That of all sessions of its tenant.
            case tenant
            /// That of all sessions of the host, or the host had no more.
            case host
        }

        /// An end.
        public init(how: How, status: Int64?, signal: Int64? = nil, why: String, by: Actor? = nil) {
            self.how = how
            self.status = status
            self.signal = signal
            self.why = why
            self.by = by
        }
    }

    /// A process on the host that did something to a session.
    public struct Actor: Sendable, Equatable {
        /// Its user.
        public var uid: Int64
        /// Its process id, at that time.
        public var pid: Int64
        /// Its name (`/proc/PID/comm`); a process chooses that itself.
        public var comm: String

        /// A process.
        public init(uid: Int64, pid: Int64, comm: String) {
            self.uid = uid
            self.pid = pid
            self.comm = comm
        }
    }

    /// Bounds of a session; `nil` is no bound.
    public struct Limits: Sendable, Equatable {
        /// Memory.
        public var memoryBytes: Int64?
        /// Swap beside the memory.
        public var swapBytes: Int64?
        /// Processes and threads.
        public var pids: Int64?
        /// Processors' worth of time, for example 1.5.
        public var cpus: Double?
        /// Open files of one process.
        public var openFiles: Int64?
        /// The writable file systems in memory.
        public var tmpfs: [Tmpfs]
        /// Time from start to end.
        public var wallClockNanoseconds: Int64?
        /// Time without any progress.
        public var idleNanoseconds: Int64?
        /// Where the kernel begins to slow it down.
        public var memoryHighBytes: Int64?
        /// Processor time in all.
        public var cpuTimeNanoseconds: Int64?
        /// Memory that it is planned with.
        public var ceilingBytes: Int64?
        /// Time beyond its ceiling.
        public var recycleNanoseconds: Int64?
        /// Time between the polite signal and the one that cannot be refused.
        public var graceNanoseconds: Int64?

        /// Bounds.
        public init(
            memoryBytes: Int64? = nil, swapBytes: Int64? = nil, pids: Int64? = nil, cpus: Double? = nil,
            openFiles: Int64? = nil, tmpfs: [Tmpfs] = [], wallClockNanoseconds: Int64? = nil,
            idleNanoseconds: Int64? = nil, graceNanoseconds: Int64? = nil
        ) {
            self.memoryBytes = memoryBytes
            self.swapBytes = swapBytes
            self.pids = pids
            self.cpus = cpus
            self.openFiles = openFiles
            self.tmpfs = tmpfs
            self.wallClockNanoseconds = wallClockNanoseconds
            self.idleNanoseconds = idleNanoseconds
            self.graceNanoseconds = graceNanoseconds
        }
    }

    /// A file system in memory.
    public struct Tmpfs: Sendable, Equatable {
        /// Where the session saw it.
        public var path: String
        /// The most it could hold.
        public var sizeBytes: Int64

        /// A file system in memory.
        public init(path: String, sizeBytes: Int64) {
            self.path = path
            self.sizeBytes = sizeBytes
        }
    }

    /// A control that a session ran without.
    public struct Absence: Sendable, Equatable {
        /// The control, as the profile names it.
        public var name: String
        /// What the host lacks.
        public var reason: String

        /// A control that was absent.
        public init(name: String, reason: String) {
            self.name = name
            self.reason = reason
        }
    }

    /// What a session used, by the kernel's own counters.
    public struct Usage: Sendable, Equatable {
        /// The most memory it held at one time.
        public var memoryPeakBytes: Int64?
        /// The largest resident set that one of its processes had (`ru_maxrss` of getrusage(2)): what guides call a
        /// session's memory. It knows nothing of the other processes, of tmpfs and of the kernel's part, and counts pages
        /// that are everyone's.
        public var residentPeakBytes: Int64?
        /// Page cache that it was charged with at its end: it goes on being charged to the cgroups above.
        public var pageCacheBytes: Int64?
        /// Whether it came up against its memory limit, so that the peak says what it got and not what it wanted.
        public var memoryClipped: Bool
        /// How many of its processes the kernel killed for want of memory.
        public var oomKills: Int64?
        /// Processor time.
        public var cpuNanoseconds: Int64?
        /// The part of it in user mode.
        public var cpuUserNanoseconds: Int64?
        /// The part of it in the kernel.
        public var cpuSystemNanoseconds: Int64?
        /// The most processes and threads it had at one time.
        public var pidsPeak: Int64?
        /// How often the pids limit refused it another.
        public var pidsLimitHits: Int64?

        /// What a session used.
        public init(
            memoryPeakBytes: Int64? = nil, memoryClipped: Bool = false, oomKills: Int64? = nil,
            cpuNanoseconds: Int64? = nil, cpuUserNanoseconds: Int64? = nil, cpuSystemNanoseconds: Int64? = nil,
            pidsPeak: Int64? = nil, pidsLimitHits: Int64? = nil
        ) {
            self.memoryPeakBytes = memoryPeakBytes
            self.memoryClipped = memoryClipped
            self.oomKills = oomKills
            self.cpuNanoseconds = cpuNanoseconds
            self.cpuUserNanoseconds = cpuUserNanoseconds
            self.cpuSystemNanoseconds = cpuSystemNanoseconds
            self.pidsPeak = pidsPeak
            self.pidsLimitHits = pidsLimitHits
        }
    }

    /// That a session was slowed down instead of being ended or refused.
    public struct Throttle: Sendable, Equatable {
        /// What it was slowed down in.
        public enum Resource: String, Sendable, CaseIterable {
            /// Memory, by `memory.high`.
            case memory
            /// Processor time, by its limit of processors.
            case cpu
        }

        /// What it was slowed down in.
        public var resource: Resource
        /// Whose limit it was.
        public var by: Exit.Level
        /// How often.
        public var times: Int64
        /// For how long: for memory what some of its tasks waited for it (PSI), which can have other reasons too;
        /// `nil` where the host does not count it.
        public var stalledMicroseconds: Int64?

        /// That a session was slowed down.
        public init(_ resource: Resource, by: Exit.Level, times: Int64, stalledMicroseconds: Int64?) {
            self.resource = resource
            self.by = by
            self.times = times
            self.stalledMicroseconds = stalledMicroseconds
        }
    }

    /// Pressure stall information of a session's cgroup, summed up over its life.
    public struct Pressure: Sendable, Equatable {
        /// For how long some of a session's tasks waited for a resource, and for how long all of them did at once.
        public struct Stall: Sendable, Equatable {
            /// At least one task waited.
            public var someMicroseconds: Int64
            /// No task could go on.
            public var fullMicroseconds: Int64

            /// A time of waiting.
            public init(someMicroseconds: Int64, fullMicroseconds: Int64) {
                self.someMicroseconds = someMicroseconds
                self.fullMicroseconds = fullMicroseconds
            }
        }

        /// Waiting for a processor.
        public var cpu: Stall?
        /// Waiting for memory.
        public var memory: Stall?
        /// Waiting for disks.
        public var io: Stall?

        /// Pressure, `nil` for what was not measured.
        public init(cpu: Stall? = nil, memory: Stall? = nil, io: Stall? = nil) {
            self.cpu = cpu
            self.memory = memory
            self.io = io
        }
    }

    /// What a session used of the network, as the gateway counted.
    public struct Egress: Sendable, Equatable {
        /// Requests and tunnels that were let through.
        public var requests: Int64
        /// Requests, tunnels and names that were refused.
        public var denied: Int64
        /// Bytes sent to upstreams.
        public var bytesUp: Int64
        /// Bytes received from them.
        public var bytesDown: Int64
        /// Spent, in millionths of a US dollar.
        public var microdollars: Int64
        /// Tokens of all kinds.
        public var tokens: Int64
        /// How often its spending came to its budget's soft mark: once, and again where the budget was raised.
        public var softMarks: Int64

        /// What a session used.
        public init(
            requests: Int64 = 0, denied: Int64 = 0, bytesUp: Int64 = 0, bytesDown: Int64 = 0, microdollars: Int64 = 0,
            tokens: Int64 = 0, softMarks: Int64 = 0
        ) {
            self.requests = requests
            self.denied = denied
            self.bytesUp = bytesUp
            self.bytesDown = bytesDown
            self.microdollars = microdollars
            self.tokens = tokens
            self.softMarks = softMarks
        }
    }

    /// A step of the launch.
    public struct Phase: Sendable, Equatable {
        /// The step.
        public var name: String
        /// The time it took.
        public var microseconds: Int64

        /// A step of the launch.
        public init(_ name: String, microseconds: Int64) {
            self.name = name
            self.microseconds = microseconds
        }
    }
}
