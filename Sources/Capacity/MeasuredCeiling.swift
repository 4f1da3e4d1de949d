import Glibc
import Syscalls

/// What measurements of a profile allow its sessions to be admitted by: `ceilings/PROFILE` in the state directory.
///
/// One line, since every start may read it: format, bytes, runs, the median duration in seconds, and the digest of what
/// was measured.
public struct MeasuredCeiling: Sendable, Equatable {
    /// Memory of one berth, in bytes.
    public var bytes: UInt64
    /// How many runs it comes from.
    public var runs: Int
    /// How long half of the runs lasted at most, in seconds.
    public var medianSeconds: Int64
    /// What was measured: ``Carrel`` reckons it from the profile without what changes from call to call.
    public var digest: String

    /// The fewest runs that a ceiling may come from: the highest of 29 is a p90 bound with 95 % confidence.
    public static let fewestRuns = 29

    /// A ceiling.
    public init(bytes: UInt64, runs: Int, medianSeconds: Int64, digest: String) {
        self.bytes = bytes
        self.runs = runs
        self.medianSeconds = medianSeconds
        self.digest = digest
    }

    /// The ceiling that runs come to: the p99 bound where there are enough of them, else the highest; `nil` for fewer than
    /// ``fewestRuns``, and where one was clipped.
    ///
    /// - Parameter least: what it is not below, in bytes.
    public init?(peaks: OrderStatistics, atLeast least: Double = 0, medianSeconds: Int64, digest: String) {
        guard peaks.clipped == 0, peaks.count >= Self.fewestRuns, let highest = peaks.highest else { return nil }
        let bytes = max(peaks.quantile(0.99).upper ?? highest, least)
        self.init(bytes: UInt64(bytes), runs: peaks.count, medianSeconds: medianSeconds, digest: digest)
    }

    /// Reads the ceiling at `path`; `nil` where there is none.
    public init?(path: String) {
        guard let text = try? readText(path) else { return nil }
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 5, words[0] == "1", let bytes = UInt64(words[1]), let runs = Int(words[2]),
            let median = Int64(words[3]), bytes > 0, 0...1 << 32 ~= median
        else { return nil }
        self.init(bytes: bytes, runs: runs, medianSeconds: median, digest: String(words[4]))
    }

    /// Writes it down.
    public func write(to path: String) throws(SystemError) {
        try replaceFile(path, with: "1 \(bytes) \(runs) \(medianSeconds) \(digest)\n".utf8)
    }
}
