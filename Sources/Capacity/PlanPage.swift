import Documents

/// A plan as one page that can be mailed: drawings inline, no script, nothing from elsewhere, light and dark.
///
/// It is XHTML in an HTML document (polyglot markup), so that any XML parser can check it.
public struct PlanPage: Sendable {
    private let plan: CapacityPlan
    private let version: String
    private let made: Timestamp

    /// A page of this plan.
    ///
    /// - Parameters:
    ///   - version: of Carrel.
    ///   - made: when.
    public init(_ plan: CapacityPlan, version: String, made: Timestamp = .now) {
        self.plan = plan
        self.version = version
        self.made = made
    }

    private var runs: Measurements { plan.measurements }

    /// The whole page.
    public var html: String {
        """
        <!DOCTYPE html>
        <html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>
        <meta name="viewport" content="width=device-width, initial-scale=1"/>
        <meta name="color-scheme" content="light dark"/>
        <title>Capacity of \(escaped(runs.profile))</title>
        <style>\(pageStyle)</style></head><body><main>
        \(header)\(facts)\(notes)\(hosts)\(charts)\(percentiles)\(sensitivity)\(method)
        <footer>Made by carrel \(escaped(version)), \(String(made.description.prefix(10))) \
        \(String(made.description.dropFirst(11).prefix(5))) UTC\
        \(runs.campaigns.isEmpty ? "" : ", from campaign \(escaped(runs.campaigns.joined(separator: ", ")))"). \
        The same figures as JSON: <code>carrel capacity --json</code></footer>
        </main></body></html>

        """
    }

    private func join(_ words: [String]) -> String {
        if words.isEmpty { return "different commands" }
        let text = words.joined(separator: " ")
        return text.unicodeScalars.count > 300 ? String(text.prefix(300)) + "…" : text
    }

    private var header: String {
        let best = plan.rows.first
        var lead = "<b>\(runs.runs.count) runs</b> were measured by the kernel's own counters"
        if let ceiling = plan.ceiling { lead += "; a session is planned with <b>\(sizeText(ceiling.bytes))</b>" }
        if let best, let count = best.ceiling {
            lead += ", which gives a host of \(sizeText(best.host)) room for <b>\(count) sessions</b>"
        }
        return """
            <h1>How many sessions of <span>\(escaped(runs.profile))</span> a host has room for</h1>
            <p class="dim"><code>\(escaped(join(runs.command)))</code></p><p class="lead">\(lead).</p>
            """
    }

    private func fact(_ value: String, _ name: String) -> String {
        "<div class=\"fact\"><b>\(escaped(value))</b><span>\(escaped(name))</span></div>"
    }

    private var facts: String {
        var list = ""
        list +=
            plan.ceiling.map { fact(sizeText($0.bytes), "ceiling: " + $0.basis) }
            ?? fact("none", "ceiling: runs were clipped")
        list += fact(runs.peaks.highest.map(sizeText) ?? "-", "highest peak that was charged to a run")
        list += fact(runs.residents.highest.map(sizeText) ?? "-", "highest peak RSS, the guide's figure")
        if let limit = runs.limit { list += fact(sizeText(limit), "limit that each run was held to") }
        list += fact(duration(runs.medianSeconds), "median duration of a run")
        let slopes = OrderStatistics(runs.runs.compactMap { $0.summary?.growthBytesPerHour.map { Double($0) } })
        if let slope = slopes.median {
            list += fact(
                (slope >= 0 ? "+" : "") + sizeText(slope) + "/h", "median growth after the first third of a run")
        }
        return "<div class=\"facts\">\(list)</div>"
    }

    private func duration(_ seconds: Double) -> String {
        seconds < 120
            ? decimal(seconds, 1) + " s"
            : seconds < 7200 ? decimal(seconds / 60, 0) + " min" : decimal(seconds / 3600, 1) + " h"
    }

    private var notes: String {
        var notes: [String] = []
        if let shortfall = plan.shortfall {
            notes.append("not enough runs: " + shortfall)
        } else if runs.peaks.clipped > 0 {
            notes.append(
                "\(runs.peaks.clipped) of \(runs.runs.count) runs came up against their limit: they wanted more than they got"
            )
        }
        if !runs.leaks.isEmpty {
            notes.append(
                "\(runs.leaks.count) of \(runs.runs.count) runs grew without end: longer sessions need more than is planned here"
            )
        }
        if let short = plan.shortCurves { notes.append(short) }
        notes += runs.unfinishedText + runs.notes
        if notes.isEmpty {
            return
                "<p class=\"good\">The ceiling is a bound with 95\u{a0}% confidence, and no run came up against its limit.</p>"
        }
        return notes.map { "<p class=\"note\">\(escaped($0.prefix(1).uppercased() + $0.dropFirst())).</p>" }.joined()
    }

    private func cell(_ row: CapacityPlan.Row, _ sessions: Int?, _ label: String, _ more: String = "") -> String {
        guard let sessions else { return "<td data-label=\"\(escaped(label))\">–</td>" }
        var small = more
        if let needed = plan.stress(sessions) {
            small +=
                needed > row.host
                ? "<small class=\"bad\">all at peak: \(sizeText(needed - row.host)) too much</small>"
                : "<small>all at peak: fits, \(sizeText(row.host - needed)) left</small>"
        }
        return "<td data-label=\"\(escaped(label))\"><span><b>\(sessions)</b>\(small)</span></td>"
    }

    private var hosts: String {
        let names = [
            "Guide's formula", "Kernel-peak ceiling", "Overcommit at \(plan.question.riskText)", "Overcommit, assured",
        ]
        var body = ""
        for row in plan.rows {
            let bound = row.riskOfCeiling.map { "<small>risk a day ≤ \(risk($0))</small>" } ?? ""
            body +=
                "<tr><th scope=\"row\">\(sizeText(row.host))</th>\(cell(row, row.guide, names[0]))"
                + cell(row, row.ceiling, names[1], bound) + cell(row, row.overcommit, names[2])
                + cell(row, row.overcommitAssured, names[3]) + "</tr>"
        }
        let assured =
            "if the \(unseen)\u{a0}% of sessions that the runs cannot exclude stand at their limit"
        return """
            <h2>Sessions a host</h2><div class="wrap"><table class="stack"><thead><tr><th>Host</th>
            <th>\(names[0])<br/>peak RSS</th><th>\(names[1])</th><th>\(escaped(names[2]))<br/>as the runs were</th>
            <th>\(names[3])<br/>with 95\u{a0}% confidence</th></tr></thead><tbody>\(body)</tbody></table></div>
            <p class="dim">Of each host \(sizeText(plan.question.overhead)) are kept as overhead\
            \(runs.shared > 0 ? ", and \(sizeText(runs.shared)) of page cache are there once for all sessions" : ""). \
            “All at peak” is the stress row: what as many sessions need if each is at the highest peak ever measured at one \
            and the same moment. Assured: \(assured).\
            \(runs.peaks.clipped > 0 ? " Runs that were clipped wanted more than was measured, so what all need at their peak is not known." : "")</p>
            """
    }

    /// In percent; of many runs it is little, and never nothing.
    private var unseen: String { decimal(plan.unseen * 100, plan.unseen < 0.01 ? 4 : 1) }

    private func risk(_ value: Double) -> String {
        value >= 0.0001
            ? decimal(value * 100, 2) + "\u{a0}%"
            : value < 1e-9 ? "1 in a billion" : "1 in \(decimal((1 / value).rounded(), 0))"
    }

    private func figure(_ title: String, _ svg: String?, _ caption: String, _ keys: [(String, String)] = []) -> String {
        guard let svg else { return "" }
        let key = keys.map { "<span><i class=\"\($0.0)\"></i>\(escaped($0.1))</span>" }.joined()
        return "<figure><h3>\(escaped(title))</h3>" + (key.isEmpty ? "" : "<div class=\"key\">\(key)</div>") + svg
            + "<figcaption>\(escaped(caption))</figcaption></figure>"
    }

    private var charts: String {
        var ways = [("b-guide", "guide")]
        if plan.ceiling != nil { ways.append(("b-ceiling", "ceiling")) }
        let isReckoned = plan.rows.contains { $0.overcommit != nil }
        if isReckoned { ways.append(("b-over", "overcommit")) }
        var list = figure(
            "Sessions a host", plan.hostsChart,
            "The guide plans with resident sets, which miss page cache, tmpfs and the kernel's part, and count shared pages many times.",
            ways + (isReckoned ? [("b-sure", "assured")] : []))
        list += figure(
            "Peak of each run", plan.peaksChart,
            "Filled: the most that the kernel ever charged. Rings: peak RSS of the same run."
                + (runs.peaks.clipped > 0 ? " Red: cut off by the limit, no measurement." : ""),
            [("b-ceiling", "charged"), ("b-guide", "peak RSS")] + (runs.peaks.clipped > 0 ? [("b-bad", "clipped")] : [])
        )
        list += figure(
            "Memory over time", plan.curvesChart,
            "Up to forty runs, the highest in front with its true peak as a dot: between two looks there can be more than was seen.",
            [("b-ceiling", "runs"), ("b-over", "the highest")])
        list += figure(
            "What the highest runs are made of", plan.partsChart,
            "At the highest look of each run. The dashed line is the kernel's peak, the thin bar the peak RSS.",
            [
                ("b-c1", "programs' own"), ("b-c3", "tmpfs, shared"), ("b-c2", "kernel"), ("b-c4", "page cache"),
                ("b-guide", "RSS"),
            ])
        if let row = plan.rows.first {
            list += figure(
                "Risk a day on \(sizeText(row.host))", plan.riskChart(row),
                "Upper bound of the probability that the sessions together need more than the host has in any second of a day.",
                [("b-over", "as the runs were"), ("b-sure", "assured")])
        }
        list += figure(
            "If all are at their peak at one moment", plan.stressChart,
            "Memory needed as a part of the host; right of the red line the host runs out.", ways)
        return "<h2>What was measured</h2><div class=\"charts\">\(list)</div>"
    }

    private var percentiles: String {
        var body = ""
        for quantile in plan.quantiles {
            let name = percentile(quantile.quantile)
            let bound =
                quantile.upper.map { "≤ " + sizeText($0) }
                ?? (quantile.isClipped ? "clipped" : "none yet")
            body += """
                <tr><th scope="row">\(name)</th><td data-label="of the runs">\(quantile.estimate.map(sizeText) ?? "clipped")</td>
                <td data-label="not below">\(quantile.lower.map { "≥ " + sizeText($0) } ?? "–")</td>
                <td data-label="not above">\(bound)</td>
                <td data-label="more runs needed">\(quantile.runsNeeded == 0 ? "–" : "\(quantile.runsNeeded)")</td></tr>
                """
        }
        let suppositions = plan.parametric.map { bound in
            "<li>If peaks are \(bound.distribution.rawValue), \(percentile(bound.quantile)) ≤ \(sizeText(bound.bound)) with 95\u{a0}% "
                + "confidence. Anderson-Darling A² = \(decimal(bound.statistic, 2)), fit \(decimal(bound.fit, 3)): "
                + (bound.isRefused
                    ? "<b>the runs speak against it; do not use it.</b>" : "the runs do not speak against it.")
                + "</li>"
        }.joined()
        return """
            <h2>How sure the peaks are</h2><div class="wrap"><table class="stack"><thead><tr><th>Quantile</th><th>Of the runs</th>
            <th>Not below,<br/>95\u{a0}% confidence</th><th>Not above,<br/>95\u{a0}% confidence</th><th>More runs needed<br/>for a bound</th></tr></thead>
            <tbody>\(body)</tbody></table></div><p class="dim">Bounds are order statistics: they suppose nothing about how peaks are
            distributed. p99 needs 299 runs, p95 59, p90 29.</p>\(suppositions.isEmpty ? "" : "<ul>\(suppositions)</ul>")
            """
    }

    private var sensitivity: String {
        guard plan.ceiling != nil else { return "" }
        var tables = ""
        for row in plan.rows.prefix(2) {
            let lines = plan.sensitivity(host: row.host)
            guard let first = lines.first else { continue }
            let head = first.cells.map { "<th scope=\"col\">\(sizeText($0.ceiling))</th>" }.joined()
            var body = ""
            for line in lines {
                body += "<tr><th scope=\"row\">\(sizeText(line.overhead))</th>"
                for cell in line.cells {
                    let isHere = cell.ceiling == plan.ceiling?.bytes && line.overhead == plan.question.overhead
                    body += "<td\(isHere ? " class=\"here\"" : "")>\(cell.sessions)</td>"
                }
                body += "</tr>"
            }
            tables += """
                <h3>\(sizeText(row.host)): sessions by overhead (down) and ceiling (across)</h3><div class="wrap">
                <table class="heat"><thead><tr><th>Overhead</th>\(head)</tr></thead><tbody>\(body)</tbody></table></div><p></p>
                """
        }
        return "<h2>If overhead or ceiling are other than that</h2>" + tables
    }

    private var method: String {
        let looks = runs.runs.compactMap(\.summary)
        let cost = looks.reduce(0) { $0 + $1.costNanoseconds }
        let spent = runs.runs.reduce(0) { $0 + $1.seconds }
        let costText =
            looks.isEmpty
            ? "" : " Looking took \(decimal(Double(cost) / 1e7 / max(spent, 0.001), 3))\u{a0}% of a processor."
        return """
            <h2>How it is reckoned</h2><ul>
            <li><b>Peak</b>: the kernel's counter of the session's cgroup at its end (<code>memory.peak</code>): programs' own memory,
            page cache, tmpfs and the kernel's part. It is no sample, so no burst is missed.\(costText)</li>
            <li><b>Clipped</b>: a run that came up against its limit wanted more than it got. It is counted above all others and is never
            taken for a measurement.</li>
            <li><b>Page cache of the image</b> is charged to whoever touches it first. A warm-up run that does not count pays for it\
            \(runs.shared > 0 ? " (\(sizeText(runs.shared)) here)" : "").</li>
            <li><b>Guide's formula</b>: (RAM − overhead) ÷ peak RSS, the largest of one process or of the sum that was seen.</li>
            <li><b>Ceiling</b>: (RAM − overhead − shared page cache) ÷ ceiling.</li>
            <li><b>Overcommit</b>: the most sessions for which the bound of the risk stays within \(escaped(plan.question.riskText)). Each
            session is at a random moment of a random run; sessions are taken to be independent and all berths always in use. The bound is
            Chernoff's, for each of the 86,400 seconds of a day: the true risk is lower, if the runs are like what will run.</li>
            <li><b>Assured</b>: with 95\u{a0}% confidence no more than \(unseen)\u{a0}% of sessions are of a kind that
            \(runs.runs.count) runs did not show. Those are taken to stand at their limit all the time.</li>
            <li>Only memory is reckoned: processors, disks and the gateway may be full earlier.</li>
            <li>Where sessions are <b>not</b> independent (all begin at nine o'clock), only “all at peak” is safe.</li></ul>
            """
    }
}
