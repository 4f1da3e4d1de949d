import Documents
import Foundation
import Testing

@testable import Workshop

@Suite("merging recordings") struct MergeTests {
    @Test("the union, with the runs of each call and of each combination of arguments")
    func union() throws {
        func socket(_ family: UInt64) -> [RecordedScalar] {
            [RecordedScalar(index: 0, mask: 0xffff_ffff, value: family)]
        }
        var one = recording("read", "write")
        one.add("socket", count: 2, scalars: socket(2))
        var two = recording("read", command: "git")
        two.add("socket", count: 1, scalars: socket(2))
        two.add("socket", count: 4, deniedWith: 1, scalars: socket(40))
        two.lost = 3
        let merged = try #require(Recording.merging([one, two, recording("read")]))
        #expect(merged.runs == 3 && merged.lost == 3 && merged.commands.map(\.runs) == [1, 2])
        #expect(merged.calls.map(\.name) == ["read", "socket", "write"])
        #expect(merged.calls.map(\.runs) == [3, 2, 1] && merged.calls.map(\.count) == [3, 7, 1])
        #expect(merged.calls[1].arguments.map(\.runs) == [2, 1] && merged.calls[1].arguments.map(\.denied) == [0, 4])
        #expect(merged.executables.map(\.path) == ["/bin/git", "/bin/true"] && merged.environments == [here])
        // The order does not matter, nor whether it is done in one go; and the file can be read again.
        let half = try #require(Recording.merging([two, one]))
        let again = try #require(Recording.merging([recording("read"), half]))
        #expect(again.text == merged.text)
        #expect(try Recording(reading: [UInt8](merged.text.utf8), file: "m") == merged)
        #expect(Recording.merging([]) == nil)
    }

    @Test("a run that is in two recordings is found, two runs that look the same are two")
    func repeated() throws {
        var (one, two) = (recording("read"), recording("read"))
        #expect(Recording.repeated(in: [one, one, two]) == nil, "nothing tells them apart")
        (one.runIDs, two.runIDs) = (["a"], ["b"])
        #expect(Recording.repeated(in: [one, two]) == nil)
        let both = try #require(Recording.merging([two, one]))
        #expect(both.runs == 2 && both.runIDs == ["a", "b"])
        let found = try #require(Recording.repeated(in: [recording("write"), two, both]))
        #expect(found == (1, 2))
        // They are kept in the file.
        #expect(try Recording(reading: [UInt8](both.text.utf8), file: "m") == both)
    }

    @Test("Chao2, by hand")
    func chao() {
        // 10 runs; 4 things seen once, 2 twice: Q0 = 9/10 * 16/4 = 3.6
        let unseen = Unseen(runs: 10, incidence: [1, 1, 1, 1, 2, 2, 5, 10, 10])
        #expect(abs(unseen.missing - 3.6) < 1e-12)
        // p = 4 / (10*3.6 + 4) = 0.1; L(0) = 0.36
        #expect(abs(unseen.breakProbability() - (1 - exp(-0.36))) < 1e-12)
        #expect(abs(unseen.breakProbability(after: 10) - (1 - exp(-0.36 * pow(0.9, 10)))) < 1e-12)
        // No thing seen twice: the bias-corrected form, 9/10 * 4*3/2
        #expect(abs(Unseen(runs: 10, incidence: [1, 1, 1, 1]).missing - 5.4) < 1e-12)
    }

    @Test("runs still needed: the first number of runs after which the estimate is below the bound")
    func needed() throws {
        let unseen = Unseen(runs: 10, incidence: [1, 1, 1, 1, 2, 2, 5])
        for bound in [0.2, 0.1, 0.05, 0.01, 0.001] {
            let more = try #require(unseen.runsNeeded(below: bound))
            #expect(unseen.breakProbability(after: Double(more)) <= bound + 1e-9, "\(bound)")
            if more > 0 { #expect(unseen.breakProbability(after: Double(more) - 1) >= bound - 1e-9, "\(bound)") }
        }
        #expect(Unseen(runs: 20, incidence: [20, 5]).runsNeeded(below: 0.01) == 0)
        #expect(Unseen(runs: 20, incidence: [20, 5]).upperBound ?? 0 > 0.13)
        // Where a run had what no other had, 1 - 0.05^(1/m) bounds nothing.
        #expect(unseen.upperBound == nil && unseen.document["upperBound95"]?.isNull == true)
        #expect(Unseen(runs: 1, incidence: []).upperBound == nil)
        #expect(Unseen(runs: 1, incidence: [1]).runsNeeded(below: 0.5) == nil)
        #expect(Unseen(runs: 1, incidence: [1]).breakProbability() == 1)
        // One thing seen once and nothing twice: Q0 is 0 by the bias-corrected form, and nothing is expected.
        #expect(Unseen(runs: 5, incidence: [1, 5]).runsNeeded(below: 0.01) == 0)
        #expect(Unseen.runsToProve(below: 0.01) == 299)
        // Bounds that 1 - x does not tell from 0.
        #expect((299_573_227_355_399_000...299_573_227_355_399_999).contains(Unseen.runsToProve(below: 1e-17)))
        #expect(Unseen.runsToProve(below: .leastNonzeroMagnitude) == .max)
        #expect((300...500).contains(unseen.runsNeeded(below: 1e-17) ?? 0), "log(0.36e17) / -log(0.9)")
    }

    @Test("the estimate counts families: a sibling is no surprise")
    func families() throws {
        let runs = [recording("read", "stat"), recording("read", "newfstatat"), recording("read", "statx", "bind")]
        let unseen = Unseen(try #require(Recording.merging(runs)))
        #expect(unseen.seen == 3 && unseen.once == 1 && unseen.twice == 0)
    }

    @Test("Chao2 finds, on made-up runs, about as many as there are")
    func simulated() {
        var state: UInt64 = 7
        func dice() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 33) / Double(1 << 31)
        }
        // 100 things of rising rareness, 30 runs, 200 times: the mean of what is estimated beside what is missing.
        var (estimated, missing, predicted, happened) = (0.0, 0.0, 0.0, 0.0)
        for _ in 0..<200 {
            let chances = (0..<100).map { 0.5 / Double(1 + $0) + 0.005 }
            var counts = [UInt64](repeating: 0, count: 100)
            for _ in 0..<30 { for thing in 0..<100 where dice() < chances[thing] { counts[thing] += 1 } }
            let unseen = Unseen(runs: 30, incidence: counts.filter { $0 > 0 })
            estimated += unseen.missing
            missing += Double(counts.count { $0 == 0 })
            predicted += unseen.breakProbability()
            let isNew = (0..<100).contains { counts[$0] == 0 && dice() < chances[$0] }
            happened += isNew ? 1 : 0
        }
        // A lower bound in expectation, and near it where rareness is not extreme.
        #expect(estimated < 1.15 * missing && estimated > 0.6 * missing, "\(estimated) \(missing)")
        #expect(abs(predicted - happened) < 30, "\(predicted) \(happened)")
    }
}
