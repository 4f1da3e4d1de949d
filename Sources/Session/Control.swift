import Cgroups
import Documents
import Glibc
import Records
import Syscalls
import SystemPackage

/// What ``Carrel/kill(_:signal:grace:hold:)`` has done.
public struct KillOutcome: Sendable, Equatable {
    /// The sessions that it ended, by name.
    public var sessions: [String]
    /// How many processes were killed.
    public var processes: Int
    /// From the call until the kernel said that nothing is left.
    public var nanoseconds: UInt64

    /// The outcome as a document.
    public var node: Node {
        [
            "sessions": Node(.sequence(sessions.map { Node(.string($0)) })),
            "processes": Node(.integer(Int64(processes))), "nanoseconds": Node(count: nanoseconds),
        ]
    }
}

extension Carrel {
    /// The live sessions of a selection.
    private func select(_ selection: Selection) throws(SessionError) -> [SessionRecord] {
        switch selection {
        case .session(let id): return [try find(id)]
        case .tenant(let tenant): return try all().filter { $0.tenant == tenant }
        case .profile(let profile): return try all().filter { $0.profile == profile }
        case .all: return try all()
        }
    }

    private func all() throws(SessionError) -> [SessionRecord] {
        sweepAll()
        return try live.all()
    }

    /// Freezes the sessions of a selection; their memory stays.
    ///
    /// - Returns: their names.
    public func pause(_ selection: Selection) throws(SessionError) -> [String] {
        try eachCgroup(selection, .pause) { cgroup throws(CgroupError) in try cgroup.freeze() }
    }

    /// Lets the paused sessions of a selection go on.
    ///
    /// - Returns: their names.
    public func resume(_ selection: Selection) throws(SessionError) -> [String] {
        try eachCgroup(selection, .resume) { cgroup throws(CgroupError) in try cgroup.thaw() }
    }

    private func eachCgroup(
        _ selection: Selection, _ event: AuditLog.Event, _ body: (Cgroup) throws(CgroupError) -> Void
    ) throws(SessionError) -> [String] {
        var names: [String] = []
        for record in try select(selection) {
            guard let cgroup = cgroup(of: record) else {
                throw SessionError(
                    "session \(record.id) has no cgroup, so it cannot be paused", fix: "see carrel doctor")
            }
            try Recorder(state).decided(
                event,
                [
                    "session": Node(.string(record.id)), "tenant": Node(.string(record.tenant)), "by": caller().node,
                ])
            do throws(CgroupError) { try body(cgroup) } catch { throw SessionError("session \(record.id): \(error)") }
            names.append(record.id)
        }
        return names
    }

    /// Ends the sessions of a selection and returns when nothing of them is left.
    ///
    /// Who did it is written to the audit log first. A tenant, and all, die by one write to the cgroup above them.
    ///
    /// - Parameters:
    ///   - signal: what the programs get first; `nil` kills at once.
    ///   - grace: how long they then have, in nanoseconds.
    ///   - hold: refuses new starts at this level until ``release(_:)``.
    public func kill(
        _ selection: Selection, signal: Int32?, grace: Int64, hold: Bool
    ) throws(SessionError) -> KillOutcome {
        let start = monotonicNanoseconds()
        if hold {
            if case .session = selection {
                throw SessionError("--hold is for a tenant, a profile or all: a session that is over starts no other")
            }
            try self.hold(selection)
        }
        let records = try select(selection)
        let by = caller()
        try Recorder(state).decided(
            .kill,
            [
                "level": Node(.string(selection.name)), "hold": Node(.bool(hold)),
                "sessions": Node(.sequence(records.map { Node(.string($0.id)) })),
                "signal": signal.map { Node(.integer(Int64($0))) } ?? nil, "by": by.node,
            ])
        var outcome = KillOutcome(sessions: records.map(\.id), processes: 0, nanoseconds: 0)
        let cgroups = records.compactMap { cgroup(of: $0) }
        for record in records {
            try? replaceFile(state["sessions/\(record.id).ending"], with: by.node.json().utf8)
        }
        if let signal {
            for (record, process) in zip(records, records.map { try? pidfdOpen($0.pid) }) {
                guard let process else { continue }
                defer { close(process) }
                if startTime(of: record.pid) == record.pidStarted { try? pidfdSendSignal(process, signal) }
            }
            for cgroup in cgroups { try? cgroup.thaw() }
            waitForEnd(of: records, until: start + UInt64(max(grace, 0)))
        }
        outcome.processes = cgroups.reduce(0) { $0 + ((try? $1.processes().count) ?? 0) }
        try killNow(selection, records)
        waitForEnd(of: records, until: monotonicNanoseconds() + 10_000_000_000)
        outcome.nanoseconds = monotonicNanoseconds() - start
        return outcome
    }

    private func killNow(_ selection: Selection, _ records: [SessionRecord]) throws(SessionError) {
        let level: String? =
            switch selection {
            case .tenant(let name): "carrel/\(name)"
            case .all: "carrel"
            case .session, .profile: nil
            }
        // One write for everything below, what is being forked at this moment too: where all that is below is of this
        // state directory.
        let host = CgroupHost.detect()
        if let level, let path = try? CgroupPath(level), isOurs(path, records, host),
            let cgroup = try? Cgroup.open(host, path), (try? cgroup.kill()) != nil
        {
            return
        }
        for record in records {
            if let cgroup = cgroup(of: record) {
                do throws(CgroupError) {
                    try cgroup.kill()
                } catch { throw SessionError("session \(record.id): \(error)") }
            } else if let process = try? pidfdOpen(record.pid), startTime(of: record.pid) == record.pidStarted {
                try? pidfdSendSignal(process, SIGKILL)
                close(process)
            }
        }
    }

    /// Whether every session's cgroup at or below `level` is one of `records`.
    private func isOurs(_ level: CgroupPath, _ records: [SessionRecord], _ host: CgroupHost) -> Bool {
        let ours = Set(records.compactMap(\.cgroup))
        guard let names = try? Cgroup.names(host, in: level) else { return false }
        return names.allSatisfy { name in
            guard level.names.count == 1 else { return ours.contains("\(level)/\(name)") }
            guard let tenant = try? CgroupPath("\(level)/\(name)") else { return false }
            return isOurs(tenant, records, host)
        }
    }

    /// Waits until the supervisors of `records` have cleaned up, or the time is up.
    private func waitForEnd(of records: [SessionRecord], until end: UInt64) {
        for record in records {
            guard let supervisor = try? pidfdOpen(record.supervisor) else { continue }
            defer { close(supervisor) }
            while exists(live.recordPath(record.id)) {
                let now = monotonicNanoseconds()
                if now >= end { return }
                // A supervisor that is this process's parent ends only after this call.
                let left = Int((end - now) / 1_000_000) + 1
                if (try? poll([(supervisor, .readable)], timeout: min(left, 20)))?[0].contains(.readable) == true {
                    break
                }
            }
        }
        sweepAll()
    }
}
