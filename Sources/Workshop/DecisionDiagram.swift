/// What filters do with every possible call, each as one node of a shared graph: two filters mean the same exactly when
/// their nodes are the same.
///
/// These are ordered binary decision diagrams with many ends (Bryant 1986; Fujita, McGeer, Yang 1997) over the bits of
/// `struct seccomp_data`: the architecture, the number, then the arguments, each with its highest bit first. Filters compare
/// few words with few constants, so their diagrams have some thousand nodes, where trying all calls would not end.
struct DecisionDiagram {
    /// A node, as an index. Equal nodes have equal indices.
    typealias Reference = Int32

    struct Node: Hashable {
        /// The bit that decides; `.max` for an end.
        let bit: UInt16
        /// Where a 0 leads; of an end: its answer.
        let low: Reference
        let high: Reference
    }

    private(set) var nodes: [Node] = []
    private var places: [Node: Reference] = [:]
    private var choices: [Choice: Reference] = [:]

    private struct Choice: Hashable {
        let condition, yes, no: Reference
    }

    /// The words of `struct seccomp_data` by their offsets, in the order of the bits: arch, nr, the arguments' upper and
    /// lower halves, and last the instruction pointer, at which no filter of ours looks.
    private static let offsets: [UInt32] = [4, 0, 20, 16, 28, 24, 36, 32, 44, 40, 52, 48, 60, 56, 12, 8]

    /// The first (highest) bit of the word at an offset.
    static func firstBit(of offset: UInt32) -> UInt16 { UInt16(32 * (offsets.firstIndex(of: offset) ?? 0)) }

    /// The first bit of an argument, and that behind the last argument's.
    static func firstBit(ofArgument index: Int) -> UInt16 { UInt16(64 + 64 * index) }

    /// The end with this answer.
    mutating func end(_ answer: UInt32) -> Reference { add(Node(bit: .max, low: Int32(bitPattern: answer), high: 0)) }

    /// The answer of an end; `nil` for another node.
    func answer(_ node: Reference) -> UInt32? {
        let node = nodes[Int(node)]
        return node.bit == .max ? UInt32(bitPattern: node.low) : nil
    }

    func bit(_ node: Reference) -> UInt16 { nodes[Int(node)].bit }

    /// Where a 0 and a 1 at `bit` lead from a node that is at this bit or behind it.
    func branches(_ node: Reference, at bit: UInt16) -> (low: Reference, high: Reference) {
        let it = nodes[Int(node)]
        return it.bit == bit ? (it.low, it.high) : (node, node)
    }

    mutating func node(_ bit: UInt16, _ low: Reference, _ high: Reference) -> Reference {
        low == high ? low : add(Node(bit: bit, low: low, high: high))
    }

    private mutating func add(_ node: Node) -> Reference {
        if let place = places[node] { return place }
        nodes.append(node)
        places[node] = Reference(nodes.count - 1)
        return Reference(nodes.count - 1)
    }

    /// `yes` where the condition's answer is not 0, else `no`.
    mutating func choose(_ condition: Reference, _ yes: Reference, _ no: Reference) -> Reference {
        if let answer = answer(condition) { return answer != 0 ? yes : no }
        if yes == no { return yes }
        let key = Choice(condition: condition, yes: yes, no: no)
        if let known = choices[key] { return known }
        let first = min(bit(condition), bit(yes), bit(no))
        let (c, y, n) = (branches(condition, at: first), branches(yes, at: first), branches(no, at: first))
        let result = node(first, choose(c.low, y.low, n.low), choose(c.high, y.high, n.high))
        choices[key] = result
        return result
    }

    /// What both say of each call, joined by `join`, which looks at answers alone.
    mutating func joining(
        _ left: Reference, _ right: Reference, _ join: (UInt32, UInt32) -> UInt32
    ) -> Reference {
        var done: [Choice: Reference] = [:]
        return joined(left, right, join, &done)
    }
    private mutating func joined(
        _ left: Reference, _ right: Reference, _ join: (UInt32, UInt32) -> UInt32, _ done: inout [Choice: Reference]
    ) -> Reference {
        if let one = answer(left), let other = answer(right) { return end(join(one, other)) }
        let key = Choice(condition: 0, yes: left, no: right)
        if let known = done[key] { return known }
        let first = min(bit(left), bit(right))
        let (l, r) = (branches(left, at: first), branches(right, at: first))
        let low = joined(l.low, r.low, join, &done)
        let high = joined(l.high, r.high, join, &done)
        let result = node(first, low, high)
        done[key] = result
        return result
    }

    /// 1 where the masked word at `offset` compares so with `value`, else 0.
    mutating func comparing(
        _ offset: UInt32, mask: UInt32, _ comparison: Comparison, _ value: UInt32
    ) -> Reference {
        let (no, yes) = (end(0), end(1))
        let first = Self.firstBit(of: offset)
        var result: Reference
        switch comparison {
        case .equal:
            if value & ~mask != 0 { return no }
            result = yes
        case .greater:
            result = no
        case .atLeast:
            result = yes
        case .anySet:
            result = no
        }
        // From the lowest bit up: what the bits below decide is known.
        for place in 0..<32 as Range<UInt16> {
            let bit = UInt32(1) << UInt32(place)
            let (isSeen, isSet) = (mask & bit != 0, value & bit != 0)
            let position = first + 31 - place
            switch comparison {
            case .equal:
                if isSeen { result = isSet ? node(position, no, result) : node(position, result, no) }
            case .greater, .atLeast:
                if isSeen {
                    result = isSet ? node(position, no, result) : node(position, result, yes)
                } else if isSet {
                    // The word has a 0 here, and the value a 1: it is below.
                    result = no
                }
            case .anySet:
                if isSeen && isSet { result = node(position, result, yes) }
            }
        }
        return result
    }

    enum Comparison { case equal, greater, atLeast, anySet }

    /// The node behind the whole word that starts at `first`, when it has this value.
    func fixing(_ start: Reference, first: UInt16, value: UInt32) -> Reference {
        var at = start
        while bit(at) >= first && bit(at) < first + 32 {
            let isSet = value >> UInt32(first + 31 - bit(at)) & 1 == 1
            at = isSet ? nodes[Int(at)].high : nodes[Int(at)].low
        }
        return at
    }

    /// The ranges of the values of a word that lead to the same node, in rising order.
    func ranges(_ start: Reference, first: UInt16) -> [(range: ClosedRange<UInt32>, node: Reference)] {
        var result: [(range: ClosedRange<UInt32>, node: Reference)] = []
        func walk(_ at: Reference, _ bit: UInt16, _ low: UInt32, _ high: UInt32) {
            if self.bit(at) >= first + 32 {
                if let last = result.last, last.node == at {
                    result[result.count - 1].range = last.range.lowerBound...high
                } else {
                    result.append((low...high, at))
                }
                return
            }
            let (left, right) = branches(at, at: bit)
            let middle = low + (high - low) / 2
            walk(left, bit + 1, low, middle)
            walk(right, bit + 1, middle + 1, high)
        }
        walk(start, first, 0, .max)
        return result
    }

    /// The bits at which anything is decided from here on.
    func support(_ start: Reference) -> Set<UInt16> {
        var seen: Set<Reference> = []
        var bits: Set<UInt16> = []
        var waiting = [start]
        while let next = waiting.popLast() {
            guard seen.insert(next).inserted, answer(next) == nil else { continue }
            bits.insert(bit(next))
            waiting += [nodes[Int(next)].low, nodes[Int(next)].high]
        }
        return bits
    }
}
