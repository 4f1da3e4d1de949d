import Documents
import Foundation
import Records
import Testing

@testable import Capacity
@testable import Cgroups

private let mebibyte = Double(1 << 20)
private let gibibyte = Double(1 << 30)

/// A run with a curve of one look a second: `level` MiB, and bursts of `burst` MiB in `part` of the time.
private func run(
    _ name: String, level: Double, burst: Double = 0, part: Double = 0, seconds: Int = 100, clipped: Bool = false
) -> Measurements.Run {
    let points = (0..<seconds).map { second -> Curve.Point in
        let isBurst = Double(second % 20) < part * 20
        let bytes = (level + (isBurst ? burst : 0)) * mebibyte
        return Curve.Point(
            milliseconds: Int64(second) * 1000, bytes: UInt64(bytes))
    }
    return Measurements.Run(
        session: name, peak: (level + (part > 0 ? burst : 0)) * mebibyte, isClipped: clipped,
        resident: level * 0.7 * mebibyte, seconds: Double(seconds), how: .exited, curve: Curve(points))
}

private func measured(_ runs: [Measurements.Run], limit: Double = 1024) -> Measurements {
    var measurements = Measurements(profile: "agent <&>\"", command: ["agent", "--x=<script>"])
    measurements.runs = runs
    measurements.limit = limit * mebibyte
    measurements.campaigns = ["m-1"]
    return measurements
}

@Suite struct PlanTests {
    @Test func theChernoffBoundIsAboveTheTruthAndNotFarFromIt() throws {
        let sum = try #require(SumOfSessions([run("a", level: 50, burst: 150, part: 0.1)]))
        // Binomial: of 100 sessions each bursts a tenth of the time.
        for bursting in [20, 25, 30] {
            let bytes = (100 * 50 + Double(bursting) * 150) * mebibyte
            let truth = (bursting...100).reduce(0) { $0 + OrderStatistics.binomial($1, of: 100, 0.1) }
            let bound = sum.probability(of: 100, above: bytes)
            #expect(bound >= truth && bound < truth * 12, "\(bursting): \(bound) against \(truth)")
        }
        #expect(sum.probability(of: 100, above: 100 * 65 * mebibyte * 0.99) == 1)
        #expect(sum.probability(of: 100, above: 100 * 201 * mebibyte) == 0)
        #expect(abs(sum.probability(of: 2, above: 400 * mebibyte) - 0.01) < 0.001)
    }

    @Test func overcommitIsBetweenAllAtTheirPeakAndTheMean() throws {
        let runs = (0..<30).map { run("r\($0)", level: 50, burst: 150, part: 0.1) }
        let sum = try #require(SumOfSessions(runs))
        let room = 64 * gibibyte
        let count = sum.sessions(within: room, risk: 0.01)
        #expect(count > Int(room / (200 * mebibyte)) && count < Int(room / (65 * mebibyte)))
        #expect(sum.riskPerDay(of: count, above: room) <= 0.01 && sum.riskPerDay(of: count + 1, above: room) > 0.01)
        #expect(sum.sessions(within: room, risk: 0.0001) < count)
        let assured = try #require(SumOfSessions(runs, unseen: 0.095, limit: 1024 * mebibyte))
        #expect(assured.sessions(within: room, risk: 0.01) < count)
    }

    /// What no run showed stands at the limit; what runs showed does not, however many levels are taken together.
    @Test func whatNoRunShowedRaisesNothingElse() throws {
        // Taken together by twos, an odd number leaves one run to stand with the limit.
        let runs = (0..<1501).map { run("r\($0)", level: 50 + Double($0) / 100, seconds: 1) }
        let shown = try #require(SumOfSessions(runs)).mean
        let assured = try #require(SumOfSessions(runs, unseen: 0.001, limit: 1024 * mebibyte)).mean
        #expect(abs(assured - (shown * 0.999 + 1024 * mebibyte * 0.001)) < 1)
    }

    @Test func aRunWithoutACurveIsAtItsPeakAllTheTime() throws {
        var bare = run("a", level: 50, burst: 150, part: 0.1)
        bare.curve = nil
        let sum = try #require(SumOfSessions([bare]))
        #expect(sum.sessions(within: 1000 * mebibyte, risk: 0.01) == 5)
    }

    @Test func thePeakOfSessionsThatStartTogetherIsPredicted() throws {
        // All burst in their first second of twenty: together from the start, their peaks add up.
        let runs = (0..<8).map { run("r\($0)", level: 50, burst: 150, part: 0.05, seconds: 40) }
        let together = try #require(StartedTogether(runs, count: 20, gap: 0))
        #expect(abs(together.median - 20 * 200 * mebibyte) < mebibyte)
        // A second from one start to the next: two of them at a time are in a burst, twice a session.
        let apart = try #require(StartedTogether(runs, count: 20, gap: 1))
        #expect(apart.median < 20 * 110 * mebibyte)
        #expect(StartedTogether(runs, count: 20, gap: 1) == apart)
    }

    @Test func theTableIsTheFormulas() throws {
        let runs = (0..<300).map { run("r\($0)", level: 100 + Double($0) / 3) }
        let plan = CapacityPlan(measured(runs), PlanQuestion(hosts: [64 * gibibyte], overhead: 2 * gibibyte))
        let ceiling = try #require(plan.ceiling)
        #expect(ceiling.isBound && plan.shortfall == nil)
        #expect(plan.rows[0].ceiling == Int(62 * gibibyte / ceiling.bytes))
        let rss = try #require(plan.guide)
        #expect(plan.rows[0].guide == Int(62 * gibibyte / rss.bytes))
        #expect(plan.stress(10) == 10 * runs[299].peak + 2 * gibibyte)
        let sensitivity = plan.sensitivity(host: 64 * gibibyte)
        #expect(sensitivity.count == 4 && sensitivity[1].cells[2].sessions == plan.rows[0].ceiling)
        #expect(sensitivity[3].cells[5].sessions < sensitivity[0].cells[0].sessions)
        #expect(plan.csv.split(separator: "\r\n").count == 2)
        #expect(
            plan.node["hosts"]?.elements?.first?["ceiling"]?["sessions"]?.int == plan.rows[0].ceiling.map { Int64($0) })
        _ = try Node.parse(Array(plan.node.json().utf8), file: "plan")
    }

    @Test func tooFewRunsAreSaidToBeTooFew() throws {
        let plan = CapacityPlan(measured((0..<30).map { run("r\($0)", level: 100) }), PlanQuestion())
        #expect(plan.ceiling?.isBound == false)
        #expect(plan.shortfall?.contains("needs 269 more runs") == true)
    }

    @Test func clippedRunsGiveNoCeiling() throws {
        let runs = (0..<300).map { run("r\($0)", level: $0 < 10 ? 1024 : 100, clipped: $0 < 10) }
        let plan = CapacityPlan(measured(runs), PlanQuestion())
        #expect(plan.ceiling == nil && plan.rows[0].ceiling == nil && plan.rows[0].overcommit == nil)
        #expect(plan.shortfall?.contains("10 of 300 runs came up against their limit") == true)
        #expect(plan.parametric.isEmpty)
        // A bound can be given below them; they are told all the same.
        let median = CapacityPlan(measured(runs), PlanQuestion(quantile: 0.5))
        #expect(median.ceiling?.isBound == true && median.shortfall == nil)
        for plan in [median, CapacityPlan(measured(runs), PlanQuestion(quantile: nil))] {
            let page = PlanPage(plan, version: "1").html
            #expect(page.contains("10 of 300 runs came up against their limit") && !page.contains("no run came up"))
        }
    }

    /// All sessions of a ledger may be in it: it can be mailed all the same, and does not round to nothing what it cannot exclude.
    @Test func aPageOfManyRunsIsSmall() throws {
        func page(_ count: Int) -> String {
            PlanPage(
                CapacityPlan(measured((0..<count).map { run("r\($0)", level: 100, seconds: 1) }), PlanQuestion()),
                version: "1"
            )
            .html
        }
        func dots(_ page: String) -> Int { page.components(separatedBy: "<circle ").count - 1 }
        #expect(dots(page(300)) >= 600)
        let many = page(20_000)
        #expect(dots(many) <= 2001 && many.contains("one of 20 runs") && many.contains("r19999: 100 MiB"))
        #expect(many.contains("no more than 0.015\u{a0}% of sessions"))
    }

    /// What needed more without having come to its end is planned with, as admission does; all ways to read a plan tell.
    @Test func unfinishedRunsAreInEveryPlan() throws {
        var runs = measured((0..<300).map { run("r\($0)", level: 100, seconds: $0 == 0 ? 4 : 100) })
        runs.unfinished = [.init(how: .exited, status: 1, runs: 2, session: "u", peak: 500 * mebibyte)]
        let plan = CapacityPlan(runs, PlanQuestion(hosts: [64 * gibibyte]))
        #expect(plan.ceiling?.bytes == 500 * mebibyte && plan.ceiling?.isBound == true)
        #expect(plan.rows[0].ceiling == 62 * 1024 / 500 && plan.stress(2) == 1000 * mebibyte + 2 * gibibyte)
        let page = PlanPage(plan, version: "1").html
        #expect(page.contains("2 of 302 runs exited with 1") && page.contains("Some runs have no curve"))
        #expect(plan.node["notes"]?.elements?.last?.string == plan.shortCurves && plan.shortCurves != nil)
        runs.unfinished[0].peak = 5 * mebibyte
        #expect(CapacityPlan(runs, PlanQuestion()).ceiling?.bytes == 100 * mebibyte)
    }

    @Test func runsOfTwoKindsFarApartEndNoPlan() throws {
        // Their lognormal bound is beyond what 64 bits can count.
        let runs = (0..<8).map { run("r\($0)", level: $0 < 4 ? 0.5 : 60 * 1024) }
        let plan = CapacityPlan(measured(runs), PlanQuestion(quantile: 0.999))
        #expect(plan.parametric.map(\.distribution) == [.normal])
        _ = try Node.parse(Array(plan.node.json().utf8), file: "plan")
        #expect(plan.parametric.map { percentile($0.quantile) } == ["p99.9"])
    }

    @Test func thePageIsWellFormedAndNeedsNothingElse() throws {
        let few = CapacityPlan(
            measured((0..<30).map { run("r\($0)", level: 100 + Double($0), burst: 90, part: 0.1) }), PlanQuestion())
        let clipped = CapacityPlan(measured([run("a", level: 1024, clipped: true)]), PlanQuestion())
        for plan in [few, clipped] {
            let page = PlanPage(plan, version: "1").html
            for outside in ["<script", "src=", "href=", "url(", "@import", "<link"] {
                #expect(!page.contains(outside), "\(outside)")
            }
            #expect(page.contains("prefers-color-scheme:dark") && page.contains("agent &lt;&amp;&gt;&quot;"))
            let parser = XMLParserCheck(page)
            #expect(parser.error == nil, "\(parser.error ?? "")")
            #expect(parser.drawings >= (plan.ceiling == nil ? 2 : 5))
        }
    }

    @Test func aSplitIsReadAsEitherKernelTellsIt() throws {
        func split(_ text: String, unified: Bool, kernel: UInt64? = nil) -> MemorySplit? {
            Array(text.utf8).withUnsafeBytes { MemorySplit($0, isUnified: unified, kernel: kernel) }
        }
        #expect(
            split("anon 10\nfile 30\nkernel 5\nshmem 8\n", unified: true)
                == MemorySplit(anon: 10, file: 22, shmem: 8, kernel: 5))
        let v1 = "cache 1\nrss 1\nshmem 1\ntotal_cache 30\ntotal_rss 10\ntotal_shmem 8\n"
        #expect(split(v1, unified: false, kernel: 4) == MemorySplit(anon: 10, file: 22, shmem: 8, kernel: 4))
        #expect(split("nothing 1\n", unified: true) == nil)
    }

    @Test func aCurveIsReadBack() throws {
        var point = Curve.Point(milliseconds: 1000, bytes: 5)
        point.split = MemorySplit(anon: 1, file: 2, shmem: 3, kernel: 4)
        point.stall = 9
        let bare = Curve.Point(milliseconds: 2000, bytes: 6)
        let text = Curve.header + point.line + bare.line + "[3000,"
        #expect(Curve(Array(text.utf8)) == Curve([point, bare]))
        #expect(Curve(Array("{}\n".utf8)) == nil)
    }

    @Test func measuredRunsComeFirstAndWarmUpsNeverCount() throws {
        func report(_ name: String, campaign: Report.Campaign?, peak: Int64, clipped: Bool = false) -> Report {
            var report = Report(
                session: name, tenant: "t", host: .init(name: "h", bootID: ""), carrel: "1",
                profile: .init(name: "p", sha256: "1"), image: "host", command: ["c"], started: Timestamp(seconds: 0),
                ended: Timestamp(seconds: 10), exit: .init(how: .exited, status: 0, why: ""), cgroups: "unified")
            report.usage.memoryPeakBytes = peak
            report.usage.memoryClipped = clipped
            report.usage.pageCacheBytes = campaign?.isWarmUp == true ? 64 : 0
            report.campaign = campaign
            return report
        }
        let all = [
            report("plain", campaign: nil, peak: 999), report("w", campaign: .init(name: "m", run: 0), peak: 500),
            report("1", campaign: .init(name: "m", run: 1), peak: 100),
            report("2", campaign: .init(name: "m", run: 2), peak: 200, clipped: true),
        ]
        let found = try #require(Measurements(from: all))
        #expect(found.runs.map(\.session) == ["1", "2"] && found.shared == 64 && found.leftOut == 1)
        #expect(found.peaks == OrderStatistics([100], clipped: 1) && found.notes.isEmpty)
        let plain = try #require(Measurements(from: [all[0]]))
        #expect(plain.runs.count == 1 && plain.notes.count == 1 && plain.command == ["c"])
        var otherwise = all[0]
        otherwise.command = ["d"]
        let mixed = try #require(Measurements(from: [all[0], otherwise]))
        #expect(mixed.runs.count == 2 && mixed.command.isEmpty)
        #expect(PlanPage(CapacityPlan(mixed, PlanQuestion()), version: "1").html.contains("different commands"))
        #expect(Measurements(from: [], profile: nil) == nil && Measurements(from: all, profile: "other") == nil)
        // Of a campaign that another of another box has overtaken, its own and what adds up with it count.
        var other = report("3", campaign: .init(name: "o", run: 1), peak: 5)
        other.profile.sha256 = "2"
        let earlier = report("0", campaign: .init(name: "l", run: 1), peak: 50)
        let own = try #require(Measurements(from: [earlier] + all + [other], campaign: "m", withEarlier: true))
        #expect(own.runs.map(\.session) == ["0", "1", "2"] && own.campaigns == ["l", "m"])
        #expect(Measurements(from: [earlier] + all + [other], campaign: "m")?.runs.count == 2)
        // No kernel counts none; a clock that was set back makes no time of less than none.
        var odd = [report("4", campaign: .init(name: "m", run: 4), peak: 0), all[2]]
        odd[1].ended = Timestamp(seconds: -3600)
        let strange = try #require(Measurements(from: odd))
        #expect(strange.runs.map(\.seconds) == [0] && strange.leftOut == 1)
        // The format keeps them.
        var kept = all[2]
        kept.curve = Report.Curve(file: "curves/1.jsonl", intervalNanoseconds: 1_000_000_000)
        #expect(try Report(Node.parse(Array(kept.node.json().utf8), file: "r"), file: "r") == kept)
    }

    @Test func aCurveThatIsNotTheReportsIsNotUsed() throws {
        var report = Report(
            session: "s", tenant: "t", host: .init(name: "h", bootID: ""), carrel: "1",
            profile: .init(name: "p", sha256: "1"), image: "host", command: ["c"], started: Timestamp(seconds: 0),
            ended: Timestamp(seconds: 10), exit: .init(how: .exited, status: 0, why: ""), cgroups: "unified")
        report.usage.memoryPeakBytes = 900
        var summary = Report.Curve(file: "curves/s.jsonl", intervalNanoseconds: 1_000_000_000)
        (summary.samples, summary.highestBytes) = (6, 800)
        report.curve = summary
        let own = Curve((0..<6).map { Curve.Point(milliseconds: $0 * 1000, bytes: $0 == 3 ? 800 : 1) })
        #expect(Measurements(from: [report]) { _ in own }?.runs.first?.curve == own)
        // A later session of the same name has written over it; the disk was full for some looks.
        let others = Curve((0..<6).map { Curve.Point(milliseconds: $0 * 1000, bytes: 7) })
        for curve in [others, Curve(Array(own.points.prefix(5)))] {
            let found = try #require(Measurements(from: [report]) { _ in curve })
            #expect(found.runs.first?.curve == nil && SumOfSessions(found.runs)?.mean == 900)
        }
    }

    @Test func whatDidNotComeToItsEndIsNoMeasurementAndLowersNothing() throws {
        func report(_ number: Int, _ exit: Report.Exit, peak: Int64, inCampaign: Bool = true) -> Report {
            var report = Report(
                session: "s-\(number)", tenant: "t", host: .init(name: "h", bootID: ""), carrel: "1",
                profile: .init(name: "p", sha256: "1"), image: "host", command: ["c"], started: Timestamp(seconds: 0),
                ended: Timestamp(seconds: 10), exit: exit, cgroups: "unified")
            report.usage.memoryPeakBytes = peak
            report.campaign = inCampaign ? Report.Campaign(name: "m", run: Int64(number)) : nil
            return report
        }
        func ceiling(_ found: Measurements) -> MeasuredCeiling? {
            MeasuredCeiling(peaks: found.peaks, atLeast: found.leastCeiling, medianSeconds: 1, digest: "d")
        }
        let failed = Report.Exit(how: .exited, status: 1, why: "")
        let all = try #require(Measurements(from: (1...29).map { report($0, failed, peak: 7) }))
        #expect(all.runs.isEmpty && ceiling(all) == nil)
        #expect(all.unfinishedText == ["29 of 29 runs exited with 1: they are no measurements (carrel report s-1)"])
        // What each end is: the others are whole. One that did not come to its end and needed more is a ceiling's floor.
        let whole = (1...29).map { report($0, .init(how: .exited, status: 0, why: ""), peak: 100) }
        for (how, status) in [
            (.exited, 1), (.signaled, 139), (.timeout, 124), (.idle, 124), (.cpuTime, 124), (.killed, 137),
            (.recycled, 124), (.budget, 124), (.tripwire, 137), (.lost, nil),
        ] as [(Report.Exit.How, Int64?)] {
            let end = Report.Exit(how: how, status: status, why: "")
            let low = try #require(Measurements(from: whole + [report(30, end, peak: 5)]))
            #expect(low.runs.count == 29 && low.unfinished.count == 1 && ceiling(low)?.bytes == 100, "\(how)")
            let high = try #require(Measurements(from: whole + [report(30, end, peak: 500)]))
            #expect(ceiling(high)?.bytes == 500 && ceiling(high)?.runs == 29, "\(how)")
        }
        // A clipped run is counted as one, however it ended.
        var clipped = report(30, failed, peak: 100)
        clipped.usage.memoryClipped = true
        for run in [clipped, report(30, .init(how: .oom, status: 137, why: ""), peak: 100)] {
            let found = try #require(Measurements(from: whole + [run]))
            #expect(found.peaks.clipped == 1 && found.unfinished.isEmpty && ceiling(found) == nil)
        }
        // Sessions as they came end by their limits and by their users.
        let killed = report(1, .init(how: .killed, status: 137, why: ""), peak: 9, inCampaign: false)
        #expect(Measurements(from: [killed])?.runs.count == 1)
    }

    @Test func aMeasuredCeilingIsKept() throws {
        let scratch = Scratch()
        #expect(MeasuredCeiling(peaks: OrderStatistics([1, 2]), medianSeconds: 1, digest: "d") == nil)
        let clipped = OrderStatistics([Double](repeating: 5, count: 40), clipped: 1)
        #expect(MeasuredCeiling(peaks: clipped, medianSeconds: 1, digest: "d") == nil)
        let ceiling = try #require(
            MeasuredCeiling(peaks: OrderStatistics((1...29).map(Double.init)), medianSeconds: 3, digest: "d"))
        #expect(ceiling.bytes == 29)
        try ceiling.write(to: scratch.path + "/p")
        #expect(MeasuredCeiling(path: scratch.path + "/p") == ceiling)
        #expect(MeasuredCeiling(path: scratch.path + "/none") == nil)
        for damaged in ["1 0 29 3 d", "1 29 29 9223372036854775807 d", "1 29 29 -1 d"] {
            try damaged.write(toFile: scratch.path + "/p", atomically: true, encoding: .utf8)
            #expect(MeasuredCeiling(path: scratch.path + "/p") == nil)
        }
    }

    @Test func metricsAreEscaped() {
        var metrics = OpenMetrics()
        metrics.add("a_seconds", .counter, unit: "seconds", help: "x\ny", [([("l", "q\"\\\n")], 1.5)])
        metrics.add("none", .gauge, help: "x", [])
        #expect(
            metrics.document == """
                # TYPE a_seconds counter
                # UNIT a_seconds seconds
                # HELP a_seconds x\\ny
                a_seconds_total{l="q\\"\\\\\\n"} 1.5
                # EOF

                """)
    }
}

/// Whether a text is well-formed XML, by xmllint.
private struct XMLParserCheck {
    var error: String?
    var drawings = 0

    init(_ text: String) {
        drawings = text.components(separatedBy: "<svg ").count - 1
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c", "import sys, xml.dom.minidom; xml.dom.minidom.parseString(sys.stdin.buffer.read())",
        ]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardError = output
        do { try process.run() } catch {
            self.error = "\(error)"
            return
        }
        input.fileHandleForWriting.write(Data(text.utf8))
        try? input.fileHandleForWriting.close()
        let told = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        if process.terminationStatus != 0 { error = String(decoding: told, as: UTF8.self) }
    }
}
