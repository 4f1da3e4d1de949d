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
    /// How many processes were there to be killed; where one write killed all of a level, how many tasks.
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
    /// Ends the sessions of a selection and returns when nothing of them is left.
    ///
    /// Who did it is written to the audit log first, and afterwards what it took; where that cannot be written it is told, and
    /// the sessions end all the same. A tenant, and all, die by one write to the cgroup above them, with what they are
    /// forking at that moment.
    ///
    /// - Parameters:
    ///   - signal: what the programs get first; `nil` kills at once.
    ///   - grace: how long they then have, in nanoseconds.
    ///   - hold: refuses new starts at this level until ``release(_:)``.
    /// - Throws: ``SessionError`` where a hold cannot be written down, and where something is left after ten seconds.
    public func kill(
        _ selection: Selection, signal: Int32?, grace: Int64, hold: Bool
    ) throws(SessionError) -> KillOutcome {
        let start = monotonicNanoseconds()
        raiseOwnPriority()
        // Before anything is looked for: what starts from here on is refused, or found below.
        if hold { try self.hold(selection) }
        let mark = EndingMark(by: caller(), at: start)
        let asked = try signal.map { signal throws(SessionError) in
            try ask(selection, signal, mark, until: start + UInt64(max(grace, 0)), hold)
        }
        var outcome: KillOutcome
        if let (cgroup, sessions) = oneCgroup(of: selection) {
            outcome = try killAtOnce(selection, cgroup, sessions, mark, hold)
        } else {
            // Those that have done what they were asked are gone by now.
            let records = asked == nil ? try select(selection) : (try? select(selection)) ?? []
            outcome = try killEach(selection, records, mark, hold)
        }
        outcome.sessions = (asked ?? []) + outcome.sessions.filter { asked?.contains($0) != true }
        // Its supervisors write the reports now.
        let leaving = outcome.sessions + ending(selection, beside: outcome.sessions, before: mark.at)
        waitForEnd(of: leaving, until: monotonicNanoseconds() + 30_000_000_000)
        try? remove(EndingMark.path(selection, in: state))
        note(
            .killed,
            [
                "level": Node(.string(selection.name)), "sessions": Node(.integer(Int64(outcome.sessions.count))),
                "processes": Node(.integer(Int64(outcome.processes))), "nanoseconds": Node(count: outcome.nanoseconds),
                "by": mark.by.node,
            ])
        return outcome
    }

    /// Sessions of a selection that were over already, and whose supervisors have not done with them.
    private func ending(_ selection: Selection, beside sessions: [String], before: UInt64) -> [String] {
        let known = Set(sessions)
        return live.claims().filter { !known.contains($0.id) }.compactMap { live.find($0.id) }
            .filter { selection.holds($0) && $0.startedMonotonic < before }.map(\.id)
    }

    /// Writes down what is done, as far as that can be: a full disk is no reason to let a session live.
    private func note(_ event: AuditLog.Event, _ fields: Node) {
        do throws(SessionError) { try Recorder(state).decided(event, fields) } catch { notWritten(error.message) }
    }

    private func note(_ mark: EndingMark, _ selection: Selection) {
        do throws(SystemError) { try mark.write(level: selection, in: state) } catch { notWritten("\(error)") }
    }

    private func notWritten(_ why: String) {
        Recorder(state).warn("what kill does cannot be written down: \(why)")
    }

    /// Everything below one cgroup, in one write.
    private func killAtOnce(
        _ selection: Selection, _ cgroup: Cgroup, _ sessions: [String], _ mark: EndingMark, _ hold: Bool
    ) throws(SessionError) -> KillOutcome {
        note(mark, selection)
        decided(selection, sessions, mark, hold, signal: nil)
        var outcome = KillOutcome(sessions: sessions, processes: 0, nanoseconds: 0)
        do throws(CgroupError) {
            // One figure of the kernel's where it keeps one: to read every cgroup's list takes longer than to kill.
            if let tasks = cgroup.pidsNow() {
                outcome.processes = Int(clamping: tasks)
            } else {
                outcome.processes = try cgroup.processes().count
            }
            try cgroup.kill()
            try untilEmpty([cgroup], selection)
        } catch {
            if !error.isGone { throw SessionError("\(selection.name): \(error)") }
        }
        outcome.nanoseconds = monotonicNanoseconds() - mark.at
        return outcome
    }

    /// One session after the other.
    private func killEach(
        _ selection: Selection, _ records: [SessionRecord], _ mark: EndingMark, _ hold: Bool
    ) throws(SessionError) -> KillOutcome {
        var outcome = KillOutcome(sessions: records.map(\.id), processes: 0, nanoseconds: 0)
        decided(selection, outcome.sessions, mark, hold, signal: nil)
        note(mark, selection)
        var cgroups: [Cgroup] = []
        for record in records {
            if let cgroup = cgroup(of: record) {
                do throws(CgroupError) {
                    outcome.processes += (try? cgroup.processes().count) ?? 0
                    try cgroup.kill()
                    cgroups.append(cgroup)
                } catch {
                    // It has ended meanwhile.
                    if !error.isGone { throw SessionError("session \(record.id): \(error)") }
                }
            } else if let process = try? pidfdOpen(record.pid) {
                if startTime(of: record.pid) == record.pidStarted { try? pidfdSendSignal(process, SIGKILL) }
                outcome.processes += 1
                close(process)
            }
        }
        do throws(CgroupError) {
            try untilEmpty(cgroups, selection)
        } catch { throw SessionError("\(selection.name): \(error)") }
        outcome.nanoseconds = monotonicNanoseconds() - mark.at
        return outcome
    }

    /// Waits until the kernel says that no process is left.
    private func untilEmpty(_ cgroups: [Cgroup], _ selection: Selection) throws(CgroupError) {
        for cgroup in cgroups {
            do throws(CgroupError) {
                if try cgroup.waitUntilEmpty(timeout: 10_000) { continue }
            } catch {
                // Its supervisor was faster, and has removed it.
                if error.isGone { continue }
                throw error
            }
            throw .system(SystemError("cgroup.kill", cgroup.directory, errno: .timedOut))
        }
    }

    private func decided(
        _ selection: Selection, _ sessions: [String], _ mark: EndingMark, _ hold: Bool, signal: Int32?
    ) {
        note(
            .kill,
            [
                "level": Node(.string(selection.name)), "hold": Node(.bool(hold)),
                "sessions": Node(.sequence(sessions.map { Node(.string($0)) })),
                "signal": signal.map { Node(.integer(Int64($0))) } ?? nil, "by": mark.by.node,
            ])
    }

    /// Asks the programs to end, and waits for that or for the end of their time.
    ///
    /// - Returns: the sessions that were asked.
    private func ask(
        _ selection: Selection, _ signal: Int32, _ mark: EndingMark, until end: UInt64, _ hold: Bool
    ) throws(SessionError) -> [String] {
        let records = try select(selection)
        decided(selection, records.map(\.id), mark, hold, signal: signal)
        note(mark, selection)
        for record in records {
            guard let process = try? pidfdOpen(record.pid) else { continue }
            defer { close(process) }
            if startTime(of: record.pid) == record.pidStarted { try? pidfdSendSignal(process, signal) }
        }
        for record in records { try? cgroup(of: record)?.thaw() }
        try? frozenCgroup(of: selection)?.thaw()
        waitForEnd(of: records.map(\.id), until: end)
        return records.map(\.id)
    }

    /// Waits until the supervisors of sessions have cleaned up, or the time is up.
    private func waitForEnd(of sessions: [String], until end: UInt64) {
        for claim in live.claims() where sessions.contains(claim.id) {
            let pid = claim.holder
            guard let supervisor = try? pidfdOpen(pid) else { continue }
            defer { close(supervisor) }
            while exists(live.marker(claim)) {
                let now = monotonicNanoseconds()
                if now >= end { return }
                // A supervisor that is this process's parent ends only after this call.
                let left = Int((end - now) / 1_000_000) + 1
                if (try? poll([(supervisor, .readable)], timeout: min(left, 20)))?[0].contains(.readable) == true {
                    break
                }
                // One that is stopped cleans up nothing.
                if isStopped(pid) { break }
            }
        }
        sweepAll()
    }
}
