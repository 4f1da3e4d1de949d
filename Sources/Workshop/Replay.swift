import OCISpec
import Seccomp

/// Recorded calls put to a filter, offline.
public struct Replay: Sendable {
    /// A call that the filter would refuse.
    public struct Break: Sendable, Equatable {
        /// The call's name.
        public let name: String
        /// The arguments, if they decide.
        public let scalars: [RecordedScalar]
        /// The filter's answer, the strictest of several: `EPERM`, `kill process`.
        public let answer: String
        /// How often it was recorded as allowed.
        public let count: UInt64
        /// In how many runs.
        public let runs: UInt64
    }

    /// What would be refused, sorted by name.
    public let breaks: [Break]
    /// How many different calls, with their arguments, were put to the filter.
    public let tried: Int
    /// Calls that are refused by design, and that C libraries make in another way then: `clone3`, answered ENOSYS.
    public let fallbacks: [String]
    /// What could not be put to it: values that were not recorded and that the answer depends on, calls that were lost,
    /// numbers without a name.
    public let untold: [String]

    /// Puts all that was allowed while it was recorded to a filter.
    ///
    /// What is refused with some values of the bits that were not recorded, and let through with others, is not told.
    ///
    /// - Parameter machine: the machine that the filter was compiled for.
    public init(_ recording: Recording, against filter: FilterInterpreter, on machine: Architecture = .native) {
        var breaks: [Break] = []
        var tried = 0
        var untold: [String] = []
        var fallbacks: [String] = []
        var diagram = DecisionDiagram()
        let meaning = diagram.meaning(of: filter)
        let calls = diagram.fixing(meaning, first: DecisionDiagram.firstBit(of: 4), value: machine.audit)
        var undecided: [String] = []
        if recording.lost > 0 { untold.append("\(recording.lost) calls, lost while they were recorded") }
        for call in recording.calls where call.allowed > 0 {
            guard let number = CallTable.number(of: call.name, on: machine) ?? call.bareNumber else {
                untold.append("\(call.name): not a call of \(machine.rawValue)")
                continue
            }
            let seen = call.arguments.filter { $0.allowed > 0 }
            if call.unlisted > 0 { untold.append("\(call.name): \(call.unlisted) calls without their arguments") }
            let cases =
                seen.isEmpty
                ? [([], call.allowed, call.runs)] : seen.map { ($0.scalars, $0.allowed, $0.runs) }
            let answers = diagram.fixing(calls, first: DecisionDiagram.firstBit(of: 0), value: number)
            var isTold = true
            for (scalars, count, runs) in cases {
                tried += 1
                let found = diagram.answers(answers, knowing: scalars)
                guard let worst = found.last, !found.contains(where: letsThrough) else {
                    isTold = isTold && found.allSatisfy(letsThrough)
                    continue
                }
                if call.name == "clone3", worst == 0x0005_0026 {
                    fallbacks.append(call.name)
                    continue
                }
                breaks.append(
                    Break(name: call.name, scalars: scalars, answer: actionName(worst), count: count, runs: runs))
            }
            if !isTold { undecided.append(call.name) }
        }
        if !undecided.isEmpty {
            let names = undecided.joined(separator: ", ")
            untold.append("\(names): the answer depends on arguments that were not recorded")
        }
        self.breaks = breaks.sorted { ($0.name, $0.answer) < ($1.name, $1.answer) }
        self.tried = tried
        self.untold = untold
        self.fallbacks = fallbacks
    }

    /// Whether every call would be let through.
    public var passes: Bool { breaks.isEmpty }
}

extension RecordedCall {
    /// The number of a call without a name.
    fileprivate var bareNumber: UInt32? { hasNoName ? UInt32(name.dropFirst(8)) : nil }
}

/// Whether an answer of a filter has the call made: `SECCOMP_RET_ALLOW`, `SECCOMP_RET_LOG`.
func letsThrough(_ action: UInt32) -> Bool { (0x7ffc_0000...0x7fff_ffff).contains(action) }
