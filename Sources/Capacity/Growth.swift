import Glibc

/// How fast a session's memory grows, and whether that looks like a leak.
///
/// The slope is the median of the slopes between all pairs of points (Theil 1950, Sen 1968): bursts and the peak of a
/// garbage collector do not move it as they move a least-squares line.
public struct Growth: Sendable, Equatable {
    /// Bytes an hour.
    public let bytesPerHour: Double
    /// The slope is not below this, with 95 % confidence (Sen's bound of the rank correlation).
    public let lowest: Double
    /// Whether it is a leak: growth that is certain, and that over the time looked at added a tenth of what was used, and
    /// at least 8 MiB.
    public let isLeak: Bool

    /// The shortest time that says anything about growth, in seconds.
    public static let shortest = 30.0
    /// The fewest points.
    static let fewest = 20

    /// The growth of a curve without its first third, in which programs load what they need; `nil` for a curve that is
    /// too short.
    ///
    /// - Parameters:
    ///   - seconds: when, ascending.
    ///   - bytes: how much then.
    public init?(seconds: [Double], bytes: [Double]) {
        guard let first = seconds.first, let last = seconds.last, last - first >= Self.shortest else { return nil }
        let start = first + (last - first) / 3
        var points = zip(seconds, bytes).filter { $0.0 >= start }.map { (time: $0.0, bytes: $0.1) }
        guard points.count >= Self.fewest else { return nil }
        // All pairs of 400 points are 80,000: more say no more.
        let step = (points.count + 399) / 400
        if step > 1 { points = points.indices.filter { $0 % step == 0 }.map { points[$0] } }
        var slopes: [Double] = []
        slopes.reserveCapacity(points.count * (points.count - 1) / 2)
        for later in points.indices {
            for earlier in 0..<later where points[later].time > points[earlier].time {
                slopes.append(
                    (points[later].bytes - points[earlier].bytes) / (points[later].time - points[earlier].time))
            }
        }
        guard !slopes.isEmpty else { return nil }
        slopes.sort()
        let n = Double(points.count)
        // Kendall's S varies by n(n-1)(2n+5)/18; its bound, in ranks of slopes, is half of that many deviations off.
        let spread = 1.645 * (n * (n - 1) * (2 * n + 5) / 18).squareRoot()
        let lowRank = max(0, Int((Double(slopes.count) - spread) / 2))
        let middle = slopes.count / 2
        let slope = slopes.count % 2 == 1 ? slopes[middle] : (slopes[middle - 1] + slopes[middle]) / 2
        bytesPerHour = slope * 3600
        lowest = slopes[lowRank] * 3600
        let span = points[points.count - 1].time - points[0].time
        let level = points.map(\.bytes).sorted()[points.count / 2]
        isLeak = lowest > 0 && slope * span > max(level / 10, Double(8 << 20))
    }
}
