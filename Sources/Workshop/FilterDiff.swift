import Documents
import Seccomp

/// How two filters differ in what they do, whatever their files look like.
public struct FilterDiff: Sendable {
    /// A call that one filter lets through, for some arguments, and the other does not; or that both refuse differently.
    public struct Difference: Sendable, Equatable {
        /// What differs.
        public enum Kind: String, Sendable {
            /// The second filter lets through what the first does not.
            case opened
            /// The second filter refuses what the first lets through.
            case closed
            /// Both refuse, or both let through, in another way.
            case answered
        }
        /// What differs.
        public let kind: Kind
        /// Through which entry.
        public let architecture: Architecture
        /// The calls: names, or numbers where they have none.
        public let calls: [String]
        /// The arguments for which it holds, as alternatives.
        public let arguments: [String]
        /// Arguments for which it holds.
        public let example: [UInt64]
        /// The first filter's answers.
        public let before: [String]
        /// The second filter's answers.
        public let after: [String]
        /// What is dangerous about it, for calls that the second filter opens.
        public let risk: CallRisk?
    }

    /// The differences: opened ones first, those with the most risk before the others.
    public let differences: [Difference]

    /// Whether the filters mean the same: for every entry, number and argument.
    public var isEmpty: Bool { differences.isEmpty }

    /// Compares two compiled filters.
    ///
    /// - Parameter machine: the machine that both were compiled for.
    public init(_ before: FilterInterpreter, _ after: FilterInterpreter, on machine: Architecture = .native) {
        var comparison = Comparison()
        differences = comparison.compare(before, after, machine)
    }
}

private struct Comparison {
    private var diagram = DecisionDiagram()

    mutating func compare(
        _ before: FilterInterpreter, _ after: FilterInterpreter, _ machine: Architecture
    ) -> [FilterDiff.Difference] {
        let left = diagram.meaning(of: before)
        let right = diagram.meaning(of: after)
        if left == right { return [] }
        var result: [FilterDiff.Difference] = []
        let first = DecisionDiagram.firstBit(of: 4)
        for entry in machine.entries where entry != .x32 {
            let one = diagram.fixing(left, first: first, value: entry.audit)
            let other = diagram.fixing(right, first: first, value: entry.audit)
            if one != other { result += calls(one, other, entry) }
        }
        if result.isEmpty {
            // Entries of other machines: neither filter is asked there.
            return []
        }
        return group(result).sorted { rank($0) < rank($1) }
    }

    /// The differences by number.
    private mutating func calls(
        _ left: DecisionDiagram.Reference, _ right: DecisionDiagram.Reference, _ entry: Architecture
    ) -> [FilterDiff.Difference] {
        let first = DecisionDiagram.firstBit(of: 0)
        let one = diagram.ranges(left, first: first)
        let other = diagram.ranges(right, first: first)
        var result: [FilterDiff.Difference] = []
        var (i, j) = (0, 0)
        while i < one.count, j < other.count {
            let low = max(one[i].range.lowerBound, other[j].range.lowerBound)
            let high = min(one[i].range.upperBound, other[j].range.upperBound)
            if one[i].node != other[j].node {
                for (name, real) in names(low...high, entry) {
                    result += differences(one[i].node, other[j].node, [name], real)
                }
            }
            let (endOfOne, endOfOther) = (one[i].range.upperBound, other[j].range.upperBound)
            if endOfOne <= endOfOther { i += 1 }
            if endOfOther <= endOfOne { j += 1 }
        }
        return result
    }

    /// The calls of these numbers. Numbers without a name are one: no kernel has them yet.
    private func names(_ range: ClosedRange<UInt32>, _ entry: Architecture) -> [(String, Architecture)] {
        var result: [(String, Architecture)] = []
        var nameless: [ClosedRange<UInt32>] = []
        func add(_ part: ClosedRange<UInt32>, _ entry: Architecture) {
            let known = part.lowerBound...min(part.upperBound, part.lowerBound | 0x3ff)
            var start: UInt32?
            for number in known {
                if let name = CallTable.name(of: number, on: entry) {
                    if let from = start { nameless.append(from...number - 1) }
                    start = nil
                    result.append((name, entry))
                } else if start == nil {
                    start = number
                }
            }
            if let from = start {
                nameless.append(from...part.upperBound)
            } else if known.upperBound < part.upperBound {
                nameless.append(known.upperBound + 1...part.upperBound)
            }
            for part in nameless {
                let text =
                    part.count == 1 ? "number \(part.lowerBound)" : "numbers \(part.lowerBound) to \(part.upperBound)"
                result.append((text, entry))
            }
            nameless = []
        }
        let bit = Architecture.x32Bit
        if entry == .x86_64 {
            if range.lowerBound < bit { add(range.lowerBound...min(range.upperBound, bit - 1), .x86_64) }
            if range.upperBound >= bit { add(max(range.lowerBound, bit)...range.upperBound, .x32) }
        } else {
            add(range, entry)
        }
        return result
    }

    private mutating func differences(
        _ left: DecisionDiagram.Reference, _ right: DecisionDiagram.Reference, _ calls: [String], _ entry: Architecture
    ) -> [FilterDiff.Difference] {
        [FilterDiff.Difference.Kind.opened, .closed, .answered].compactMap { kind in
            let region = diagram.joining(left, right) { before, after in
                let (was, lets) = (Self.letsThrough(before), Self.letsThrough(after))
                let holds: Bool
                switch kind {
                case .opened: holds = !was && lets
                case .closed: holds = was && !lets
                case .answered: holds = was == lets && before != after
                }
                return holds ? 1 : 0
            }
            if diagram.answer(region) == 0 { return nil }
            let name = calls[0]
            let words = ArgumentRegion(diagram, of: name, on: entry)
            let example = words.example(region)
            return FilterDiff.Difference(
                kind: kind, architecture: entry, calls: calls, arguments: words.text(region), example: example,
                before: answers(left, where: region), after: answers(right, where: region),
                risk: kind == .opened ? CallRisk.of(name, where: region, &diagram) : nil)
        }
    }

    private static func letsThrough(_ action: UInt32) -> Bool { action == 0x7fff_0000 || action == 0x7ffc_0000 }

    /// The answers that a filter has in a region.
    private mutating func answers(
        _ node: DecisionDiagram.Reference, where region: DecisionDiagram.Reference
    ) -> [String] {
        // No filter has this answer: its upper half is none of the kernel's.
        let elsewhere: UInt32 = 0x1234_5678
        let inside = diagram.choose(region, node, diagram.end(elsewhere))
        return diagram.answers(inside).filter { $0 != elsewhere }.map(actionName)
    }

    /// Calls that differ alike, together.
    private func group(_ all: [FilterDiff.Difference]) -> [FilterDiff.Difference] {
        var result: [FilterDiff.Difference] = []
        for it in all {
            let same = result.firstIndex {
                $0.kind == it.kind && $0.architecture == it.architecture && $0.arguments == it.arguments
                    && $0.before == it.before && $0.after == it.after && $0.risk == it.risk
            }
            if let same {
                let old = result[same]
                result[same] = FilterDiff.Difference(
                    kind: old.kind, architecture: old.architecture, calls: old.calls + it.calls,
                    arguments: old.arguments, example: old.example, before: old.before, after: old.after, risk: old.risk
                )
            } else {
                result.append(it)
            }
        }
        return result
    }

    /// What is worse comes first.
    private func rank(_ it: FilterDiff.Difference) -> (Int, Int, String, String) {
        let kind = it.kind == .opened ? 0 : it.kind == .closed ? 1 : 2
        let level = it.risk?.level == .high ? 0 : it.risk?.level == .medium ? 1 : 2
        return (kind, level, it.architecture.rawValue, it.calls[0])
    }
}

extension FilterDiff {
    /// The differences as a document.
    public var document: Node {
        [
            "same": Node(.bool(isEmpty)),
            "differences": Node(.sequence(differences.map(\.document))),
        ]
    }
}

extension FilterDiff.Difference {
    fileprivate var document: Node {
        func list(_ words: [String]) -> Node { Node(.sequence(words.map { Node(.string($0)) })) }
        return [
            "kind": Node(.string(kind.rawValue)), "architecture": Node(.string(architecture.rawValue)),
            "calls": list(calls), "arguments": list(arguments),
            "example": Node(.sequence(example.map { Node(Int64(exactly: $0).map { .integer($0) } ?? .unsigned($0)) })),
            "before": list(before), "after": list(after),
            "risk": risk.map { ["level": Node(.string($0.level.rawValue)), "reason": Node(.string($0.reason))] } ?? nil,
        ]
    }
}
