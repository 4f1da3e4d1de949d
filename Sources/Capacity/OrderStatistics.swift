import Glibc

/// What a number of runs says about a quantile of all runs that there could be, without supposing any distribution.
///
/// The bounds are order statistics: of `n` runs the number below the quantile `p` is binomial, whatever the
/// distribution is, so the run of rank `r` is above the quantile with a probability that can be reckoned (David and
/// Nagaraja, Order Statistics, 7.1). Where `n` is too small no run is high enough, and there is no bound.
public struct OrderStatistics: Sendable, Equatable {
    /// What was measured, in ascending order.
    public let measured: [Double]
    /// How many further runs came up against their limit: all that is known is that they wanted more.
    public let clipped: Int

    /// Statistics of these runs.
    ///
    /// - Parameter clipped: runs whose figure is cut off at a limit. They count as higher than all others.
    public init(_ measured: [Double], clipped: Int = 0) {
        self.measured = measured.sorted()
        self.clipped = clipped
    }

    /// How many runs there are.
    public var count: Int { measured.count + clipped }
    /// The highest measured; `nil` where there is none.
    public var highest: Double? { measured.last }
    /// The middle of all runs; `nil` where it is a clipped one.
    public var median: Double? { estimate(0.5) }

    /// The run of this rank, from 1; `nil` where that is a clipped one, or there is none.
    private func value(rank: Int) -> Double? { 1 <= rank && rank <= measured.count ? measured[rank - 1] : nil }

    /// The smallest run that at least `quantile` of all runs do not exceed; `nil` where that is a clipped one.
    public func estimate(_ quantile: Double) -> Double? {
        measured.isEmpty ? nil : value(rank: max(1, Int((Double(count) * quantile).rounded(.up))))
    }

    /// What is known of one quantile.
    public struct Quantile: Sendable, Equatable {
        /// Which, between 0 and 1.
        public let quantile: Double
        /// The runs' own quantile; `nil` where it is a clipped run.
        public let estimate: Double?
        /// The true quantile is not below this, with the confidence asked for; `nil` where there are too few runs.
        public let lower: Double?
        /// The true quantile is not above this, with the confidence asked for; `nil` where there are too few runs, or the
        /// run that would be the bound was clipped.
        public let upper: Double?
        /// Whether the bound fell on a clipped run: only a higher limit can give one.
        public let isClipped: Bool
        /// How many more runs, none of them clipped, a bound from above needs; 0 where there is one.
        public let runsNeeded: Int
    }

    /// A quantile with one-sided bounds, each of this confidence.
    public func quantile(_ quantile: Double, confidence: Double = 0.95) -> Quantile {
        let rank = Self.upperRank(of: quantile, in: count, confidence: confidence)
        let upper = rank.flatMap { value(rank: $0) }
        let lowerRank = Self.lowerRank(of: quantile, in: count, confidence: confidence)
        let needed =
            upper == nil ? Self.runsNeeded(for: quantile, clipped: clipped, confidence: confidence) - count : 0
        return Quantile(
            quantile: quantile, estimate: estimate(quantile), lower: lowerRank.flatMap { value(rank: $0) },
            upper: upper,
            isClipped: rank != nil && upper == nil, runsNeeded: needed)
    }

    /// The fewest runs whose highest, below so many that were clipped, is a bound of this confidence: the first number of
    /// which no more than those are above the quantile with a probability of at most `1 - confidence`. Without clipped ones
    /// and for 95 % that is 299 for p99, 59 for p95 and 29 for p90.
    public static func runsNeeded(for quantile: Double, clipped: Int = 0, confidence: Double = 0.95) -> Int {
        func isEnough(_ count: Int) -> Bool {
            (0...clipped).reduce(0.0) { $0 + binomial($1, of: count, 1 - quantile) } <= 1 - confidence
        }
        // The probability falls with the number: between one that is too small and its double by halves.
        var (low, high) = (clipped, clipped + 1)
        while !isEnough(high) { (low, high) = (high, high * 2) }
        while high - low > 1 {
            let middle = (low + high) / 2
            if isEnough(middle) { high = middle } else { low = middle }
        }
        return high
    }

    /// The quantile that the highest of `count` runs bounds with this confidence: 0.9 for 29 runs.
    public static func quantileBoundedByHighest(of count: Int, confidence: Double = 0.95) -> Double {
        count > 0 ? pow(1 - confidence, 1 / Double(count)) : 0
    }

    /// The lowest rank that is not below the quantile with this confidence; `nil` where even the highest may be.
    static func upperRank(of quantile: Double, in count: Int, confidence: Double) -> Int? {
        var sum = 0.0
        for below in 0..<max(count, 0) {
            sum += binomial(below, of: count, quantile)
            if sum >= confidence { return below + 1 }
        }
        return nil
    }

    /// The highest rank that is not above the quantile with this confidence; `nil` where even the lowest may be.
    static func lowerRank(of quantile: Double, in count: Int, confidence: Double) -> Int? {
        var sum = 0.0
        for rank in stride(from: count, through: 1, by: -1) {
            sum += binomial(rank, of: count, quantile)
            if sum >= confidence { return rank }
        }
        return nil
    }

    /// The probability of `k` successes in `n`.
    static func binomial(_ k: Int, of n: Int, _ p: Double) -> Double {
        let (k, n) = (Double(k), Double(n))
        return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p))
    }
}
