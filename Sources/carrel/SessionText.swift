import Cgroups
import Documents
import Records
import Session

// Live sessions, for people.

func sessionTable(_ sessions: [SessionStatus], now: Timestamp, _ style: Style) -> String {
    if sessions.isEmpty { return "no session is running\n" }
    var table = Table(
        ("SESSION", .left), ("TENANT", .left), ("PROFILE", .left), ("STATE", .left), ("AGE", .right),
        ("MEMORY", .right), ("LIMIT", .right), ("PIDS", .right), ("CPU", .right), ("COMMAND", .left),
        leavingOut: [7, 8, 6, 2, 1, 4])
    for session in sessions {
        let age = Double(now.seconds - session.started.seconds) * 1e9
        table.add(
            [
                session.id, session.tenant, session.profile, session.state, Quantity.duration(age),
                size(session.memoryBytes), size(session.memoryLimitBytes),
                count(session.pids), duration(session.cpuNanoseconds),
                commandLine(session.command),
            ], style: { session.state == "paused" ? style.yellow($0) : $0 })
    }
    return table.text(style)
}

func statisticsTable(_ statistics: [SessionStatistics], _ style: Style) -> String {
    if statistics.isEmpty { return "no session is running\n" }
    var table = Table(
        ("SESSION", .left), ("TENANT", .left), ("MEMORY", .right), ("PEAK", .right), ("LIMIT", .right),
        ("PEAK OF LIMIT", .left), ("PIDS", .right), ("PEAK", .right), ("LIMIT", .right), ("CPU", .right),
        ("USER", .right), ("SYSTEM", .right), leavingOut: [10, 11, 7, 8, 1, 5, 9])
    // A bar within a cell has no colour of its own: what a cell holds is text, not sequences.
    let plain = Style(hasBlocks: style.hasBlocks)
    for entry in statistics {
        let usage = entry.usage
        var bar = "-"
        if let peak = usage?.memoryPeak, let limit = usage?.memoryMax, limit > 0 {
            let part = Double(peak) / Double(limit)
            bar = plain.bar(part, width: 10) + " " + Quantity.percent(part)
        }
        let isClipped = usage?.memoryLimitHits ?? 0 > 0
        table.add(
            [
                entry.id, entry.tenant, size(usage?.memory),
                size(usage?.memoryPeak), size(usage?.memoryMax), bar,
                count(usage?.pids), count(usage?.pidsPeak),
                count(usage?.pidsMax), duration(usage?.cpu),
                duration(usage?.cpuUser), duration(usage?.cpuSystem),
            ], style: { isClipped ? style.yellow($0) : $0 })
    }
    return table.text(style)
}

func killText(_ outcome: KillOutcome, isHeld: Bool) -> String {
    var text = outcome.sessions.map { $0 + "\n" }.joined()
    let sessions = outcome.sessions.count == 1 ? "1 session" : "\(outcome.sessions.count) sessions"
    let processes = outcome.processes == 1 ? "1 process" : "\(outcome.processes) processes"
    text += "ended \(sessions), killed \(processes), in \(Quantity.duration(outcome.nanoseconds))\n"
    if isHeld { text += "new starts are refused until carrel release\n" }
    return text
}

// A figure that the host does not count is a dash.

private func size(_ bytes: UInt64?) -> String { bytes.map { Quantity.size($0) } ?? "-" }
private func duration(_ nanoseconds: UInt64?) -> String { nanoseconds.map { Quantity.duration($0) } ?? "-" }
private func count(_ number: UInt64?) -> String { number.map { "\($0)" } ?? "-" }
