import Capacity
import Cgroups
import Documents
import Glibc
import Records
import Syscalls

extension Carrel {
    /// Removes what sessions have left whose supervisor is gone: their processes (which die with it), cgroups, records,
    /// and what was made in users' trees. Costs a look at a directory where there is nothing to do.
    func sweepOrphans() {
        for claim in live.orphans() { sweep(claim) }
    }

    /// The same, but told apart from a process that has the supervisor's number by chance. For calls that are not in
    /// a hurry.
    ///
    /// It is also the second line of every limit that a supervisor holds: see ``enforceLimits(_:_:)``.
    ///
    /// - Returns: when a limit has to be looked at again, monotonic nanoseconds; `nil` for never.
    @discardableResult
    func sweepAll() -> UInt64? {
        // One that nobody has waited for has its number still.
        for claim in live.claims() where hasEnded(claim.holder) { sweep(claim) }
        Images(state).sweep()
        var next: UInt64?
        let records = (try? live.all()) ?? []
        let claims = live.claims()
        if claims.isEmpty && records.isEmpty { EndingMark.sweep(state) }
        // One that has claimed its name and is not written down yet has limits too.
        if claims.count > records.count { next = monotonicNanoseconds() + 100_000_000 }
        for record in records {
            // One that a stopped supervisor has not waited for is dead all the same.
            if !hasEnded(record.pid, started: record.pidStarted) {
                next = [next, enforceLimits(record)].compactMap { $0 }.min()
                continue
            }
            guard let claim = claims.first(where: { $0.id == record.id && $0.supervisor == record.supervisor }) else {
                if hasEnded(record.supervisor) { sweep(live.mark(record)) }
                continue
            }
            // PID 1 is gone: its supervisor is about to write the report, is stopped, or is no supervisor at all.
            guard let comm = try? readText("/proc/\(claim.holder)/comm") else { continue }
            let isOurs = comm.hasPrefix("carrel")
            if isOurs, claim.holder != record.supervisor || !isStopped(record) { continue }
            if isOurs { endSupervisor(record) }
            sweep(claim)
        }
        return next
    }

    /// Cleans up after a session. Every step can be done again: whoever takes over from a sweeper that died begins anew.
    func sweep(_ claim: LiveSessions.Claim) {
        guard let claim = live.takeOver(claim) else { return }
        let id = claim.id
        let record = live.find(id)
        // Another session may have taken the name since, and not have written its record yet.
        let isOurs = record.map { $0.supervisor == claim.supervisor }
        guard isOurs ?? !live.claims().contains(where: { $0.id == id && $0 != claim }) else {
            return (try? Syscalls.remove(live.marker(claim))) ?? ()
        }
        let mark = record.flatMap { EndingMark.found($0, in: state) }
        var usage: Report.Usage?
        var culprit: Report.Exit.Level?
        for cgroup in cgroups(of: id, record) {
            try? cgroup.kill()
            usage = Report.Usage(cgroup.usage())
            if usage?.oomKills ?? 0 > 0 { culprit = record?.culprit(cgroup) }
            do { try cgroup.remove() } catch { continue }
        }
        WorkdirClaims.release(id, workdir: record?.workdir, in: state)
        Door.release(session: id, in: state)
        try? berths.release(holder: claim.supervisor)
        let recorder = Recorder(state)
        try? recorder.decided(
            .sweep,
            [
                "session": Node(.string(id)), "tenant": record.map { Node(.string($0.tenant)) } ?? nil,
                "supervisor": Node(.integer(Int64(claim.supervisor))),
            ])
        // Its supervisor may have come as far as the report.
        if let record, let report = (try? recorder.ledger.newest(of: id)) ?? nil, report.started == record.started {
            if let copy = record.reportPath { recorder.copy(report, to: copy) }
        } else if let record, var report = try? Report(record.draft, file: live.recordPath(id)) {
            report.ended = .now
            if let ending = mark?.ending ?? culprit.map({ _ in .outOfMemory }) {
                report.exit = exit(nil, ending, culprit).report
                report.notes.append("its supervisor did not do it: the report was written by another call of carrel")
            } else {
                report.exit = Report.Exit(
                    how: .lost, status: 137, signal: 9,
                    why: "its supervisor was gone before it told how the session ended")
            }
            if let usage { report.usage = usage }
            if let egress = live.egress(of: record) { report.egress = egress }
            if record.isExplained { report.denials = DenialLog(id, in: state).node }
            recorder.ended(report, copy: record.reportPath)
        }
        if record?.isExplained == true { DenialLog(id, in: state).remove() }
        live.remove(claim)
    }

    /// A session's cgroup: by its record, or where that was never written by a look at every tenant.
    private func cgroups(of id: String, _ record: SessionRecord?) -> [Cgroup] {
        if let record { return [cgroup(of: record)].compactMap { $0 } }
        let host = CgroupHost.detect()
        guard let top = try? CgroupPath("carrel"), let tenants = try? Cgroup.names(host, in: top) else { return [] }
        return tenants.compactMap { tenant in
            (try? CgroupPath("carrel/\(tenant)/\(id)")).flatMap { try? Cgroup.open(host, $0) }
        }
    }
}
