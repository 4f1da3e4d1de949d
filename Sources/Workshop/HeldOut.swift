import Documents
import OCISpec
import Seccomp

/// How often a profile made of some runs breaks runs that it has not seen.
public struct HeldOut: Sendable {
    /// Runs that were put to a profile made without them.
    public let tried: Int
    /// Those of them that had a call refused.
    public let broken: Int
    /// The calls that were refused, and in how many held-out runs.
    public let culprits: [(name: String, runs: Int)]

    /// `broken / tried`.
    public var rate: Double { tried == 0 ? 0 : Double(broken) / Double(tried) }

    /// Splits runs into `folds` parts, makes a profile of all but one and replays that one, for each part in turn.
    ///
    /// - Parameters:
    ///   - recordings: one run each, of one architecture. Their order does not matter: it is shuffled by `seed`.
    ///   - folds: at least 2; as many as there are runs leaves out one at a time.
    /// - Throws: what is wrong with the base.
    public init(
        _ recordings: [Recording], folds: Int, seed: UInt64 = 1, base: ProfileFile? = nil,
        options: Synthesis.Options = Synthesis.Options()
    ) throws(Problems) {
        let machine = recordings.first?.environments.first.flatMap { CallTable.named($0.architecture) } ?? .native
        let shuffled = Self.shuffled(recordings, seed)
        var (tried, broken) = (0, 0)
        var culprits: [String: Int] = [:]
        for fold in 0..<max(2, folds) {
            let (held, kept) = Self.split(shuffled) { $0 % max(2, folds) == fold }
            guard !held.isEmpty, let merged = Recording.merging(kept) else { continue }
            let synthesis = try Synthesis(of: merged, base: base, options: options)
            let filter = try synthesis.interpreter(for: machine)
            for recording in held {
                let replay = Replay(recording, against: filter, on: machine)
                tried += 1
                if !replay.passes { broken += 1 }
                for name in Set(replay.breaks.map(\.name)) { culprits[name, default: 0] += 1 }
            }
        }
        self.tried = tried
        self.broken = broken
        self.culprits = culprits.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    private static func split(_ all: [Recording], _ isHeld: (Int) -> Bool) -> (held: [Recording], kept: [Recording]) {
        var (held, kept): ([Recording], [Recording]) = ([], [])
        for (index, recording) in all.enumerated() {
            if isHeld(index) { held.append(recording) } else { kept.append(recording) }
        }
        return (held, kept)
    }

    /// The same order for the same seed (splitmix64).
    private static func shuffled(_ recordings: [Recording], _ seed: UInt64) -> [Recording] {
        var state = seed
        var result = recordings
        for index in stride(from: result.count - 1, to: 0, by: -1) {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            result.swapAt(index, Int((mixed ^ mixed >> 31) % UInt64(index + 1)))
        }
        return result
    }
}
