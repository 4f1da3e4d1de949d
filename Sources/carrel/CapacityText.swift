import Capacity
import Glibc
import Options
import Session
import Syscalls
import SystemPackage

// Measurements and plans for people.

private func size(_ bytes: Double?) -> String {
    bytes.flatMap { Int64(exactly: $0.rounded()) }.map { Quantity.size($0) } ?? "-"
}
private func number(_ value: Int?) -> String { value.map(String.init) ?? "-" }

/// A quantile as a row: what the runs say, and between what it surely is.
private func add(_ quantile: OrderStatistics.Quantile, to table: inout Table) {
    let bound =
        quantile.upper.map { "≤ " + size($0) } ?? (quantile.isClipped ? "clipped" : "none yet")
    let need = quantile.runsNeeded == 0 ? "" : "\(quantile.runsNeeded) more runs"
    table.add([
        percentile(quantile.quantile), quantile.estimate == nil ? "clipped" : size(quantile.estimate),
        quantile.lower.map { "≥ " + size($0) } ?? "-", bound, need,
    ])
}

/// What the runs come to: their peaks by quantile, and what they were made of.
private func runsText(_ runs: Measurements, _ style: Style) -> String {
    let command = runs.command.isEmpty ? "different commands" : printable(commandLine(runs.command))
    var text = "\(runs.runs.count) runs of \(style.bold(printable(runs.profile))): \(command)\n"
    for line in runs.unfinishedText { text += style.yellow(style.line(printable(line))) }
    if runs.leftOut > 0 { text += style.dim("\(runs.leftOut) more left out: warm-up, or never started\n") }
    if runs.peaks.clipped > 0 {
        text += style.yellow(
            style.line(
                "\(runs.peaks.clipped) came up against their limit of \(size(runs.limit)): they wanted more than they got"
            ))
    }
    text += "\n"
    var table = Table(
        ("PEAK", .left), ("OF THE RUNS", .right), ("WITH 95 %", .right), ("CONFIDENCE", .right), ("", .left))
    for quantile in [0.5, 0.9, 0.95, 0.99] { add(runs.peaks.quantile(quantile), to: &table) }
    text += table.text(style) + "\n"
    let rss = runs.residents
    text += "charged, the highest    \(size(runs.peaks.highest))\n"
    text += "peak RSS, the highest   \(size(rss.highest))  (the guide's figure)\n"
    if let run = runs.runs.filter({ !$0.isClipped && $0.summary?.anonBytes != nil }).max(by: { $0.peak < $1.peak }),
        let curve = run.summary
    {
        func part(_ bytes: Int64?) -> String { size(bytes.map { Double($0) }) }
        text += style.line(
            "made of                 \(part(curve.anonBytes)) programs' own, \(part(curve.fileBytes)) page cache, "
                + "\(part(curve.shmemBytes)) tmpfs and shared, \(part(curve.kernelBytes)) kernel; at the highest look, "
                + "\(part(curve.highestBytes))", indent: 24)
    }
    let curves = runs.runs.compactMap(\.summary)
    if !curves.isEmpty {
        let cost = curves.reduce(0) { $0 + $1.costNanoseconds }
        let looks = curves.reduce(0) { $0 + $1.samples }
        let spent = runs.runs.reduce(0) { $0 + $1.seconds }
        text +=
            "looking cost            \(Quantity.duration(looks > 0 ? cost / looks : 0)) a look, "
            + "\(percent(Double(cost) / 1e9 / max(spent, 0.001))) of a processor\n"
        let slopes = OrderStatistics(curves.compactMap { $0.growthBytesPerHour.map { Double($0) } })
        text +=
            slopes.count == 0
            ? "growth                  not known: the runs are shorter than \(Int(Growth.shortest)) s\n"
            : style.line(
                "growth                  \(mebibytes(slopes.median)) an hour in the middle, "
                    + "\(mebibytes(slopes.highest)) at most", indent: 24)
        if !runs.leaks.isEmpty {
            text += style.yellow("\(runs.leaks.count) runs grew without end: a leak, or work that was not over\n")
        }
    }
    for note in runs.notes { text += style.yellow(style.line("note: \(printable(note))", indent: 6)) }
    return text
}

private func mebibytes(_ bytes: Double?) -> String {
    guard let bytes else { return "-" }
    return (bytes < 0 ? "-" : "+") + Quantity.size(Int64(abs(bytes)))
}

private func percent(_ part: Double) -> String {
    let thousandths = (part * 100_000).rounded() / 1000
    return "\(thousandths) %"
}

func measureText(_ outcome: MeasureOutcome, parallel: Int, _ style: Style) -> String {
    var text = "campaign \(style.bold(outcome.campaign)), "
    if outcome.measurements.runs.isEmpty {
        // Nothing to make a table of.
        text += "no run of \(style.bold(printable(outcome.measurements.profile))) was measured\n"
        for line in outcome.measurements.unfinishedText { text += style.red(printable(line) + "\n") }
        return text
    }
    text += runsText(outcome.measurements, style)
    if let sum = outcome.peakOfSum, parallel > 1 {
        text += style.line(
            "all together            \(size(Double(sum))) at most, \(parallel) at a time, of which "
                + "\(size(Double(outcome.base))) is page cache that was there before", indent: 24)
    }
    text += style.line(
        outcome.ceiling.map {
            "carrel run admits sessions of this profile by \(size(Double($0.bytes))) from now on (\($0.runs) runs)"
        } ?? "carrel run admits sessions of this profile by their limit: a ceiling needs "
            + "\(MeasuredCeiling.fewestRuns) runs that end with 0, and none that is clipped")
    return text + style.dim("carrel capacity tells what hosts have room for\n")
}

func validationText(_ validation: Carrel.Validation, _ style: Style) -> String {
    var table = Table(("", .left), ("PEAK OF THE SUM", .right), ("", .left), wraps: true)
    let base = Double(validation.base)
    table.add([
        "predicted", size(validation.predictedTotal),
        "\(size(validation.predicted.low + base)) to \(size(validation.predicted.high + base)) in 19 of 20 draws",
    ])
    table.add(["measured", size(Double(validation.measured)), "the kernel's counter of the cgroup above them"])
    table.add(["all at their peak", size(validation.sumOfPeaks + base), "had they been there at one moment"])
    let off = abs(validation.error)
    let how = validation.error >= 0 ? "above" : "below"
    return
        "\(validation.sessions) sessions at once, predicted from \(validation.calibration.runs.count) single runs\n\n"
        + table.text(style) + "\n"
        + (off <= 0.1 ? style.green : style.yellow)("the prediction is \(percent(off)) \(how) what was measured\n")
}

func planText(_ plan: CapacityPlan, _ style: Style) -> String {
    var text = runsText(plan.measurements, style) + "\n"
    for bound in plan.parametric {
        text +=
            "if \(bound.distribution.rawValue): \(percentile(bound.quantile)) ≤ \(size(bound.bound)); "
            + (bound.isRefused
                ? style.yellow("the runs speak against it (fit \(percent(bound.fit)))")
                : "the runs do not speak against it (fit \(percent(bound.fit)))") + "\n"
    }
    if let ceiling = plan.ceiling {
        text += "\(style.bold("ceiling")) \(size(ceiling.bytes)): \(ceiling.basis)\n"
    } else {
        text += style.red("no ceiling: runs were clipped\n")
    }
    if let shortfall = plan.shortfall { text += style.yellow(style.line(shortfall)) }
    if let short = plan.shortCurves { text += style.yellow(style.line("note: \(short)", indent: 6)) }
    text += "\n"
    var table = Table(
        ("HOST", .right), ("GUIDE", .right), ("CEILING", .right), ("RISK/DAY", .right),
        ("AT \(plan.question.riskText)", .right), ("ASSURED", .right), ("ALL AT PEAK", .right),
        leavingOut: [3, 5])
    for row in plan.rows {
        let stress = row.overcommit.flatMap { plan.stress($0) }
        table.add([
            size(row.host), number(row.guide), number(row.ceiling),
            row.riskOfCeiling.map { $0 < 1e-9 ? "< 1e-9" : percent($0) } ?? "-", number(row.overcommit),
            number(row.overcommitAssured),
            stress.map { size($0) + ($0 > row.host ? ", \(size($0 - row.host)) too much" : ", fits") } ?? "-",
        ])
    }
    text += table.text(style) + "\n"
    let shared = plan.measurements.shared
    text += style.dim(
        style.line(
            "sessions a host, \(size(plan.question.overhead)) overhead"
                + (shared > 0 ? " and \(size(shared)) shared page cache" : ""))
            + style.line("GUIDE: peak RSS for a ceiling. CEILING: the kernel's peaks.")
            + style.line("RISK/DAY: bound of the risk with that many.")
            + style.line("AT: overcommit at that risk, as the runs were.")
            + style.line(
                "ASSURED: if the \(percent(plan.unseen)) of sessions that the runs cannot exclude stand at their limit."
            )
            + style.line("ALL AT PEAK: what the overcommit needs if all peak at one moment."))
    if let host = plan.rows.first, plan.ceiling != nil {
        let lines = plan.sensitivity(host: host.host)
        text += "\nIf overhead and ceiling are other than that, on \(size(host.host)):\n\n"
        var cells: [[String]] = lines.map { [size($0.overhead)] + $0.cells.map { "\($0.sessions)" } }
        cells.insert(["OVERHEAD \\ CEILING"] + (lines.first?.cells.map { size($0.ceiling) } ?? []), at: 0)
        let widths = cells[0].indices.map { column in cells.map { $0[column].unicodeScalars.count }.max() ?? 0 }
        for (index, line) in cells.enumerated() {
            let padded = zip(line, widths).map { String(repeating: " ", count: $1 - $0.unicodeScalars.count) + $0 }
            let joined = padded.joined(separator: "  ") + "\n"
            text += index == 0 ? style.bold(joined) : joined
        }
    }
    return text
}

// MARK: top

func topHead(_ lines: [SessionActivity], _ use: BerthUse) -> String {
    let used = lines.reduce(0) { $0 + ($1.status.memoryBytes ?? 0) }
    let taken = Quantity.size(use.taken) + (use.capacity.map { " of " + Quantity.size($0) } ?? "")
    return "\(lines.count) sessions, \(Quantity.size(used)) in use; \(use.sessions) berths have \(taken)"
        + (use.waiting > 0 ? "; \(use.waiting) wait" : "") + "\n\n"
}

func topTable(_ lines: [SessionActivity], _ style: Style) -> String {
    if lines.isEmpty { return "no session is running\n" }
    var table = Table(
        ("SESSION", .left), ("TENANT", .left), ("PROFILE", .left), ("MEMORY", .right), ("PEAK", .right),
        ("LIMIT", .right), ("CPU", .right), ("PSI", .right), ("EGRESS", .right), ("COST", .right), ("STATE", .left),
        leavingOut: [2, 8, 1, 4, 9, 7])
    func bytes(_ value: UInt64?) -> String { value.map { Quantity.size($0) } ?? "-" }
    for line in lines {
        let cost = line.egress.map { used -> String in
            let cents = (used.microdollars + 5000) / 10_000
            return "$\(cents / 100).\(cents % 100 < 10 ? "0" : "")\(cents % 100)"
        }
        let egress = line.egress.map { Quantity.size($0.bytesUp + $0.bytesDown) } ?? "-"
        table.add(
            [
                line.status.id, line.status.tenant, line.status.profile, bytes(line.status.memoryBytes),
                bytes(line.peak), bytes(line.status.memoryLimitBytes), line.cpus.map { Quantity.percent($0) } ?? "-",
                line.memoryStall.map { Quantity.percent($0) } ?? "-", egress,
                cost ?? "-", line.status.state + (line.isClipped ? ", at its limit" : ""),
            ], style: { line.isClipped || line.status.state == "paused" ? style.yellow($0) : $0 })
    }
    return table.text(style)
}

/// Draws on the whole terminal again and again, and leaves it as it was.
enum LiveScreen {
    /// - Parameter milliseconds: from one drawing to the next.
    static func run(every milliseconds: Int, _ draw: () throws(SessionError) -> String) throws(SessionError) -> Int32 {
        var before = termios()
        tcgetattr(0, &before)
        var raw = before
        // Keys come at once and are not shown; signals and the translation of newlines stay.
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        tcsetattr(0, TCSANOW, &raw)
        let signals = try? signalFD(signalSet([SIGINT, SIGTERM, SIGHUP, SIGWINCH]))
        _ = try? changeSignalMask(SIG_BLOCK, signalSet([SIGINT, SIGTERM, SIGHUP, SIGWINCH]))
        try put("\u{1b}[?1049h\u{1b}[?25l")
        defer {
            try? put("\u{1b}[?25h\u{1b}[?1049l")
            tcsetattr(0, TCSANOW, &before)
        }
        while true {
            let rows = (try? windowSize(of: .standardOutput)).map { Int($0.rows) } ?? 24
            let lines = try draw().split(separator: "\n", omittingEmptySubsequences: false).prefix(max(rows - 1, 1))
            // Each line is cleared behind its end, then all below: nothing flickers.
            try put("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\n") + "\u{1b}[J")
            var wanted: [(FileDescriptor, Readiness)] = [(.standardInput, .readable)]
            if let signals { wanted.append((signals, .readable)) }
            guard let ready = try? poll(wanted, timeout: milliseconds) else { return 0 }
            if !ready[0].isEmpty {
                var key: UInt8 = 0
                if read(0, &key, 1) <= 0 || key == UInt8(ascii: "q") || key == 0x1b || key == 0x03 { return 0 }
            }
            if let signals, let signal = try? readSignal(signals), signal.signal != SIGWINCH { return 0 }
        }
    }
}
