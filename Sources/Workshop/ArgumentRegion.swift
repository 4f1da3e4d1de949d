/// Which arguments a condition holds for, in words.
struct ArgumentRegion {
    /// What a value of an argument is called, where it has a name.
    typealias Naming = (_ index: Int, _ value: UInt64) -> String?

    private let diagram: DecisionDiagram
    private let naming: Naming

    init(_ diagram: DecisionDiagram, naming: @escaping Naming = { _, _ in nil }) {
        self.diagram = diagram
        self.naming = naming
    }

    /// The calls for which `condition` (a node on arguments alone) is not 0, as alternatives; `["any arguments"]` for all
    /// of them, and none for none.
    func text(_ condition: DecisionDiagram.Reference, limit: Int = 12) -> [String] {
        if let answer = diagram.answer(condition) { return answer == 0 ? [] : ["any arguments"] }
        var alternatives = self.alternatives(condition)
        if alternatives.count > limit {
            let rest = alternatives.count - limit
            alternatives = alternatives.prefix(limit) + ["and \(rest) more"]
        }
        return alternatives
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

    private func alternatives(_ node: DecisionDiagram.Reference) -> [String] {
        if let answer = diagram.answer(node) { return answer == 0 ? [] : [""] }
        let index = (Int(diagram.bit(node)) - 64) / 64
        var result: [String] = []
        for (set, next) in sets(node, index) {
            let words = self.words(set, index)
            for rest in alternatives(next) { result.append(rest.isEmpty ? words : "\(words), \(rest)") }
        }
        return result
    }

    /// Where the values of an argument lead, each with the paths there: the bits that are 1, and those that are told.
    private func sets(
        _ node: DecisionDiagram.Reference, _ index: Int
    ) -> [(paths: [Path], next: DecisionDiagram.Reference)] {
        let end = DecisionDiagram.firstBit(ofArgument: index + 1)
        var order: [DecisionDiagram.Reference] = []
        var found: [DecisionDiagram.Reference: [Path]] = [:]
        func walk(_ at: DecisionDiagram.Reference, _ path: Path) {
            let bit = diagram.bit(at)
            if bit >= end {
                if diagram.answer(at) == 0 { return }
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
        return order.map { (found[$0] ?? [], $0) }
    }

    /// Values that agree with `value` in the bits of `mask`.
    private struct Path {
        let mask, value: UInt64
    }

    /// The shortest way to say which values these are: single ones and ranges, or patterns of bits.
    private func words(_ paths: [Path], _ index: Int) -> String {
        let told = paths.reduce(0) { $0 | $1.mask }
        // What is above the highest bit that is looked at is not said: the kernel does not look at it either.
        let width: UInt64 = told >> 32 == 0 ? 0xffff_ffff : .max
        let name = "argument \(index)"
        if let ranges = ranges(paths, width), ranges.count <= max(4, paths.count) {
            let parts = ranges.map { range -> String in
                if range.lowerBound == range.upperBound { return self.value(range.lowerBound, index) }
                if range.upperBound == width { return "≥ \(value(range.lowerBound, index))" }
                if range.lowerBound == 0 { return "≤ \(value(range.upperBound, index))" }
                return "\(value(range.lowerBound, index)) to \(value(range.upperBound, index))"
            }
            if ranges.count == 2, ranges[0].lowerBound == 0, ranges[1].upperBound == width,
                ranges[1].lowerBound - ranges[0].upperBound == 2
            {
                return "\(name) ≠ \(value(ranges[0].upperBound + 1, index))"
            }
            if parts.count == 1, parts[0].hasPrefix("≥") || parts[0].hasPrefix("≤") { return "\(name) \(parts[0])" }
            return parts.count == 1 ? "\(name) = \(parts[0])" : "\(name) one of \(shortened(parts))"
        }
        // All but those without any of these bits: the negation of one pattern.
        let missing = Path(mask: told, value: 0)
        if paths.count == told.nonzeroBitCount, paths.allSatisfy({ $0.value.nonzeroBitCount == 1 }) {
            return "\(name) & \(hex(missing.mask)) ≠ 0"
        }
        let parts = paths.map { "& \(hex($0.mask)) = \(hex($0.value))" }
        return "\(name) \(shortened(parts, " or "))"
    }

    private func shortened(_ parts: [String], _ separator: String = ", ") -> String {
        parts.count > 12
            ? parts.prefix(12).joined(separator: separator) + " and \(parts.count - 12) more"
            : parts.joined(separator: separator)
    }

    private func value(_ value: UInt64, _ index: Int) -> String {
        naming(index, value) ?? (value < 4096 ? String(value) : hex(value))
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
