import Cgroups
import Documents
import Records
import Syscalls

extension Carrel {
    /// Freezes the sessions of a selection; their memory stays. A tenant, and all, by one write, and until ``resume(_:)``
    /// nothing new starts at the level.
    ///
    /// - Returns: their names.
    public func pause(_ selection: Selection) throws(SessionError) -> [String] {
        // First of all, so that what starts meanwhile is refused or found.
        try notePause(selection, true)
        do throws(SessionError) {
            if let (cgroup, sessions) = oneCgroup(of: selection) {
                try decided(.pause, selection, sessions)
                do throws(CgroupError) { try cgroup.freeze() } catch {
                    throw SessionError("\(selection.name): \(error)")
                }
                return sessions
            }
            return try eachCgroup(selection, .pause) { cgroup throws(CgroupError) in try cgroup.freeze() }
        } catch {
            try? notePause(selection, false)
            throw error
        }
    }

    /// Lets the paused sessions of a selection go on, those too that were paused one by one.
    ///
    /// - Returns: their names.
    public func resume(_ selection: Selection) throws(SessionError) -> [String] {
        if case .session(let id) = selection, let level = pausedLevel(above: try find(id).tenant) {
            throw paused(id, with: level)
        }
        let node = frozenCgroup(of: selection)
        let names = try eachCgroup(selection, .resume) { cgroup throws(CgroupError) in try cgroup.thaw() }
        if let node {
            do throws(CgroupError) { try node.thaw() } catch {
                throw SessionError("\(selection.name): \(error)")
            }
        }
        try notePause(selection, false)
        return names
    }

    private func eachCgroup(
        _ selection: Selection, _ event: AuditLog.Event, _ body: (Cgroup) throws(CgroupError) -> Void
    ) throws(SessionError) -> [String] {
        let records = try select(selection)
        if !records.isEmpty { try decided(event, selection, records.map(\.id)) }
        for record in records {
            guard let cgroup = cgroup(of: record) else {
                throw SessionError(
                    "session \(record.id) has no cgroup, so it cannot be paused", fix: "see carrel doctor")
            }
            do throws(CgroupError) { try body(cgroup) } catch { throw SessionError("session \(record.id): \(error)") }
        }
        return records.map(\.id)
    }

    private func decided(_ event: AuditLog.Event, _ selection: Selection, _ names: [String]) throws(SessionError) {
        var fields: Node = ["level": Node(.string(selection.name)), "by": caller().node]
        if case .session(let id) = selection {
            fields = ["session": Node(.string(id)), "level": Node(.string(selection.name)), "by": caller().node]
        } else {
            fields.append("sessions", Node(.sequence(names.map { Node(.string($0)) })))
        }
        try Recorder(state).decided(event, fields)
    }
}
