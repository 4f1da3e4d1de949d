import Glibc

/// How much memory many sessions use together when each lives on its own.
///
/// A session's memory is taken at a random moment of a random run: at the moment of its highest look it stands at its
/// kernel peak. Sessions are taken to be independent of each other, and every berth to be in use at all times.
public struct SumOfSessions: Sendable {
    /// What one session uses at a random moment: values in bytes and how much of the time.
    let levels: [(bytes: Double, weight: Double)]
    /// The mean of one session, in bytes.
    public let mean: Double

    /// The sum of sessions like `runs`. A run without a curve of at least five looks counts as if it were at its peak all
    /// the time.
    ///
    /// - Parameters:
    ///   - unseen: how often a session is of a kind that no run showed, and stands at `limit` all the time.
    ///   - limit: what no session can exceed.
    public init?(_ runs: [Measurements.Run], unseen: Double = 0, limit: Double? = nil) {
        guard !runs.isEmpty, unseen == 0 || limit != nil else { return nil }
        let total = runs.reduce(0) { $0 + max($1.seconds, 0.001) }
        var levels: [(bytes: Double, weight: Double)] = []
        for run in runs {
            let part = max(run.seconds, 0.001) / total * (1 - unseen)
            let values = Self.values(of: run)
            for value in values { levels.append((value, part / Double(values.count))) }
        }
        // Thousands of looks differ by little: 512 levels, each rounded up, are as good.
        levels.sort { $0.bytes < $1.bytes }
        var merged: [(bytes: Double, weight: Double)] = []
        let step = max(1, levels.count / 512)
        for start in stride(from: 0, to: levels.count, by: step) {
            let group = levels[start..<min(start + step, levels.count)]
            merged.append((group.last?.bytes ?? 0, group.reduce(0) { $0 + $1.weight }))
        }
        // Apart from them: rounded up to the limit, a group of the highest looks would be too much.
        if unseen > 0, let limit { merged.append((max(limit, merged.last?.bytes ?? 0), unseen)) }
        self.levels = merged
        mean = merged.reduce(0) { $0 + $1.bytes * $1.weight }
    }

    /// The looks of a run, the highest of them raised to the kernel's peak.
    static func values(of run: Measurements.Run) -> [Double] {
        guard let points = run.curve?.points, points.count >= 5 else { return [run.peak] }
        var values = points.map { Double($0.bytes) }
        if let highest = values.indices.max(by: { values[$0] < values[$1] }) { values[highest] = run.peak }
        return values
    }

    /// An upper bound of the probability that `count` sessions together are above `bytes` at a random moment (Chernoff
    /// 1952): no shape is supposed, and the true probability is never higher.
    public func probability(of count: Int, above bytes: Double) -> Double {
        guard count > 0 else { return 0 }
        let share = bytes / Double(count)
        guard share > mean else { return 1 }
        guard let highest = levels.last?.bytes, share <= highest else { return 0 }
        if share == highest {
            return pow(levels.reduce(0) { $0 + ($1.bytes == highest ? $1.weight : 0) }, Double(count))
        }
        // log E exp(t (X - share)) is convex in t; its lowest point by golden section, in units of the highest level.
        func logMoment(_ t: Double) -> Double {
            let sum = levels.reduce(0) { $0 + $1.weight * exp(t * ($1.bytes - highest) / highest) }
            return log(sum) + t * (highest - share) / highest
        }
        var (low, high) = (0.0, 1.0)
        while logMoment(high * 2) < logMoment(high) && high < 1e6 { high *= 2 }
        high *= 2
        let ratio = (5.0.squareRoot() - 1) / 2
        for _ in 0..<80 {
            let (left, right) = (high - ratio * (high - low), low + ratio * (high - low))
            if logMoment(left) < logMoment(right) { high = right } else { low = left }
        }
        return min(1, exp(Double(count) * logMoment((low + high) / 2)))
    }

    /// An upper bound of the probability that `count` sessions together are above `bytes` in any second of a day.
    public func riskPerDay(of count: Int, above bytes: Double) -> Double {
        min(1, 86_400 * probability(of: count, above: bytes))
    }

    /// The most sessions whose risk of being above `bytes` stays within `risk` a day.
    public func sessions(within bytes: Double, risk: Double) -> Int {
        guard bytes > 0, mean > 0, let highest = levels.last?.bytes else { return 0 }
        // So many fit whatever they do, and on average no more than so many fit at all.
        var (low, high) = (Int(bytes / highest), Int(bytes / mean) + 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if riskPerDay(of: middle, above: bytes) <= risk { low = middle } else { high = middle }
        }
        return low
    }
}

/// The peak of the sum of sessions that start at one moment, from the curves of single ones.
public struct StartedTogether: Sendable, Equatable {
    /// The middle of the peaks of all draws, in bytes.
    public let median: Double
    /// One draw of forty is below this, in bytes.
    public let low: Double
    /// One draw of forty is above this, in bytes.
    public let high: Double

    /// Draws `count` runs again and again, with their curves beginning at one moment, and adds them up.
    ///
    /// - Parameters:
    ///   - gap: seconds from one start to the next.
    ///   - draws: how often.
    /// - Returns: `nil` where a run has no curve of at least five looks.
    public init?(_ runs: [Measurements.Run], count: Int, gap: Double, draws: Int = 400, seed: UInt64 = 1) {
        guard !runs.isEmpty, count > 0, runs.allSatisfy({ ($0.curve?.points.count ?? 0) >= 5 }) else { return nil }
        // One grid of time for all: the finest that any curve has, at most 4,000 places.
        let longest = runs.map(\.seconds).max() ?? 0
        let end = longest + gap * Double(count)
        let step = max(end / 4000, 0.01)
        let cells = Int(end / step) + 2
        let curves = runs.map { run -> [Double] in
            let points = run.curve?.points ?? []
            let values = SumOfSessions.values(of: run)
            var cells = [Double](repeating: 0, count: Int(run.seconds / step) + 1)
            var index = 0
            for cell in cells.indices {
                let now = Double(cell) * step * 1000
                while index + 1 < points.count && Double(points[index + 1].milliseconds) <= now { index += 1 }
                cells[cell] = values[index]
            }
            // A look may fall between two places: none of the highest is lost.
            for (point, value) in zip(points, values) {
                let cell = min(cells.count - 1, Int(Double(point.milliseconds) / 1000 / step))
                cells[cell] = max(cells[cell], value)
            }
            return cells
        }
        var random = SplitMix(seed)
        var peaks: [Double] = []
        var sum = [Double](repeating: 0, count: cells)
        for _ in 0..<draws {
            for cell in sum.indices { sum[cell] = 0 }
            for session in 0..<count {
                let curve = curves[Int(random.next() % UInt64(curves.count))]
                let start = Int(Double(session) * gap / step)
                for (cell, value) in curve.enumerated() where start + cell < cells { sum[start + cell] += value }
            }
            peaks.append(sum.max() ?? 0)
        }
        peaks.sort()
        median = peaks[peaks.count / 2]
        low = peaks[peaks.count / 40]
        high = peaks[peaks.count - 1 - peaks.count / 40]
    }
}

/// A small generator (Steele, Lea and Flood 2014): the same draws for the same seed, so that a report can be made again.
struct SplitMix {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
