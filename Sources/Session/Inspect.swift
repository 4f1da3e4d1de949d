import Cgroups
import Documents
import EgressPolicy
import Glibc
import Records
import Syscalls
import SystemPackage

/// A live session, as `carrel ps` shows it.
public struct SessionStatus: Sendable {
    /// The session's name.
    public let id: String
    /// Whose it is.
    public let tenant: String
    /// How it is boxed.
    public let profile: String
    /// What it runs.
    public let command: [String]
    /// When it started.
    public let started: Timestamp
    /// PID 1 of the session, as the host numbers it.
    public let pid: Int32
    /// Whether it was started with `--detach`.
    public let isDetached: Bool
    /// `running` or `paused`.
    public let state: String
    /// Bytes of memory that the session is charged with now; `nil` where the host does not count.
    public let memoryBytes: UInt64?
    /// The most bytes that it may be charged with.
    public let memoryLimitBytes: UInt64?
    /// Processes and threads.
    public let pids: UInt64?
    /// CPU time, nanoseconds.
    public let cpuNanoseconds: UInt64?

    /// The status as a document.
    public var node: Node {
        [
            "session": Node(.string(id)), "tenant": Node(.string(tenant)), "profile": Node(.string(profile)),
            "command": Node(.sequence(command.map { Node(.string($0)) })),
            "started": Node(.string(started.description)), "pid": Node(.integer(Int64(pid))),
            "detached": Node(.bool(isDetached)), "state": Node(.string(state)), "memoryBytes": Node(count: memoryBytes),
            "memoryLimitBytes": Node(count: memoryLimitBytes), "pids": Node(count: pids),
            "cpuNanoseconds": Node(count: cpuNanoseconds),
        ]
    }
}

extension Node {
    /// A number, or `null` where it is not known.
    init(count: UInt64?) { self = count.map { Node(.integer(Int64(clamping: $0))) } ?? nil }
}

/// What a live session has used, as `carrel stats` shows it.
public struct SessionStatistics: Sendable {
    /// The session's name.
    public let id: String
    /// Whose it is.
    public let tenant: String
    /// What the kernel counted; `nil` where the session has no cgroup.
    public let usage: CgroupUsage?

    /// The statistics as a document.
    public var node: Node {
        func pressure(_ value: CgroupUsage.Pressure?) -> Node {
            value.map { ["someMicroseconds": Node(count: $0.some), "fullMicroseconds": Node(count: $0.full)] } ?? nil
        }
        return [
            "session": Node(.string(id)), "tenant": Node(.string(tenant)), "memoryBytes": Node(count: usage?.memory),
            "memoryPeakBytes": Node(count: usage?.memoryPeak), "memoryLimitBytes": Node(count: usage?.memoryMax),
            "memoryLimitHits": Node(count: usage?.memoryLimitHits), "oomKills": Node(count: usage?.oomKills),
            "pids": Node(count: usage?.pids), "pidsPeak": Node(count: usage?.pidsPeak),
            "pidsLimit": Node(count: usage?.pidsMax), "pidsLimitHits": Node(count: usage?.pidsLimitHits),
            "cpuNanoseconds": Node(count: usage?.cpu), "cpuUserNanoseconds": Node(count: usage?.cpuUser),
            "cpuSystemNanoseconds": Node(count: usage?.cpuSystem),
            "pressure": [
                "cpu": pressure(usage?.cpuPressure), "memory": pressure(usage?.memoryPressure),
                "io": pressure(usage?.ioPressure),
            ],
        ]
    }
}

extension Carrel {
    var live: LiveSessions { LiveSessions(state: state) }

    /// The record of a live session.
    ///
    /// - Throws: ``SessionError`` where none has the name, with the nearest that there is.
    func find(_ id: String) throws(SessionError) -> SessionRecord {
        sweepAll()
        if let record = live.find(id) { return record }
        let names = try live.all().map(\.id)
        let hint = nearest(id, in: names).map { "did you mean \($0)?" } ?? "see carrel ps"
        throw SessionError("there is no session \"\(id)\"", fix: hint)
    }

    func cgroup(of record: SessionRecord) -> Cgroup? { record.openCgroup() }

    /// All live sessions, by name.
    public func sessions() throws(SessionError) -> [SessionStatus] {
        sweepAll()
        return try live.all().map { record in
            let cgroup = cgroup(of: record)
            let usage = cgroup?.usage()
            let isFrozen = cgroup.flatMap { try? $0.isFrozen() } ?? false
            return SessionStatus(
                id: record.id, tenant: record.tenant, profile: record.profile, command: record.command,
                started: record.started, pid: record.pid, isDetached: record.isDetached,
                state: isFrozen ? "paused" : "running", memoryBytes: usage?.memory,
                memoryLimitBytes: usage?.memoryMax, pids: usage?.pids, cpuNanoseconds: usage?.cpu)
        }
    }

    /// What one live session has used, or all of them.
    public func statistics(_ id: String?) throws(SessionError) -> [SessionStatistics] {
        let records: [SessionRecord]
        if let id {
            records = [try find(id)]
        } else {
            sweepAll()
            records = try live.all()
        }
        return records.map {
            SessionStatistics(id: $0.id, tenant: $0.tenant, usage: cgroup(of: $0)?.usage())
        }
    }

    /// The report of a session that is over: the newest of that name in the ledger.
    ///
    /// - Throws: ``SessionError`` where there is none, or the session still runs.
    public func report(_ id: String) throws(SessionError) -> Report {
        sweepAll()
        if live.find(id) != nil {
            throw SessionError("session \(id) is running: its report is written when it ends", fix: "carrel wait \(id)")
        }
        let found = try telling("ledger") { () throws(SystemError) in try Recorder(state).ledger.newest(of: id) }
        if let found { return found }
        let damage = try telling("ledger") { () throws(SystemError) in try Recorder(state).ledger.forEachReport { _ in }
        }
        throw SessionError("the ledger has no report of a session \"\(id)\"" + (damage.map { "; \($0)" } ?? ""))
    }

    /// Waits until a session is over and gives its report.
    public func wait(_ id: String) throws(SessionError) -> Report {
        var ended: Int32?
        while true {
            // First: the number of a supervisor that is gone may be another process's by now.
            sweepAll()
            guard let record = live.find(id) else { break }
            // Its supervisor, or who sweeps in its place.
            let holder = live.claims().first { $0.id == id }?.holder ?? record.supervisor
            if holder == ended {
                throw SessionError(
                    "session \(id) is over, and what it left cannot be removed",
                    fix: "see whether \(state.path) can be written")
            }
            if let process = try? pidfdOpen(holder) {
                defer { close(process) }
                _ = try? poll([(process, .readable)])
            }
            ended = holder
        }
        return try report(id)
    }

    /// What a detached session has written: as much of it as the profile's `limits.log` keeps.
    public func log(of id: String) throws(SessionError) -> [UInt8] {
        try checkName(id, of: "session")
        let path = state["logs/\(id)"]
        guard exists(path) || exists(SessionLog.older(path)) else {
            if let record = live.find(id) {
                return record.isDetached ? [] : try noLog(id)
            }
            return try noLog(id)
        }
        return SessionLog.contents(path)
    }

    private func noLog(_ id: String) throws(SessionError) -> [UInt8] {
        throw SessionError(
            "there is no log of a session \"\(id)\"",
            fix: "only sessions started with --detach have one, once they have written something")
    }

    /// Writes what a detached session has written to `output`, and what it writes from now on, until it is over.
    public func followLog(of id: String, to output: FileDescriptor) throws(SessionError) {
        let path = state["logs/\(id)"]
        // The directory is watched, since the file is replaced when it is full.
        let watch = try telling("log") { () throws(SystemError) in
            let watch = try inotifyInit()
            _ = try inotifyAdd(watch, state["logs"], UInt32(IN_MODIFY) | UInt32(IN_MOVED_FROM) | UInt32(IN_CREATE))
            return watch
        }
        defer { close(watch) }
        try telling("log") { () throws(SystemError) in
            try writeAll((try? readFile(SessionLog.older(path), limit: 1 << 32)) ?? [], to: output)
        }
        var file: FileDescriptor?
        var inode: ino_t = 0
        while true {
            let isOver = live.find(id) == nil
            if file == nil, let opened = try? open(path, O_RDONLY | O_NOFOLLOW) {
                file = opened
                inode = (try? status(opened).st_ino) ?? 0
            }
            if let opened = file {
                try telling("log") { () throws(SystemError) in
                    try writeAll(try readAll(opened, limit: 1 << 32), to: output)
                }
                // The rest of a file that was put aside has been read: on with the new one.
                if (try? status(path).st_ino) != inode {
                    close(opened)
                    file = nil
                    if exists(path) { continue }
                }
            }
            if isOver { return }
            _ = try? poll([(watch, .readable)], timeout: 500)
            // What the events say is looked at by the next turn: here they only have to be gone.
            var events = [UInt8](repeating: 0, count: 4096)
            while read(watch.rawValue, &events, events.count) > 0 {}
        }
    }

    /// Checks the audit log from its first record to its last.
    ///
    /// - Parameter noted: a place in the chain that was written down elsewhere.
    public func verifyAudit(noted: AuditHead? = nil) throws(SessionError) -> AuditVerification {
        try refuseMissing(state["audit.jsonl"], "audit log", "nothing was decided")
        return try telling("audit log") { () throws(SystemError) in try Recorder(state).audit.verify(noted: noted) }
    }

    /// Checks the gateway's request log, as ``verifyAudit(noted:)`` does the audit log.
    public func verifyRequests(noted: AuditHead? = nil) throws(SessionError) -> AuditVerification {
        let path = GatewayPlaces(state: state.path).requests
        try refuseMissing(path, "request log", "no session had a way out")
        let log = AuditLog(path)
        return try telling("request log") { () throws(SystemError) in try log.verify(noted: noted) }
    }

    /// Tells a log that was never begun from one that is gone: that one's head is left.
    private func refuseMissing(_ log: String, _ what: String, _ why: String) throws(SessionError) {
        if exists(log) || exists(log + ".head") { return }
        throw SessionError("there is no \(what): \(why) in \(state.path) yet")
    }

    /// Puts the audit log aside as an archive.
    ///
    /// - Parameter most: how many archives are kept, the oldest being removed; `nil` for all.
    /// - Returns: the archive; `nil` where the log is empty, or its end is not what was written.
    public func rotateAudit(keeping most: Int?) throws(SessionError) -> String? {
        try telling("audit log") { () throws(SystemError) in try Recorder(state).audit.rotate(keeping: most) }
    }

    /// The OCI specification that a session would run from. Nothing is made in the workdir, so protected files that do
    /// not exist are not in it.
    public func specification(_ request: SessionRequest) throws(SessionError) -> Node {
        let id = request.session ?? "example"
        try checkName(id, of: "session")
        try request.checkPlaces()
        let profile = try load(request.profile, request.overrides)
        let parts = SessionParts(
            id: id, profile: profile, tenant: try Tenant.open(request.tenant, in: state),
            workdir: try request.workdir.map(absolute), command: request.command,
            terminal: request.wantsTerminal ? WindowSize(rows: 24, columns: 80) : nil, state: state)
        var composed = try compose(parts, guarding: false)
        composed.spec.linux?.seccomp = try filterSource(profile)
        if let root = composed.spec.root { Images.keep(root.path) }
        return composed.spec.node
    }
}
