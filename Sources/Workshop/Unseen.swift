import Glibc

/// How much the next run may do that no run has done, estimated from how many things were seen in one run only.
///
/// What is counted are *families* (`SiblingCalls`), since that is what a synthesised profile allows: with `m` runs, `Q1`
/// families seen in exactly one run and `Q2` in exactly two,
///
///     unseen      Q0 = (m-1)/m * Q1^2 / (2 Q2)               Chao2 (Chao 1987); where Q2 = 0 its bias-corrected form
///                 Q0 = (m-1)/m * Q1 (Q1-1) / (2 (Q2+1))
///     a new one in run m+t+1:   L(t) = Q0 p (1-p)^t,   p = Q1 / (m Q0 + Q1)
///     P(break at run m+t+1)     = 1 - exp(-L(t))
///
/// L(t) is the slope of the curve that extrapolates incidence (Colwell et al. 2012, equation 18); with Q0 large and t = 0 it
/// is Q1/m, Good and Turing's estimate. Runs are taken to be drawn like those that were recorded: no estimate knows of work
/// that nobody recorded.
public struct Unseen: Sendable, Equatable {
    /// `m`.
    public let runs: UInt64
    /// Families that were seen.
    public let seen: Int
    /// `Q1`: families that were seen in one run only.
    public let once: Int
    /// `Q2`: families that were seen in two runs.
    public let twice: Int

    /// The estimate for a recording.
    public init(_ recording: Recording) {
        var incidence: [String: UInt64] = [:]
        for call in recording.calls { incidence[SiblingCalls.family(of: call.name), default: 0] += call.runs }
        self.init(runs: recording.runs, incidence: incidence.values.map { min($0, recording.runs) })
    }

    /// The estimate for things of which each was seen in so many of `runs` runs.
    public init(runs: UInt64, incidence: [UInt64]) {
        self.runs = runs
        seen = incidence.count
        once = incidence.count { $0 == 1 }
        twice = incidence.count { $0 == 2 }
    }

    /// `Q0`: how many families there are that no run has shown, by Chao2.
    public var missing: Double {
        guard runs > 1 else { return .infinity }
        let (m, q1, q2) = (Double(runs), Double(once), Double(twice))
        return (m - 1) / m * (twice > 0 ? q1 * q1 / (2 * q2) : q1 * (q1 - 1) / 2)
    }

    /// The probability that the run after `more` further ones meets a family that none before it did.
    public func breakProbability(after more: Double = 0) -> Double {
        guard runs > 1 else { return 1 }
        guard missing > 0 else { return 0 }
        return 1 - exp(-missing * step * pow(1 - step, more))
    }

    /// What the probability for the next run is below, with a confidence of 95 %, where each of `m` runs had nothing that no
    /// other run had: `1 - 0.05^(1/m)`, about `3/m`; `nil` where one had, since then that is no bound.
    public var upperBound: Double? { once > 0 || runs < 2 ? nil : 1 - pow(0.05, 1 / Double(runs)) }

    /// How many more runs make the probability fall below `limit` (between 0 and 1).
    ///
    /// - Returns: `nil` where one run is all there is: nothing can be said.
    public func runsNeeded(below limit: Double) -> UInt64? {
        guard runs > 1 else { return nil }
        guard breakProbability() >= limit else { return 0 }
        return Self.whole(log(-log1p(-limit) / (missing * step)) / log1p(-step))
    }

    /// How many runs without any surprise prove a probability below `limit`, with a confidence of 95 %.
    public static func runsToProve(below limit: Double) -> UInt64 { whole(log(0.05) / log1p(-limit)) }

    /// A number of runs, at least one; more than can be counted are the most that can.
    private static func whole(_ runs: Double) -> UInt64 { UInt64(exactly: max(1, runs.rounded(.up))) ?? .max }

    /// `p`. Where all that was seen once is one thing (Q0 = 0 by the bias-corrected form), there is no curve.
    private var step: Double {
        let (m, q1) = (Double(runs), Double(once))
        return q1 / (m * missing + q1)
    }
}
