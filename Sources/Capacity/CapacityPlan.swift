import Documents
import Glibc

/// What a planner asks for.
public struct PlanQuestion: Sendable, Equatable {
    /// The memory of each host, in bytes.
    public var hosts: [Double]
    /// Memory of a host that sessions do not get, in bytes.
    public var overhead: Double
    /// The quantile that the ceiling bounds, between 0 and 1; `nil`: the highest measured.
    public var quantile: Double?
    /// The risk of exhaustion a day that is accepted.
    public var risk: Double
    /// The risk as it was written.
    public var riskText: String

    /// A question.
    public init(
        hosts: [Double] = [64, 128, 256, 512].map { $0 * Double(1 << 30) }, overhead: Double = Double(2 << 30),
        quantile: Double? = 0.99, risk: Double = 0.01, riskText: String = "1%/day"
    ) {
        self.hosts = hosts
        self.overhead = overhead
        self.quantile = quantile
        self.risk = risk
        self.riskText = riskText
    }
}

/// The answer: how many sessions hosts of these sizes have room for, by three ways of reckoning.
public struct CapacityPlan: Sendable {
    /// A ceiling and how far it can be trusted.
    public struct Ceiling: Sendable, Equatable {
        /// Bytes a session.
        public var bytes: Double
        /// What it is, in words.
        public var basis: String
        /// Whether it is a bound with the confidence asked for.
        public var isBound: Bool
    }

    /// One size of host.
    public struct Row: Sendable, Equatable {
        /// The host's memory, in bytes.
        public var host: Double
        /// Sessions by the guide's formula: peak RSS for a ceiling.
        public var guide: Int?
        /// Sessions by the ceiling from the kernel's peaks.
        public var ceiling: Int?
        /// Sessions whose sum exceeds the host no more often than the risk says, as the runs were.
        public var overcommit: Int?
        /// The same, if all that the runs cannot exclude is so: with 95 % confidence.
        public var overcommitAssured: Int?
        /// An upper bound of the risk a day with as many sessions as the ceiling gives.
        public var riskOfCeiling: Double?
    }

    /// What was asked.
    public let question: PlanQuestion
    /// What it is reckoned from.
    public let measurements: Measurements
    /// The ceiling by the guide: resident sets.
    public let guide: Ceiling?
    /// The ceiling by the kernel's peaks; `nil` where runs were clipped and no bound can be given.
    public let ceiling: Ceiling?
    /// The percentiles, with their bounds.
    public let quantiles: [OrderStatistics.Quantile]
    /// Bounds that suppose a distribution, each with its fit.
    public let parametric: [ToleranceBound]
    /// How often a session may be of a kind that no run showed, with 95 % confidence.
    public let unseen: Double
    /// The sizes.
    public let rows: [Row]

    private let sum: SumOfSessions?
    private let assured: SumOfSessions?

    /// Reckons.
    public init(_ measurements: Measurements, _ question: PlanQuestion) {
        self.measurements = measurements
        self.question = question
        let peaks = measurements.peaks
        quantiles = [0.5, 0.9, 0.95, 0.99].map { peaks.quantile($0) }
        ceiling = Self.ceiling(peaks, question.quantile).map { ceiling in
            let least = measurements.leastCeiling
            if ceiling.bytes >= least { return ceiling }
            let basis = "the highest peak of the runs that did not come to their end"
            return Ceiling(bytes: least, basis: basis, isBound: ceiling.isBound)
        }
        guide = Self.ceiling(measurements.residents, question.quantile, isGuide: true)
        parametric =
            peaks.clipped > 0
            ? []
            : ToleranceBound.Distribution.allCases.compactMap {
                ToleranceBound(peaks.measured, $0, quantile: question.quantile ?? 0.99)
            }
        unseen = 1 - OrderStatistics.quantileBoundedByHighest(of: peaks.count)
        // A clipped run wanted more than its curve says: nothing can be reckoned from it.
        let sum = peaks.clipped > 0 ? nil : SumOfSessions(measurements.runs)
        let assured =
            peaks.clipped > 0 ? nil : SumOfSessions(measurements.runs, unseen: unseen, limit: measurements.limit)
        self.sum = sum
        self.assured = assured
        let (guide, ceiling) = (guide, ceiling)
        rows = question.hosts.map { host in
            let room = host - question.overhead - measurements.shared
            func fit(_ ceiling: Ceiling?, _ room: Double) -> Int? { ceiling.map { max(0, Int(room / $0.bytes)) } }
            var row = Row(host: host)
            row.guide = fit(guide, host - question.overhead)
            row.ceiling = fit(ceiling, room)
            row.overcommit = sum?.sessions(within: room, risk: question.risk)
            row.overcommitAssured = assured?.sessions(within: room, risk: question.risk)
            if let count = row.ceiling { row.riskOfCeiling = sum?.riskPerDay(of: count, above: room) }
            return row
        }
    }

    private static func ceiling(_ runs: OrderStatistics, _ quantile: Double?, isGuide: Bool = false) -> Ceiling? {
        guard let highest = runs.highest else { return nil }
        if isGuide {
            // The guide knows no confidence: it plans with the peak that was seen.
            return Ceiling(
                bytes: quantile.flatMap { runs.estimate($0) } ?? highest, basis: "peak RSS seen", isBound: false)
        }
        if let quantile {
            let bound = runs.quantile(quantile)
            if let upper = bound.upper {
                return Ceiling(
                    bytes: upper, basis: "\(percentile(quantile)) of \(runs.count) runs, 95\u{a0}% confidence",
                    isBound: true
                )
            }
        }
        if runs.clipped > 0 { return nil }
        let bounded = OrderStatistics.quantileBoundedByHighest(of: runs.count)
        let what = "highest of \(runs.count) runs: bounds p\(decimal(bounded * 100, 1)) with 95\u{a0}% confidence"
        return Ceiling(bytes: highest, basis: what, isBound: quantile == nil)
    }

    /// What is missing for the ceiling that was asked for, in words; `nil` where nothing is.
    public var shortfall: String? {
        guard let quantile = question.quantile else { return nil }
        let bound = measurements.peaks.quantile(quantile)
        if bound.upper != nil { return nil }
        if measurements.peaks.clipped > 0 {
            return "\(measurements.peaks.clipped) of \(measurements.runs.count) runs came up against their limit: a "
                + "\(percentile(quantile)) bound needs \(bound.runsNeeded) more runs that do not, or measurements with a "
                + "higher --memory"
        }
        return "a \(percentile(quantile)) bound needs \(bound.runsNeeded) more runs; "
            + "the highest of \(measurements.runs.count) stands in for it"
    }

    /// How many sessions fit where overhead and ceiling differ from what was asked.
    ///
    /// - Parameters:
    ///   - host: the host's memory, in bytes.
    ///   - overheads: factors of the overhead.
    ///   - ceilings: factors of the ceiling.
    public func sensitivity(
        host: Double, overheads: [Double] = [0.5, 1, 1.5, 2], ceilings: [Double] = [0.8, 0.9, 1, 1.1, 1.25, 1.5]
    ) -> [(overhead: Double, cells: [(ceiling: Double, sessions: Int)])] {
        guard let ceiling else { return [] }
        return overheads.map { overhead in
            let room = host - question.overhead * overhead - measurements.shared
            return (
                question.overhead * overhead,
                ceilings.map { (ceiling.bytes * $0, max(0, Int(room / (ceiling.bytes * $0)))) }
            )
        }
    }

    /// What `sessions` need if all are at the highest peak ever measured at one moment, overhead and shared pages included;
    /// `nil` where runs were clipped, and so wanted more than any that was measured.
    public func stress(_ sessions: Int) -> Double? {
        if measurements.peaks.clipped > 0 { return nil }
        return measurements.peaks.highest.map {
            Double(sessions) * max($0, measurements.leastCeiling) + question.overhead + measurements.shared
        }
    }

    /// What to know of the overcommit, in words; `nil` where there is nothing.
    public var shortCurves: String? {
        guard sum != nil, measurements.runs.contains(where: { ($0.curve?.points.count ?? 0) < 5 }) else { return nil }
        return
            "some runs have no curve, or a short one: overcommit takes them to be at their peak all the time (measure "
            + "with a shorter --interval)"
    }

    /// The risk a day, an upper bound, for each number of sessions: what the runs show, and with 95 % confidence.
    public func risk(host: Double, sessions: Int) -> (shown: Double?, assured: Double?) {
        let room = host - question.overhead - measurements.shared
        return (sum?.riskPerDay(of: sessions, above: room), assured?.riskPerDay(of: sessions, above: room))
    }
}

/// `p99` of 0.99.
public func percentile(_ quantile: Double) -> String { "p" + decimal(quantile * 100, 1) }

/// A number with at most so many digits behind the point.
func decimal(_ value: Double, _ places: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let (whole, part) = scaled.quotientAndRemainder(dividingBy: Int64(scale))
    var fraction = String(part)
    while fraction.utf8.count < places { fraction = "0" + fraction }
    while fraction.utf8.last == UInt8(ascii: "0") { fraction.removeLast() }
    let text = fraction.isEmpty || places == 0 ? "\(whole)" : "\(whole).\(fraction)"
    return value < 0 && scaled != 0 ? "-" + text : text
}

/// Bytes in the unit that suits them: `61 MiB`, `1.5 GiB`.
func sizeText(_ bytes: Double) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var (value, unit) = (abs(bytes), 0)
    while value >= 1000 && unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
    return (bytes < 0 ? "-" : "") + "\(decimal(value, value < 100 && unit > 0 ? 1 : 0)) \(units[unit])"
}
