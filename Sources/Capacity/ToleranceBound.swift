import Glibc

/// A bound of a quantile that supposes a distribution, and how well that distribution fits: never one without the other.
///
/// Fewer runs give a bound than without a distribution, and a wrong one where the tail is not as supposed: runs of two
/// kinds, one of them rare, are the usual case. The fit is tested by Anderson and Darling's statistic, which looks at the
/// tails, with mean and deviation estimated (D'Agostino and Stephens, Goodness-of-Fit Techniques, table 4.7 and 4.9).
public struct ToleranceBound: Sendable, Equatable {
    /// A distribution that runs may follow.
    public enum Distribution: String, Sendable, CaseIterable {
        case normal
        case lognormal
    }

    /// The distribution supposed.
    public let distribution: Distribution
    /// The quantile that is bounded from above.
    public let quantile: Double
    /// The bound, of 95 % confidence where the distribution is right.
    public let bound: Double
    /// The Anderson-Darling statistic, corrected for the number of runs.
    public let statistic: Double
    /// How often runs of this distribution would fit no better; below 0.05 the distribution is refused.
    public let fit: Double
    /// Whether the runs speak against the distribution.
    public var isRefused: Bool { fit < 0.05 }

    /// The fewest runs for which the test means anything.
    public static let fewestRuns = 8

    /// Bounds a quantile of what `values` are drawn from; `nil` for fewer than ``fewestRuns`` values, and for values that
    /// are all the same or, where logarithms are taken, not above 0. Nor is a bound beyond all memory that there is one.
    public init?(_ values: [Double], _ distribution: Distribution, quantile: Double, confidence: Double = 0.95) {
        let n = Double(values.count)
        guard values.count >= Self.fewestRuns, distribution == .normal || values.allSatisfy({ $0 > 0 }) else {
            return nil
        }
        let sorted = values.map { distribution == .normal ? $0 : log($0) }.sorted()
        let mean = sorted.reduce(0, +) / n
        let deviation = (sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (n - 1)).squareRoot()
        guard deviation > abs(mean) * 1e-12 else { return nil }
        var sum = 0.0
        for (index, value) in sorted.enumerated() {
            let low = Self.cumulative((value - mean) / deviation)
            let high = Self.cumulative((sorted[sorted.count - 1 - index] - mean) / deviation)
            sum += Double(2 * index + 1) * (log(max(low, 1e-300)) + log(max(1 - high, 1e-300)))
        }
        let raw = -n - sum / n
        statistic = raw * (1 + 0.75 / n + 2.25 / (n * n))
        fit = Self.tail(statistic)
        // Natrella's approximation of the factor of the noncentral t distribution (NIST handbook, 7.2.6.3).
        let (zq, zc) = (Self.normalQuantile(quantile), Self.normalQuantile(confidence))
        let a = 1 - zc * zc / (2 * (n - 1))
        let b = zq * zq - zc * zc / n
        guard a > 0, zq * zq - a * b >= 0 else { return nil }
        let factor = (zq + (zq * zq - a * b).squareRoot()) / a
        let limit = mean + factor * deviation
        bound = distribution == .normal ? limit : exp(limit)
        guard bound < Double(1 << 60) else { return nil }
        self.distribution = distribution
        self.quantile = quantile
    }

    /// How often the statistic is as high as this where the distribution is right.
    static func tail(_ a: Double) -> Double {
        switch a {
        case ..<0.2: 1 - exp(-13.436 + 101.14 * a - 223.73 * a * a)
        case ..<0.34: 1 - exp(-8.318 + 42.796 * a - 59.938 * a * a)
        case ..<0.6: exp(0.9177 - 4.279 * a - 1.38 * a * a)
        case ..<13: exp(1.2937 - 5.709 * a + 0.0186 * a * a)
        default: 0
        }
    }

    /// The normal distribution's function.
    static func cumulative(_ z: Double) -> Double { 0.5 * erfc(-z / 2.0.squareRoot()) }

    /// Its inverse, by bisection: asked a few times a report.
    static func normalQuantile(_ p: Double) -> Double {
        var (low, high) = (-40.0, 40.0)
        for _ in 0..<100 {
            let middle = (low + high) / 2
            if cumulative(middle) < p { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }
}
