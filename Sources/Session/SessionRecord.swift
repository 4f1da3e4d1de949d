import Cgroups
import Documents
import EgressPolicy
import Glibc
import OCISpec
import Records
import Syscalls

/// A live session, as `sessions/ID.json` keeps it: what other calls need to reach it, and its supervisor to end it after
/// it has slept.
public struct SessionRecord: Sendable {
    /// The session's name.
    public let id: String
    /// Whose it is.
    public let tenant: String
    /// How it is boxed.
    public let profile: String
    /// What it runs.
    public let command: [String]
    /// The workdir on the host, absolute; `nil` where it has none.
    let workdir: String?
    /// When it started.
    public let started: Timestamp
    /// PID 1 of the session, as the host numbers it.
    public let pid: Int32
    /// When the kernel started that process, in clock ticks since boot: tells it from a later one of the same number.
    public let pidStarted: UInt64
    /// The process that waits for it.
    public let supervisor: Int32
    /// Whether it was started with `--detach`.
    public let isDetached: Bool
    /// Where its cgroup is, below the place of all cgroups of this host; `nil` where it has none.
    public let cgroup: String?
    /// Where that place is, for other calls of the same user, who may have another place or none; `nil`: at the top.
    let cgroupLocation: [String: String]?
    /// The monotonic time of its start, nanoseconds.
    let startedMonotonic: UInt64
    /// What its report will begin with.
    var draft: Node
    /// The specification that it was started from.
    let spec: Node
    /// The file of its system call filter.
    let filter: String
    /// The request by which a gateway serves it (`ControlRequest.open`), without the descriptors; null without a door.
    let door: Node
    /// Whether its supervisor answers and explains what the filter refuses.
    let isExplained: Bool
    /// Whether its calls are being recorded, so that no other program may enter.
    let isRecorded: Bool
    /// Where `--report` wants a copy of the report.
    let reportPath: String?
    /// The most bytes that are kept of a detached session's output.
    let logLimit: Int
    /// What the levels above its cgroup had counted when it started; `nil` where nothing bounds them.
    let levels: LevelCounts?
    /// The base root that it runs on.
    public var image: String { draft["image"]?.string ?? "" }

    init(
        id: String, tenant: String, profile: String, command: [String], workdir: String?,
        started: Timestamp, pid: Int32, supervisor: Int32, isDetached: Bool, cgroup: Cgroup?, startedMonotonic: UInt64,
        draft: Node, spec: Node,
        filter: String, isExplained: Bool = false, isRecorded: Bool = false, door: Node = nil, reportPath: String?,
        logLimit: Int, levels: LevelCounts? = nil
    ) {
        self.id = id
        self.tenant = tenant
        self.profile = profile
        self.command = command
        self.workdir = workdir
        self.started = started
        self.pid = pid
        self.pidStarted = startTime(of: pid) ?? 0
        self.supervisor = supervisor
        self.isDetached = isDetached
        self.cgroup = cgroup?.path.description
        cgroupLocation = cgroup.flatMap { $0.isAtTheTop ? nil : $0.location }
        self.startedMonotonic = startedMonotonic
        self.draft = draft
        self.spec = spec
        self.filter = filter
        self.door = door
        self.isExplained = isExplained
        self.isRecorded = isRecorded
        self.reportPath = reportPath
        self.logLimit = logLimit
        self.levels = levels
    }

    /// The record as a document.
    public var node: Node {
        [
            "schema": "carrel.session/1", "session": Node(.string(id)), "tenant": Node(.string(tenant)),
            "profile": Node(.string(profile)), "command": Node(.sequence(command.map { Node(.string($0)) })),
            "workdir": workdir.map { Node(.string($0)) } ?? nil, "started": Node(.string(started.description)),
            "pid": Node(.integer(Int64(pid))),
            "pidStarted": Node(.integer(Int64(pidStarted))), "supervisor": Node(.integer(Int64(supervisor))),
            "detached": Node(.bool(isDetached)), "cgroup": cgroup.map { Node(.string($0)) } ?? nil,
            "startedMonotonic": Node(.integer(Int64(startedMonotonic))), "filter": Node(.string(filter)),
            "explained": Node(.bool(isExplained)), "recorded": Node(.bool(isRecorded)), "door": door,
            "report": reportPath.map { Node(.string($0)) } ?? nil, "logLimit": Node(.integer(Int64(logLimit))),
            "levels": levels?.node ?? nil,
            "cgroupLocation": cgroupLocation.map {
                Node(.mapping($0.map { Node.Entry(key: $0.key, value: Node(.string($0.value))) }))
            } ?? nil,
            "draft": draft, "spec": spec,
        ]
    }

    /// Reads a record.
    init?(_ node: Node) {
        guard node["schema"]?.string == "carrel.session/1", let id = node["session"]?.string,
            let tenant = node["tenant"]?.string, let profile = node["profile"]?.string,
            let command = node["command"]?.elements, let started = node["started"]?.string.flatMap({ Timestamp($0) }),
            let pid = node["pid"]?.int, let pidStarted = node["pidStarted"]?.int,
            let supervisor = node["supervisor"]?.int, let isDetached = node["detached"]?.bool,
            let startedMonotonic = node["startedMonotonic"]?.int, let draft = node["draft"], let spec = node["spec"],
            let filter = node["filter"]?.string, let logLimit = node["logLimit"]?.int,
            [pidStarted, startedMonotonic, logLimit].allSatisfy({ 0...1 << 60 ~= $0 })
        else { return nil }
        self.id = id
        self.tenant = tenant
        self.profile = profile
        self.command = command.compactMap(\.string)
        workdir = node["workdir"]?.string
        self.started = started
        self.pid = Int32(truncatingIfNeeded: pid)
        self.pidStarted = UInt64(pidStarted)
        self.supervisor = Int32(truncatingIfNeeded: supervisor)
        self.isDetached = isDetached
        cgroup = node["cgroup"]?.string
        cgroupLocation = node["cgroupLocation"]?.entries.map {
            Dictionary($0.map { ($0.key, $0.value.string ?? "") }, uniquingKeysWith: { $1 })
        }
        self.startedMonotonic = UInt64(startedMonotonic)
        self.draft = draft
        self.spec = spec
        self.filter = filter
        door = node["door"] ?? nil
        isExplained = node["explained"]?.bool ?? false
        isRecorded = node["recorded"]?.bool ?? false
        reportPath = node["report"]?.string
        self.logLimit = Int(logLimit)
        levels = node["levels"].flatMap { LevelCounts($0) }
    }
}

// MARK: The directory of live sessions

/// The live sessions of a state directory: a record each, and a marker, a second name of it that tells the supervisor, by
/// which the sweep finds what lost its supervisor without opening anything.
struct LiveSessions {
    let state: StateDirectory

    /// Who cleans up after a session, as the name of its marker tells: `SUPERVISOR-ID`, or `SWEEPER.SUPERVISOR-ID`.
    struct Claim: Equatable {
        let id: String
        let supervisor: Int32
        /// Its supervisor, or after that one's death the process that sweeps.
        var holder: Int32

        /// The name of the marker.
        var name: String { (holder == supervisor ? "" : "\(holder).") + "\(supervisor)-\(id)" }

        init(_ id: String, supervisor: Int32) { (self.id, self.supervisor, holder) = (id, supervisor, supervisor) }

        init?(_ name: String) {
            guard let dash = name.utf8.firstIndex(of: 0x2d) else { return nil }
            let numbers = name[..<dash].utf8.split(separator: UInt8(ascii: ".")).map { Int32(String(Substring($0))) }
            guard let first = numbers.first ?? nil, let last = numbers.last ?? nil, numbers.count <= 2 else {
                return nil
            }
            id = String(name[dash...].dropFirst())
            (holder, supervisor) = (first, last)
        }
    }

    func recordPath(_ id: String) -> String { state["sessions/\(id).json"] }

    func marker(_ claim: Claim) -> String { state["live/\(claim.name)"] }

    /// Takes the name for this process: from here on the sweep cleans up after it.
    ///
    /// Marker and record are two names of one file, and the file of a session that is over serves the next one: ext4 does
    /// not reuse an inode for five seconds after its deletion, and searches past all such ones for each new file, which
    /// costs milliseconds after some thousand sessions (`recently_deleted` in fs/ext4/ialloc.c).
    ///
    /// - Throws: ``SessionError`` where a live session has the name.
    func claim(_ id: String) throws(SessionError) {
        let marker = marker(Claim(id, supervisor: getpid()))
        let record = recordPath(id)
        if link(spent, marker) == 0 {
            do throws(SystemError) {
                return try rename(spent, to: record, replacing: false)
            } catch {
                try? Syscalls.remove(marker)
                if error.errno == .fileExists { throw isRunning(id) }
            }
        }
        // None to reuse, or another call was first.
        try telling("session \(id)") { () throws(SystemError) in
            close(try open(marker, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW))
        }
        if link(marker, record) == 0 { return }
        let error = SystemError.last("link", record)
        try? Syscalls.remove(marker)
        throw error.errno == .fileExists ? isRunning(id) : SessionError("session \(id): \(error)")
    }

    private var spent: String { state["spent"] }

    private func isRunning(_ id: String) -> SessionError {
        SessionError(
            "session \(id) is running already", fix: "choose another --session, or end it: carrel kill \(id)")
    }

    /// Writes the record of a claimed session: the first time in one write to the empty file, later by replacing it.
    func write(_ record: SessionRecord, isFirst: Bool) throws(SessionError) {
        let path = recordPath(record.id)
        let text = record.node.json()
        defer {
            if let end = record.overdue {
                // What is overdue is told by a look at times alone, which carrel run has time for.
                try? setModificationTime(path, inNanoseconds: Int64(end) - Int64(monotonicNanoseconds()))
            }
        }
        try telling("session \(record.id)") { () throws(SystemError) in
            guard isFirst else { return try replaceFile(path, with: text.utf8) }
            try withOpen(path, O_WRONLY | O_NOFOLLOW) { file throws(SystemError) in
                // Over what the last session has left, to the end: blanks cost less than a shorter file, which ext4
                // writes into its journal.
                let left = max(0, try Int(status(file).st_size) - text.utf8.count)
                try writeAll(Array(text.utf8) + repeatElement(0x20, count: left), to: file, named: path)
            }
        }
    }

    /// Makes this process the one that sweeps a session. Should it die at that, the next one takes over from it.
    ///
    /// - Returns: `nil` where another process was first.
    func takeOver(_ claim: Claim) -> Claim? {
        var taken = claim
        taken.holder = getpid()
        return (try? rename(marker(claim), to: marker(taken), replacing: false)) == nil ? nil : taken
    }

    /// Makes the marker of a session anew, which was lost: without it no sweep finds what is left.
    func mark(_ record: SessionRecord) -> Claim {
        let claim = Claim(record.id, supervisor: record.supervisor)
        link(recordPath(record.id), marker(claim))
        return claim
    }

    /// Forgets a session.
    func remove(_ claim: Claim) {
        let id = claim.id
        // Last of all: without it no sweep would find what is left.
        defer { try? Syscalls.remove(marker(claim)) }
        try? Syscalls.remove(state["sessions/\(id).ending"])
        try? Syscalls.remove(state["sessions/\(id).seen"])
        try? Syscalls.remove(egressPath(id))
        let record = recordPath(id)
        do throws(SystemError) {
            try withOpen(record, O_WRONLY | O_NOFOLLOW) { file throws(SystemError) in
                // Blank before it is anyone else's: it held the session's environment.
                let size = Int(try status(file).st_size)
                try writeAll([UInt8](repeating: 0x20, count: size), to: file, named: record)
            }
            try rename(record, to: spent, replacing: true)
        } catch {
            // To be used again is not worth a name that stays taken.
            try? Syscalls.remove(record)
        }
    }

    private func egressPath(_ id: String) -> String { state["sessions/\(id).egress"] }

    /// Writes down what a session has used of the network so far, which its supervisor is told about once a second.
    func note(_ usage: EgressUsage, of id: String) {
        try? replaceFile(egressPath(id), with: usage.node.json().utf8)
    }

    /// What a live session has used of the network so far; `nil` where it has no door.
    func egress(of record: SessionRecord) -> EgressUsage? {
        if record.door.isNull { return nil }
        let path = egressPath(record.id)
        return EgressUsage((try? Node.parse(readFile(path), file: path)) ?? nil)
    }

    /// The record of a session; `nil` where there is none, or it is only just being made.
    func find(_ id: String) -> SessionRecord? {
        guard let bytes = try? readFile(recordPath(id)), bytes.first == UInt8(ascii: "{"),
            let node = try? Node.parse(bytes, file: recordPath(id))
        else { return nil }
        return SessionRecord(node)
    }

    /// All records, by name.
    func all() throws(SessionError) -> [SessionRecord] {
        let names = try telling("sessions") { () throws(SystemError) in try list(state["sessions"]) }
        return names.filter { $0.hasSuffix(".json") }.sorted().compactMap { find(String($0.dropLast(5))) }
    }

    /// Who cleans up after each session, without opening a record.
    func claims() -> [Claim] { ((try? list(state["live"])) ?? []).compactMap { Claim($0) } }

    /// The sessions after which nobody cleans up, by a look at process numbers alone.
    func orphans() -> [Claim] { claims().filter { kill($0.holder, 0) == -1 && errno == ESRCH } }
}

/// Who makes this call, for reports and the audit log.
func caller() -> Report.Actor { actor(getppid(), uid: getuid()) }

/// Who has sent a signal, for reports and the audit log: pid 0 and `terminal` where the kernel did, as for ^C and a hangup.
func sender(of signal: SignalInfo) -> Report.Actor {
    if signal.pid != 0 { return actor(signal.pid, uid: signal.uid) }
    let siKernel: Int32 = 0x80
    return Report.Actor(uid: Int64(signal.uid), pid: 0, comm: signal.code == siKernel ? "terminal" : "")
}

/// A process, for reports and the audit log.
func actor(_ pid: Int32, uid: uid_t) -> Report.Actor {
    let comm = (try? readText("/proc/\(pid)/comm"))?.split(separator: "\n").first.map(String.init) ?? ""
    return Report.Actor(uid: Int64(uid), pid: Int64(pid), comm: comm)
}
