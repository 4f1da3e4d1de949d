import Foundation
import Testing

@testable import Capacity

/// Draws that are the same at each run of the tests.
struct Draws {
    private var source = SplitMix(42)
    mutating func uniform() -> Double { (Double(source.next() >> 11) + 0.5) / Double(1 << 53) }
    mutating func normal() -> Double { ToleranceBound.normalQuantile(uniform()) }
}

@Suite struct StatisticsTests {
    @Test func theNumbersOfRunsAreTheKnownOnes() {
        #expect(OrderStatistics.runsNeeded(for: 0.99) == 299)
        #expect(OrderStatistics.runsNeeded(for: 0.95) == 59)
        #expect(OrderStatistics.runsNeeded(for: 0.90) == 29)
        #expect(abs(OrderStatistics.quantileBoundedByHighest(of: 29) - 0.9) < 0.002)
    }

    @Test(arguments: [(0.99, 299), (0.95, 59), (0.9, 29)]) func aBoundIsThereWithTheLastRunAndNotBefore(
        quantile: Double, runs: Int
    ) {
        let few = OrderStatistics((1..<runs).map(Double.init)).quantile(quantile)
        #expect(few.upper == nil && few.runsNeeded == 1 && !few.isClipped)
        let enough = OrderStatistics((1...runs).map(Double.init)).quantile(quantile)
        #expect(enough.upper == Double(runs) && enough.runsNeeded == 0)
        let none = OrderStatistics([]).quantile(quantile)
        #expect(none.upper == nil && none.estimate == nil && none.runsNeeded == runs)
    }

    /// The brief's reason for no bootstrap: a bound must cover the truth as often as it says.
    @Test(arguments: [(0.9, 30), (0.9, 100), (0.95, 60), (0.99, 300)]) func boundsCoverTheTruth(
        quantile: Double, runs: Int
    ) {
        var draws = Draws()
        let truth = exp(ToleranceBound.normalQuantile(quantile))
        var (above, below) = (0, 0)
        let rounds = 600
        for _ in 0..<rounds {
            let found = OrderStatistics((0..<runs).map { _ in exp(draws.normal()) }).quantile(quantile)
            if let upper = found.upper, upper >= truth { above += 1 }
            if let lower = found.lower { if lower <= truth { below += 1 } } else { below += 1 }
        }
        // 95 % less three standard errors.
        #expect(Double(above) / Double(rounds) >= 0.923, "\(above)")
        #expect(Double(below) / Double(rounds) >= 0.923, "\(below)")
    }

    @Test func aClippedRunIsNeverAMeasurement() {
        let runs = OrderStatistics((1...28).map(Double.init), clipped: 1)
        #expect(runs.highest == 28 && runs.count == 29)
        let p90 = runs.quantile(0.9)
        #expect(p90.upper == nil && p90.isClipped)
        // 46 runs bound p90 by the second highest; one of them is clipped.
        #expect(p90.runsNeeded == 46 - 29)
        #expect(OrderStatistics((1...45).map(Double.init), clipped: 1).quantile(0.9).upper == 45)
        #expect(OrderStatistics([1, 2], clipped: 8).median == nil)
        #expect(OrderStatistics([], clipped: 3).estimate(0.5) == nil)
        // All of a large campaign, as where its limit was too low: the answer is there at once.
        #expect(OrderStatistics([], clipped: 300).quantile(0.99).runsNeeded == 32695)
        #expect(OrderStatistics([], clipped: 3000).quantile(0.999).runsNeeded == 3_088_627)
    }

    @Test func aToleranceBoundHasTheKnownFactorAndItsFit() throws {
        var draws = Draws()
        let values = (0..<30).map { _ in 100 + 10 * draws.normal() }
        let bound = try #require(ToleranceBound(values, .normal, quantile: 0.99))
        let mean = values.reduce(0, +) / 30
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 29).squareRoot()
        // Tables have 3.064 for 30 values; the approximation is 3.05.
        #expect(abs((bound.bound - mean) / deviation - 3.06) < 0.03)
        #expect(!bound.isRefused)
        #expect(ToleranceBound(Array(values.prefix(7)), .normal, quantile: 0.99) == nil)
        #expect(ToleranceBound([Double](repeating: 5, count: 30), .normal, quantile: 0.99) == nil)
        #expect(ToleranceBound(values.map { $0 - 100 }, .lognormal, quantile: 0.99) == nil)
    }

    @Test func theFitRefusesWhatIsNotOfTheDistribution() throws {
        var draws = Draws()
        var refused = 0
        for _ in 0..<200 {
            let bound = try #require(ToleranceBound((0..<40).map { _ in draws.normal() }, .normal, quantile: 0.99))
            if bound.isRefused { refused += 1 }
        }
        #expect((2...22).contains(refused), "of 200 normal samples, \(refused) were refused: 10 are to be expected")
        // Two kinds of run, one of them rare.
        let mixed = (0..<60).map { $0 % 10 == 0 ? 400 + draws.normal() : 100 + draws.normal() }
        for distribution in ToleranceBound.Distribution.allCases {
            #expect(try #require(ToleranceBound(mixed, distribution, quantile: 0.99)).isRefused)
        }
    }

    @Test func aLeakIsToldFromBurstsAndFromWarmth() throws {
        var draws = Draws()
        let seconds = (0..<600).map(Double.init)
        let mebibyte = Double(1 << 20)
        func growth(_ bytes: (Double) -> Double) throws -> Growth {
            try #require(Growth(seconds: seconds, bytes: seconds.map(bytes)))
        }
        let leak = try growth { 100 * mebibyte + $0 * 0.1 * mebibyte + 3 * mebibyte * draws.normal() }
        #expect(leak.isLeak && abs(leak.bytesPerHour / mebibyte - 360) < 20)
        #expect(leak.lowest > 0 && leak.lowest <= leak.bytesPerHour)
        // A collector's teeth, and bursts that come and go.
        #expect(try !growth { 100 * mebibyte + ($0.truncatingRemainder(dividingBy: 30)) * mebibyte }.isLeak)
        #expect(
            try !growth { 100 * mebibyte + ($0.truncatingRemainder(dividingBy: 97) < 5 ? 150 : 0) * mebibyte }.isLeak)
        // What is loaded at the start is no leak.
        #expect(try !growth { min($0, 150) * mebibyte + 100 * mebibyte }.isLeak)
        // Nor is growth that is sure and small.
        #expect(try !growth { 1000 * mebibyte + $0 * 0.001 * mebibyte }.isLeak)
        #expect(Growth(seconds: [0, 1, 2], bytes: [1, 2, 3]) == nil)
    }
}
