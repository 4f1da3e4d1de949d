/// What one call does when all comparisons of its arguments hold.
package struct FilterRule: Sendable, Equatable {
    package let call: UInt32
    /// What the filter returns (`SECCOMP_RET_*`, with its data).
    package let action: UInt32
    /// At most one comparison an argument; none: the rule always holds.
    package let tests: [ArgumentTest]

    package init(call: UInt32, action: UInt32, tests: [ArgumentTest]) {
        self.call = call
        self.action = action
        self.tests = tests
    }

    /// Whether one set of arguments can meet both rules.
    func overlaps(_ other: FilterRule) -> Bool {
        !tests.contains { mine in
            other.tests.contains { $0.index == mine.index && mine.excludes($0) }
        }
    }
}

/// A comparison of the bits `mask` of one argument.
package struct ArgumentTest: Sendable, Hashable {
    package enum Comparison: Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }

    package let index: Int
    package let mask: UInt64
    package let comparison: Comparison
    package let value: UInt64

    package init(index: Int, mask: UInt64, comparison: Comparison, value: UInt64) {
        self.index = index
        self.mask = mask
        self.comparison = comparison
        self.value = value
    }

    /// Whether the call's argument meets the test.
    package func holds(_ call: FilteredCall) -> Bool {
        let found = call.arguments[index] & mask
        return switch comparison {
        case .equal: found == value
        case .notEqual: found != value
        case .less: found < value
        case .lessOrEqual: found <= value
        case .greater: found > value
        case .greaterOrEqual: found >= value
        }
    }

    /// Whether no argument meets both tests.
    func excludes(_ other: ArgumentTest) -> Bool {
        if comparison == .equal && other.comparison == .equal {
            return (value ^ other.value) & mask & other.mask != 0
        }
        return excludesInPart(other)
    }
    private func excludesInPart(_ other: ArgumentTest) -> Bool {
        patterns.allSatisfy { mine in
            other.patterns.allSatisfy { (mine.value ^ $0.value) & mine.mask & $0.mask != 0 }
        }
    }

    /// The same test as alternatives of the form `argument & mask == value`. A number is below another where it has a
    /// zero at one of its ones and agrees in all bits above, and it differs where it differs in any bit.
    private var patterns: [(mask: UInt64, value: UInt64)] {
        let same = [(mask: mask, value: value)]
        switch comparison {
        case .equal: return same
        case .notEqual: return bits(of: mask).map { ($0, ~value & $0) }
        case .less: return below
        case .lessOrEqual: return below + same
        case .greater: return above
        case .greaterOrEqual: return above + same
        }
    }
    private var below: [(mask: UInt64, value: UInt64)] {
        bits(of: value).map { (mask & ~($0 - 1), (value & ~($0 - 1)) ^ $0) }
    }
    private var above: [(mask: UInt64, value: UInt64)] {
        bits(of: mask & ~value).map { (mask & ~($0 - 1), (value & ~($0 - 1)) | $0) }
    }
    private func bits(of word: UInt64) -> [UInt64] { (0..<64).map { 1 << $0 }.filter { word & $0 != 0 } }
}
