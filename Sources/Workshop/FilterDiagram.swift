import CSyscalls
import Seccomp

extension DecisionDiagram {
    /// What a program answers every call.
    mutating func meaning(of program: FilterInterpreter) -> Reference {
        var reader = ProgramReader(program: program)
        return reader.read(0, nil, &self)
    }

    /// What rules answer every call: worked out from the rules alone.
    mutating func meaning(of rules: FilterRules) -> Reference {
        let kill = end(0x8000_0000)
        let byDefault = end(rules.defaultAction)
        var result = kill
        for entry in rules.entries where entry != .x32 {
            var calls = byDefault
            if entry == .x86_64 && !rules.entries.contains(.x32) {
                // -1 has the bit of x32, and is no call.
                let skipped = comparing(0, mask: .max, .equal, .max)
                let isX32 = comparing(0, mask: .max, .atLeast, Architecture.x32Bit)
                calls = choose(isX32, choose(skipped, byDefault, kill), byDefault)
            }
            var all = rules.rules[entry] ?? [:]
            if entry == .x86_64, rules.entries.contains(.x32) { all.merge(rules.rules[.x32] ?? [:]) { $1 } }
            for (number, list) in all.sorted(by: { $0.key < $1.key }) {
                let isIt = comparing(0, mask: .max, .equal, number)
                calls = choose(isIt, ending(list, byDefault), calls)
            }
            result = choose(comparing(4, mask: .max, .equal, entry.audit), calls, result)
        }
        return result
    }

    /// What the rules of one call come to: of those that hold, the strictest.
    mutating func ending(_ list: [FilterRule], _ byDefault: Reference) -> Reference {
        var result = byDefault
        for rule in list.sorted(by: { FilterRules.isStricter($1.action, $0.action) }) {
            result = choose(meaning(of: rule.tests), end(rule.action), result)
        }
        return result
    }

    /// 1 where all the tests hold, else 0.
    mutating func meaning(of tests: [ArgumentTest]) -> Reference {
        var result = end(1)
        for test in tests { result = choose(meaning(of: test), result, end(0)) }
        return result
    }

    private mutating func meaning(of test: ArgumentTest) -> Reference {
        let low = UInt32(16 + 8 * test.index)
        let high = low + 4
        let (lowMask, highMask) = (UInt32(truncatingIfNeeded: test.mask), UInt32(test.mask >> 32))
        let (lowValue, highValue) = (UInt32(truncatingIfNeeded: test.value), UInt32(test.value >> 32))
        func both(_ comparison: Comparison, _ diagram: inout DecisionDiagram) -> Reference {
            let isSame = diagram.comparing(high, mask: highMask, .equal, highValue)
            let behind = diagram.comparing(low, mask: lowMask, comparison, lowValue)
            if comparison == .equal { return diagram.choose(isSame, behind, diagram.end(0)) }
            let isAbove = diagram.comparing(high, mask: highMask, .greater, highValue)
            return diagram.choose(isSame, behind, isAbove)
        }
        switch test.comparison {
        case .equal: return both(.equal, &self)
        case .greater: return both(.greater, &self)
        case .greaterOrEqual: return both(.atLeast, &self)
        case .notEqual: return choose(both(.equal, &self), end(0), end(1))
        case .lessOrEqual: return choose(both(.greater, &self), end(0), end(1))
        case .less: return choose(both(.atLeast, &self), end(0), end(1))
        }
    }
}

/// Follows a program through all its branches at once: jumps go forward only, so every point is read once for each thing
/// that can be loaded there.
private struct ProgramReader {
    let program: FilterInterpreter
    private var done: [Point: DecisionDiagram.Reference] = [:]

    init(program: FilterInterpreter) { self.program = program }

    /// What is in the accumulator; `nil`: 0, as at the start.
    struct Load: Hashable {
        let offset: UInt32
        var mask: UInt32
    }
    private struct Point: Hashable {
        let at: Int
        let load: Load?
    }

    mutating func read(_ at: Int, _ load: Load?, _ diagram: inout DecisionDiagram) -> DecisionDiagram.Reference {
        let point = Point(at: at, load: load)
        if let known = done[point] { return known }
        let it = program.instructions[at]
        let result: DecisionDiagram.Reference
        switch Int32(it.code) {
        case BPF_LD | BPF_W | BPF_ABS: result = read(at + 1, Load(offset: it.k, mask: .max), &diagram)
        case BPF_ALU | BPF_AND | BPF_K:
            result = read(at + 1, load.map { Load(offset: $0.offset, mask: $0.mask & it.k) }, &diagram)
        case BPF_JMP | BPF_JA: result = read(at + 1 + Int(it.k), load, &diagram)
        case BPF_RET | BPF_K: result = diagram.end(it.k)
        default:
            let yes = read(at + 1 + Int(it.jt), load, &diagram)
            let no = read(at + 1 + Int(it.jf), load, &diagram)
            result = diagram.choose(condition(it, load, &diagram), yes, no)
        }
        done[point] = result
        return result
    }

    private func condition(
        _ it: sock_filter, _ load: Load?, _ diagram: inout DecisionDiagram
    ) -> DecisionDiagram.Reference {
        let comparison: DecisionDiagram.Comparison =
            switch Int32(it.code) & 0xf0 {
            case BPF_JEQ: .equal
            case BPF_JGT: .greater
            case BPF_JGE: .atLeast
            default: .anySet
            }
        // Nothing loaded: 0, which a mask of no bits stands for.
        return diagram.comparing(load?.offset ?? 0, mask: load?.mask ?? 0, comparison, it.k)
    }
}
