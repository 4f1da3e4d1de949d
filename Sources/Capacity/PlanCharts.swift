import Glibc

// The drawings of a plan.

extension CapacityPlan {
    /// Sessions on each host, by the ways of reckoning: lying bars, grouped by host.
    var hostsChart: String {
        let series: [(style: String, value: (Row) -> Int?)] = [
            ("f-guide", \.guide), ("f-ceiling", \.ceiling), ("f-over", \.overcommit), ("f-sure", \.overcommitAssured),
        ]
        let shown = series.filter { one in rows.contains { one.value($0) != nil } }
        let most = rows.flatMap { row in shown.map { $0.value(row) ?? 0 } }.max() ?? 1
        let group = Double(shown.count) * 15 + 14
        let height = Double(rows.count) * group + 40
        var chart = Chart(
            "Sessions a host", x: Axis(to: Double(most) * 1.06, label: { decimal($0, 0) }),
            y: Axis(to: 1, label: { _ in "" }),
            height: height, left: 62, hasYLabels: false)
        for (index, row) in rows.enumerated() {
            let top = 14 + Double(index) * group
            chart.text(sizeText(row.host), 56, top + Double(shown.count) * 7.5 + 4, "tick end")
            for (place, one) in shown.enumerated() {
                guard let sessions = one.value(row) else { continue }
                let y = top + Double(place) * 15
                let end = chart.xPlace(Double(sessions))
                chart.rectangle(one.style, 62, y, end - 62, 12, "\(sessions) sessions on \(sizeText(row.host))")
                let isWide = end > Chart.width - 50
                chart.text("\(sessions)", isWide ? end - 4 : end + 4, y + 10, isWide ? "value end inside" : "value")
            }
        }
        return chart.svg
    }

    /// Each run's peak, the lowest first, with what it was by resident set.
    var peaksChart: String {
        let runs = measurements.runs.sorted { $0.peak < $1.peak }
        let highest = max(
            runs.map(\.peak).max() ?? 1, runs.compactMap(\.resident).max() ?? 0, ceiling?.bytes ?? 0)
        let showsLimit = (measurements.limit ?? .infinity) < highest * 1.6
        let top = showsLimit ? max(highest, measurements.limit ?? 0) : highest
        var chart = Chart(
            "Peak of each run", x: Axis(to: Double(max(runs.count, 1)), label: { decimal($0, 0) }),
            y: Axis(bytes: top * 1.08),
            hasXLabels: false)
        if let ceiling { chart.mark("l-ceiling", y: ceiling.bytes, "ceiling \(sizeText(ceiling.bytes))", atLeft: true) }
        if showsLimit, let limit = measurements.limit {
            chart.mark("l-bad", y: limit, "limit \(sizeText(limit))", atLeft: true)
        }
        let radius = runs.count > 120 ? 1.8 : runs.count > 40 ? 2.6 : 3.6
        // More dots than this are one line, and would make the page too large to mail.
        let step = max(1, (runs.count + 999) / 1000)
        for (index, run) in runs.enumerated() where (runs.count - 1 - index) % step == 0 {
            let width = chart.inner.right - chart.inner.left
            let x = chart.inner.left + width * (Double(index) + 0.5) / Double(runs.count)
            if let resident = run.resident {
                chart.dot("ring", x, chart.yPlace(resident), radius, "\(run.session): peak RSS \(sizeText(resident))")
            }
            let hint = "\(run.session): \(sizeText(run.peak)) charged" + (run.isClipped ? ", cut off by its limit" : "")
            chart.dot(run.isClipped ? "cut" : "f-ceiling", x, chart.yPlace(run.peak), radius, hint)
        }
        chart.text(
            step > 1 ? "one of \(step) runs, the lowest first" : "runs, the lowest first",
            (chart.inner.left + chart.inner.right) / 2, chart.height - 8, "tick middle")
        return chart.svg
    }

    /// Memory over time: at most forty runs, the highest in front.
    var curvesChart: String? {
        let all = measurements.runs.filter { ($0.curve?.points.count ?? 0) >= 2 }
        guard !all.isEmpty else { return nil }
        let step = max(1, all.count / 40)
        let highest = all.max { $0.peak < $1.peak }
        let shown = all.indices.filter { $0 % step == 0 }.map { all[$0] }
        let times = all.compactMap { $0.curve?.points.last?.milliseconds }
        var chart = Chart(
            "Memory over time", x: Axis(seconds: max(0.1, Double(times.max() ?? 0) / 1000)),
            y: Axis(bytes: (all.map(\.peak).max() ?? 1) * 1.05))
        func draw(_ run: Measurements.Run, _ style: String) {
            let points = run.curve?.points ?? []
            // Of each group of looks the highest, so that no burst is lost.
            let group = max(1, points.count / 160)
            var line: [(Double, Double)] = []
            for start in stride(from: 0, to: points.count, by: group) {
                guard let point = points[start..<min(start + group, points.count)].max(by: { $0.bytes < $1.bytes })
                else {
                    continue
                }
                line.append((Double(point.milliseconds) / 1000, Double(point.bytes)))
            }
            chart.path(style, line)
        }
        for run in shown where run.session != highest?.session { draw(run, "run") }
        if let highest {
            draw(highest, "high")
            if let point = highest.curve?.points.max(by: { $0.bytes < $1.bytes }) {
                chart.dot(
                    "f-over", chart.xPlace(Double(point.milliseconds) / 1000), chart.yPlace(highest.peak), 3.4,
                    "\(highest.session): the kernel's peak, \(sizeText(highest.peak))")
            }
        }
        return chart.svg
    }

    /// What the highest runs' memory was made of, with their resident sets beneath.
    var partsChart: String? {
        let runs = measurements.runs.filter { $0.summary?.anonBytes != nil }.sorted { $0.peak > $1.peak }.prefix(6)
        guard !runs.isEmpty else { return nil }
        let most = runs.map { max($0.peak, $0.resident ?? 0) }.max() ?? 1
        var chart = Chart(
            "What the highest runs are made of", x: Axis(bytes: most * 1.02, count: 3),
            y: Axis(to: 1, label: { _ in "" }),
            height: Double(runs.count) * 30 + 42, left: 14, hasYLabels: false)
        for (index, run) in runs.enumerated() {
            guard let curve = run.summary else { continue }
            var x = chart.inner.left
            let y = 12 + Double(index) * 30
            let parts: [(String, Int64?, String)] = [
                ("c1", curve.anonBytes, "programs' own"), ("c3", curve.shmemBytes, "tmpfs and shared"),
                ("c2", curve.kernelBytes, "kernel"), ("c4", curve.fileBytes, "page cache"),
            ]
            for (style, bytes, name) in parts {
                let width = chart.xPlace(Double(bytes ?? 0)) - chart.inner.left
                chart.rectangle(style, x, y, width, 14, "\(run.session): \(sizeText(Double(bytes ?? 0))) \(name)")
                x += width
            }
            let peak = chart.xPlace(run.peak)
            chart.line("l-ceiling", peak, y - 2, peak, y + 16)
            if let resident = run.resident {
                chart.rectangle(
                    "f-guide", chart.inner.left, y + 16, chart.xPlace(resident) - chart.inner.left, 5,
                    "\(run.session): peak RSS \(sizeText(resident))")
            }
        }
        return chart.svg
    }

    /// The risk a day by the number of sessions, for one host.
    func riskChart(_ row: Row) -> String? {
        guard let over = row.overcommit, over > 0, let ceiling = row.ceiling, ceiling > 0 else { return nil }
        let from = Int(Double(min(ceiling, over, row.overcommitAssured ?? over)) * 0.85)
        let to = max(from + 4, Int(Double(max(over, ceiling, row.guide ?? 0)) * 1.12))
        var chart = Chart(
            "Risk a day on \(sizeText(row.host))", x: Axis(from: Double(from), to: Double(to)),
            y: Axis(logarithmic: -8...0, label: { $0 >= 0.01 ? decimal($0 * 100, 0) + " %" : Self.power($0) }))
        func line(_ style: String, _ value: (Int) -> Double?) {
            var points: [(Double, Double)] = []
            let step = max(1, (to - from) / 80)
            for sessions in stride(from: from, through: to, by: step) {
                guard let risk = value(sessions), risk > 1e-8 else { continue }
                points.append((Double(sessions), risk))
                if risk >= 1 { break }
            }
            if points.count > 1 { chart.path(style, points) }
        }
        chart.mark("l-risk", y: question.risk, question.riskText)
        line("l-sure") { risk(host: row.host, sessions: $0).assured }
        line("l-over") { risk(host: row.host, sessions: $0).shown }
        for (style, count, name) in [("l-ceiling", row.ceiling, "ceiling"), ("l-guide", row.guide, "guide")] {
            guard let count, count >= from, count <= to else { continue }
            let x = chart.xPlace(Double(count))
            chart.line(style, x, chart.inner.top, x, chart.inner.bottom)
            let isRight = x > Chart.width - 70
            chart.text(
                "\(name) \(count)", isRight ? x - 4 : x + 4, name == "guide" ? 38 : 22, isRight ? "note end" : "note")
        }
        return chart.svg
    }

    private static func power(_ value: Double) -> String {
        let digits = [
            "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
        ]
        return "10⁻" + String(Int((-log10(value)).rounded())).map { digits[String($0)] ?? "" }.joined()
    }

    /// What all sessions need at their peak at one moment, as a part of the host.
    var stressChart: String? {
        guard measurements.peaks.highest != nil else { return nil }
        let series: [(String, (Row) -> Int?)] = [
            ("f-guide", { $0.guide }), ("f-ceiling", { $0.ceiling }), ("f-over", { $0.overcommit }),
        ]
        let parts = rows.flatMap { row in series.compactMap { $0.1(row).flatMap { stress($0) }.map { $0 / row.host } } }
        guard let most = parts.max() else { return nil }
        let group = 59.0
        var chart = Chart(
            "Memory that is needed if all are at their peak",
            x: Axis(to: max(most, 1) * 1.05, label: { decimal($0 * 100, 0) + " %" }),
            y: Axis(to: 1, label: { _ in "" }),
            height: Double(rows.count) * group + 42, left: 62, hasYLabels: false)
        for (index, row) in rows.enumerated() {
            let top = 16 + Double(index) * group
            chart.text(sizeText(row.host), 56, top + 26, "tick end")
            for (place, one) in series.enumerated() {
                guard let sessions = one.1(row), let needed = stress(sessions) else { continue }
                let y = top + Double(place) * 15
                let end = chart.xPlace(needed / row.host)
                chart.rectangle(
                    one.0, 62, y, end - 62, 12, "\(sessions) sessions need \(sizeText(needed)) of \(sizeText(row.host))"
                )
                let isWide = end > Chart.width - 70
                chart.text(sizeText(needed), isWide ? end - 4 : end + 4, y + 10, isWide ? "value end inside" : "value")
            }
        }
        let whole = chart.xPlace(1)
        chart.line("l-bad", whole, 6, whole, chart.inner.bottom)
        return chart.svg
    }
}

extension Axis {
    /// An axis of whole numbers that does not begin at 0.
    init(from low: Double, to high: Double) {
        let all = Axis(to: high - low, label: { _ in "" })
        let step = max(1, all.ticks.count > 1 ? all.ticks[1].value : 1).rounded()
        self.init(
            low: low, high: high, isLogarithmic: false,
            ticks: stride(from: (low / step).rounded(.up) * step, through: high, by: step).map { ($0, decimal($0, 0)) })
    }

    fileprivate init(low: Double, high: Double, isLogarithmic: Bool, ticks: [(value: Double, label: String)]) {
        (self.low, self.high, self.isLogarithmic, self.ticks) = (low, high, isLogarithmic, ticks)
    }
}
