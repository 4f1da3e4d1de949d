import Cgroups
import Documents
import Glibc
import Records
import Syscalls

// The second line of the limits that a supervisor holds: time from start to end, idleness, processor time in all, time
// beyond the ceiling. A supervisor that is stopped (SIGSTOP) or does not come to its work holds none of them. Every call
// of carrel that looks at live sessions then does, and `carrel watch` all the time.

extension SessionRecord {
    /// A limit that it was started with, as its report will tell it.
    private func limit(_ name: String) -> UInt64? {
        // Times are added up: one that no clock comes to is as good as any.
        draft["limits"]?["asked"]?[name]?.uint.map { min($0, 1 << 60) }
    }

    fileprivate var wallClockEnd: UInt64? { limit("wallClockNanoseconds").map { startedMonotonic + $0 } }
    fileprivate var idle: UInt64? { limit("idleNanoseconds") }
    fileprivate var cpuTime: UInt64? { limit("cpuTimeNanoseconds") }
    fileprivate var ceiling: UInt64? { limit("ceilingBytes") }
    fileprivate var recycle: UInt64? { limit("recycleNanoseconds") }

    /// When a supervisor that does its work has long ended it: five seconds after its grace.
    var overdue: UInt64? { wallClockEnd.map { $0 + (limit("graceNanoseconds") ?? 0) + 5_000_000_000 } }
}

/// What was seen of a session whose supervisor is stopped, from one look to the next.
private struct Seen {
    var cpu: UInt64
    /// When ``cpu`` was last seen to grow.
    var busy: UInt64
    /// Since when it is beyond its ceiling; 0: it is not.
    var over: UInt64

    init(cpu: UInt64, at now: UInt64) { (self.cpu, busy, over) = (cpu, now, 0) }

    init?(_ path: String) {
        guard let text = try? readText(path) else { return nil }
        let numbers = text.split(separator: " ").compactMap { UInt64($0) }
        // Of another boot, if it is of a time that has not come.
        guard numbers.count == 3, max(numbers[1], numbers[2]) <= monotonicNanoseconds() else { return nil }
        (cpu, busy, over) = (numbers[0], numbers[1], numbers[2])
    }

    func write(_ path: String) { try? replaceFile(path, with: "\(cpu) \(busy) \(over)".utf8) }
}

extension Carrel {
    /// Ends a session that is over a limit which its supervisor does not hold.
    ///
    /// - Returns: when to look again, monotonic nanoseconds.
    func enforceLimits(_ record: SessionRecord) -> UInt64? {
        let now = monotonicNanoseconds()
        if let overdue = record.overdue, now >= overdue {
            enforce(.timeout, on: record)
            return nil
        }
        if isStopped(record), let over = exceeded(record, now) {
            enforce(over, on: record)
            return nil
        }
        // Nothing tells when a supervisor is stopped, so what it holds is looked at now and then.
        let spans = [record.idle, record.cpuTime, record.recycle].compactMap { $0 }
        let look = spans.min().map { now + min(max($0 / 4, 1_000_000_000), 60_000_000_000) }
        let end = record.wallClockEnd.map { $0 > now ? $0 + 1_000_000 : record.overdue ?? $0 }
        return [look, end].compactMap { $0 }.min()
    }

    /// What a session whose supervisor is stopped came up against.
    private func exceeded(_ record: SessionRecord, _ now: UInt64) -> Report.Exit.How? {
        if let end = record.wallClockEnd, now >= end { return .timeout }
        guard let cgroup = cgroup(of: record) else { return nil }
        let cpu = (try? cgroup.cpuTime()) ?? 0
        if let limit = record.cpuTime, cpu >= limit { return .cpuTime }
        guard record.idle != nil || record.recycle != nil else { return nil }
        let path = state["sessions/\(record.id).seen"]
        var seen = Seen(path) ?? Seen(cpu: cpu, at: now)
        defer { seen.write(path) }
        // The same measure as the supervisor's. What is paused is not idle.
        if IdleWatch.isBusy(cpu - min(seen.cpu, cpu), in: now - seen.busy) || (try? cgroup.isFrozen()) == true {
            (seen.cpu, seen.busy) = (cpu, now)
        }
        if let idle = record.idle, now - seen.busy >= idle { return .idle }
        if let ceiling = record.ceiling, let recycle = record.recycle {
            if cgroup.memoryNow() ?? 0 <= ceiling {
                seen.over = 0
            } else if seen.over == 0 {
                seen.over = now
            } else if now - seen.over >= recycle {
                return .recycled
            }
        }
        return nil
    }

    /// Ends it, in place of its supervisor, who tells it in the report if it can.
    private func enforce(_ limit: Report.Exit.How, on record: SessionRecord) {
        let mark = EndingMark(by: caller(), limit: limit)
        let recorder = Recorder(state)
        do throws(SessionError) {
            try recorder.decided(
                .limit,
                [
                    "session": Node(.string(record.id)), "tenant": Node(.string(record.tenant)),
                    "limit": Node(.string(limit.rawValue)), "by": mark.by.node,
                    "why": "its supervisor does not hold the limit, so another call of carrel does",
                ])
            try telling("limit") { () throws(SystemError) in try mark.write(session: record.id, in: state) }
        } catch {
            // A limit holds also where it cannot be told.
            recorder.warn("session \(record.id): \(error)")
        }
        if let cgroup = cgroup(of: record) {
            try? cgroup.kill()
            _ = try? cgroup.waitUntilEmpty(timeout: 5000)
        } else if let process = try? pidfdOpen(record.pid) {
            if startTime(of: record.pid) == record.pidStarted { try? pidfdSendSignal(process, SIGKILL) }
            close(process)
        }
        guard isStopped(record) else { return }
        endSupervisor(record)
        sweep(LiveSessions.Claim(record.id, supervisor: record.supervisor))
    }

    /// Ends a supervisor that is stopped, and waits for that: it writes no report, and must not wake to do so later.
    func endSupervisor(_ record: SessionRecord) {
        guard let supervisor = try? pidfdOpen(record.supervisor) else { return }
        defer { close(supervisor) }
        try? pidfdSendSignal(supervisor, SIGKILL)
        _ = try? poll([(supervisor, .readable)], timeout: 5000)
    }

    /// Whether a session's supervisor is stopped. What began after PID 1 has its number by chance.
    func isStopped(_ record: SessionRecord) -> Bool {
        guard let began = startTime(of: record.supervisor), began <= record.pidStarted else { return false }
        return isStopped(record.supervisor)
    }

    /// Whether a process is stopped, by a signal or a debugger.
    func isStopped(_ supervisor: Int32) -> Bool {
        let state = processState(of: supervisor)
        return state == UInt8(ascii: "T") || state == UInt8(ascii: "t")
    }

    /// Ends what is overdue, by a look at the times of the records alone: a launch has no time for more.
    func enforceOverdue() {
        let directory = state["sessions"]
        guard let names = try? list(directory), names.count > 1 else { return }
        let now = time(nil)
        for name in names where name.hasSuffix(".json") {
            guard let found = try? status("\(directory)/\(name)"), found.st_mtim.tv_sec <= now,
                let record = live.find(String(name.dropLast(5))), let overdue = record.overdue,
                monotonicNanoseconds() >= overdue,
                // Of another boot, or swept up by a call that has time to tell its supervisor from a stranger.
                !hasEnded(record.pid, started: record.pidStarted)
            else { continue }
            _ = enforceLimits(record)
        }
    }
}
