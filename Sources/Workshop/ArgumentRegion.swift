import Seccomp

/// Which arguments of a call a condition holds for, in words.
struct ArgumentRegion {
    private let diagram: DecisionDiagram
    private let parameters: [CallSignatures.Parameter]
    /// What the kernel takes of each argument.
    private let widths: [UInt64]
    /// Ways through the values of an argument that are followed, and alternatives that are worked out, at most: a few rules
    /// can have more than there is time for, and nobody reads them.
    private static let most = 1024

    init(_ diagram: DecisionDiagram, of call: String, on architecture: Architecture) {
        self.diagram = diagram
        parameters = CallSignatures.of(call) ?? []
        widths = (0..<6).map { CallTable.mask(of: call, argument: $0, on: architecture) }
    }

    /// The calls for which `condition` (a node on arguments alone) is not 0, as alternatives; `["any arguments"]` for all
    /// of them, and none for none.
    func text(_ condition: DecisionDiagram.Reference, limit: Int = 12) -> [String] {
        if let answer = diagram.answer(condition) { return answer == 0 ? [] : ["any arguments"] }
        let (alternatives, isCut) = self.alternatives(condition)
        return alternatives.prefix(limit) + more(alternatives.count - limit, isCut)
    }

    private func more(_ count: Int, _ isCut: Bool) -> [String] {
        isCut ? ["and many more"] : count > 0 ? ["and \(count) more"] : []
    }

    /// Arguments for which the condition holds.
    func example(_ condition: DecisionDiagram.Reference) -> [UInt64] {
        var arguments = [UInt64](repeating: 0, count: 6)
        var at = condition
        while diagram.answer(at) == nil {
            let bit = Int(diagram.bit(at)) - 64
            let (low, high) = diagram.branches(at, at: diagram.bit(at))
            // Ends other than 0 are reached by every other node: nothing is there without a reason.
            let goesHigh = diagram.answer(low) == 0
            if goesHigh, (0..<384).contains(bit) { arguments[bit / 64] |= 1 << UInt64(63 - bit % 64) }
            at = goesHigh ? high : low
        }
        return arguments
    }

    private func alternatives(_ node: DecisionDiagram.Reference) -> (words: [String], isCut: Bool) {
        if let answer = diagram.answer(node) { return (answer == 0 ? [] : [""], false) }
        let index = (Int(diagram.bit(node)) - 64) / 64
        let (sets, areSetsCut) = self.sets(node, index)
        var (result, isCut): ([String], Bool) = ([], areSetsCut)
        for (set, next) in sets {
            if result.count >= Self.most { return (result, true) }
            let words = self.words(set, index, areSetsCut)
            let (rest, isRestCut) = alternatives(next)
            for rest in rest { result.append(rest.isEmpty ? words : "\(words), \(rest)") }
            isCut = isCut || isRestCut
        }
        return (result, isCut)
    }

    /// Where the values of an argument lead, each with the paths there: the bits that are 1, and those that are told. Every
    /// path from a node that is not 0 leads somewhere, so that so many are found soon.
    private func sets(
        _ node: DecisionDiagram.Reference, _ index: Int
    ) -> (sets: [(paths: [Path], next: DecisionDiagram.Reference)], isCut: Bool) {
        let end = DecisionDiagram.firstBit(ofArgument: index + 1)
        var order: [DecisionDiagram.Reference] = []
        var found: [DecisionDiagram.Reference: [Path]] = [:]
        var count = 0
        func walk(_ at: DecisionDiagram.Reference, _ path: Path) {
            let bit = diagram.bit(at)
            if diagram.answer(at) == 0 || count > Self.most { return }
            if bit >= end {
                count += 1
                if count > Self.most { return }
                if found[at] == nil { order.append(at) }
                found[at, default: []].append(path)
                return
            }
            let place = UInt64(1) << UInt64(end - 1 - bit)
            let (low, high) = diagram.branches(at, at: bit)
            walk(low, Path(mask: path.mask | place, value: path.value))
            walk(high, Path(mask: path.mask | place, value: path.value | place))
        }
        walk(node, Path(mask: 0, value: 0))
        return (order.map { (found[$0] ?? [], $0) }, count > Self.most)
    }

    /// Values that agree with `value` in the bits of `mask`.
    private struct Path {
        let mask, value: UInt64
    }

    /// The shortest way to say which values these are: single ones and ranges, or patterns of bits.
    private func words(_ paths: [Path], _ index: Int, _ isCut: Bool) -> String {
        let told = paths.reduce(0) { $0 | $1.mask }
        // What the kernel does not look at is not said, where the filter does not look at it either.
        let width = told & ~widths[index] == 0 ? widths[index] : .max
        let name = "argument \(index)"
        if let ranges = ranges(paths, width), ranges.count <= max(4, paths.count) {
            let parts = ranges.map { range -> String in
                if range.lowerBound == range.upperBound { return self.value(range.lowerBound, index) }
                if range.upperBound == width { return "≥ \(value(range.lowerBound, index))" }
                if range.lowerBound == 0 { return "≤ \(value(range.upperBound, index))" }
                return "\(value(range.lowerBound, index)) to \(value(range.upperBound, index))"
            }
            if !isCut, ranges.count == 2, ranges[0].lowerBound == 0, ranges[1].upperBound == width,
                ranges[1].lowerBound - ranges[0].upperBound == 2
            {
                return "\(name) ≠ \(value(ranges[0].upperBound + 1, index))"
            }
            if isCut || parts.count > 1 { return "\(name) one of \(shortened(parts, isCut))" }
            let isOpen = parts[0].hasPrefix("≥") || parts[0].hasPrefix("≤")
            return "\(name) \(isOpen ? "" : "= ")\(parts[0])"
        }
        // All but those without any of these bits: each path has one of them, and none above it.
        let isAny = paths.allSatisfy { $0.value.nonzeroBitCount == 1 && $0.mask == told & ~($0.value - 1) }
        if isAny, paths.count == told.nonzeroBitCount { return "\(name) & \(hex(told)) ≠ 0" }
        let parts = paths.map { "& \(hex($0.mask)) = \(hex($0.value))" }
        return "\(name) \(shortened(parts, isCut, " or "))"
    }

    private func shortened(_ parts: [String], _ isCut: Bool, _ separator: String = ", ") -> String {
        ([parts.prefix(12).joined(separator: separator)] + more(parts.count - 12, isCut)).joined(separator: " ")
    }

    private func value(_ value: UInt64, _ index: Int) -> String {
        let name = index < parameters.count ? ArgumentNames.text(value, kind: parameters[index].kind) : nil
        return name ?? (value < 4096 ? String(value) : hex(value))
    }
    private func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

    /// The values as ranges, where the paths are few enough of them: bits that are not told must be the lowest ones.
    private func ranges(_ paths: [Path], _ width: UInt64) -> [ClosedRange<UInt64>]? {
        var ranges: [ClosedRange<UInt64>] = []
        for path in paths {
            let free = ~path.mask & width
            guard free & (free &+ 1) == 0 else { return nil }
            ranges.append(path.value...(path.value | free))
        }
        ranges.sort { $0.lowerBound < $1.lowerBound }
        var joined: [ClosedRange<UInt64>] = []
        for range in ranges {
            if let last = joined.last, last.upperBound &+ 1 == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound...range.upperBound
            } else {
                joined.append(range)
            }
        }
        return joined
    }
}
