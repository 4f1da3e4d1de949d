import Options
import Records

extension Report {
    /// The report for people: what ran, how it ended, what it used, and where its launch spent its time.
    func text(_ style: Style) -> String {
        var page = ReportPage(style: style)
        let status = exit.status.map { "status \($0)" } ?? "nobody was left to see a status"
        page.line("\(style.bold(session))  \(painted(exit.how.rawValue, style))  \(status)")
        page.line("  " + printable(exit.why))
        page.gap()
        page.row("command", commandLine(command))
        page.row("tenant", tenant)
        page.row("profile", "\(profile.name)  \(style.dim("sha256 " + profile.sha256.prefix(12)))", isOwn: true)
        page.row("image", image)
        page.row("host", "\(host.name), \(cgroups) cgroups, carrel \(carrel)")
        page.row("started", Quantity.time(started))
        page.row("took", Quantity.duration(elapsed))
        page.gap()
        addUsage(to: &page)
        if !launch.isEmpty {
            page.gap()
            addLaunch(to: &page)
        }
        if !absent.isEmpty || !notes.isEmpty { page.gap() }
        for control in absent {
            page.row("absent", style.yellow(printable("\(control.name): \(control.reason)")), isOwn: true)
        }
        for note in notes { page.row("note", note) }
        return page.text
    }

    private func painted(_ text: String, _ style: Style) -> String {
        switch exit.how {
        case .exited where exit.status == 0: style.green(text)
        case .timeout, .idle, .killed: style.yellow(text)
        default: style.red(text)
        }
    }

    /// Nanoseconds.
    private var elapsed: Double {
        Double(ended.seconds - started.seconds) * 1e9 + Double(ended.nanoseconds - started.nanoseconds)
    }

    private func addUsage(to page: inout ReportPage) {
        let limits = limitsInForce
        if let peak = usage.memoryPeakBytes {
            page.gauge(
                "memory", peak, of: limits.memoryBytes, Quantity.size,
                usage.memoryClipped ? "came up against its limit: it wanted more" : nil)
        }
        if let kills = usage.oomKills, kills > 0 {
            page.row(
                "",
                page.style.red(
                    "the kernel ended \(kills == 1 ? "a process" : "\(kills) processes") for want of memory"),
                isOwn: true)
        }
        if let peak = usage.pidsPeak {
            let hits = usage.pidsLimitHits ?? 0
            page.gauge(
                "processes", peak, of: limits.pids, { "\($0)" },
                hits > 0 ? "was refused another \(hits == 1 ? "once" : "\(hits) times")" : nil)
        }
        if let cpu = usage.cpuNanoseconds {
            var text = Quantity.duration(cpu)
            if let user = usage.cpuUserNanoseconds, let system = usage.cpuSystemNanoseconds {
                text += "  (\(Quantity.duration(user)) user, \(Quantity.duration(system)) system)"
            }
            if elapsed > 0 { text += "  \(Quantity.percent(Double(cpu) / elapsed)) of a CPU" }
            page.row("CPU", text)
        }
        let stalls: [(String, Pressure.Stall?)] = [
            ("CPU", pressure?.cpu), ("memory", pressure?.memory), ("disks", pressure?.io),
        ]
        let waits = stalls.compactMap { name, stall in
            stall.flatMap {
                $0.someMicroseconds > 0 ? "\(name) \(Quantity.duration(Double($0.someMicroseconds) * 1e3))" : nil
            }
        }
        if !waits.isEmpty { page.row("waited for", waits.joined(separator: ", ")) }
    }

    private func addLaunch(to page: inout ReportPage) {
        let total = launch.reduce(0) { $0 + Double($1.microseconds) }
        page.row("launch", Quantity.duration(total * 1e3))
        let longest = max(launch.map(\.microseconds).max() ?? 1, 1)
        let width = launch.map(\.name.unicodeScalars.count).max() ?? 0
        for phase in launch {
            let name = printable(phase.name) + String(repeating: " ", count: width - phase.name.unicodeScalars.count)
            let time = Quantity.duration(Double(phase.microseconds) * 1e3)
            let space = String(repeating: " ", count: max(0, 9 - time.unicodeScalars.count))
            let part = Double(phase.microseconds) / Double(longest)
            page.line("    \(name)  \(space)\(time)  \(page.style.bar(part, width: 20, empty: false))")
        }
    }
}

private struct ReportPage {
    let style: Style
    private(set) var text = ""

    init(style: Style) { self.style = style }

    mutating func gap() { text += "\n" }
    mutating func line(_ line: String) { text += line + "\n" }

    /// - Parameter isOwn: whether the value is made here; control characters of others' text are written out.
    mutating func row(_ name: String, _ value: String, isOwn: Bool = false) {
        let margin = "  \(style.dim(name))" + String(repeating: " ", count: max(1, 12 - name.utf8.count))
        if isOwn { return line(margin + value) }
        let blank = String(repeating: " ", count: 14)
        text += margin + style.line(blank + printable(value), indent: blank.count).dropFirst(blank.count)
    }

    /// A value with a bar that shows its part of a limit.
    mutating func gauge(
        _ name: String, _ value: Int64, of limit: Int64?, _ describe: (Int64) -> String, _ remark: String?
    ) {
        var text = describe(value)
        if let limit, limit > 0 {
            let part = Double(value) / Double(limit)
            text = "\(style.bar(part))  \(text) of \(describe(limit))  \(Quantity.percent(part))"
        }
        row(name, text, isOwn: true)
        if let remark { row("", style.red(remark), isOwn: true) }
    }
}
