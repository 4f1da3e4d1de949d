import CSyscalls
import Seccomp

/// What a compiled filter does, for people.
public struct FilterListing: Sendable {
    /// One line: calls of one name and the answer for some of their arguments.
    public struct Row: Sendable, Equatable {
        /// Through which entry.
        public let architecture: Architecture
        /// The call's number; `nil`: all numbers that are not listed.
        public let number: UInt32?
        /// The call's name.
        public let call: String
        /// The answer.
        public let answer: String
        /// The arguments, as alternatives; `["any arguments"]` for all.
        public let arguments: [String]
    }

    private let program: FilterInterpreter
    private let machine: Architecture

    /// Looks at a filter for a machine.
    public init(_ program: FilterInterpreter, on machine: Architecture = .native) {
        self.program = program
        self.machine = machine
    }

    /// The effective table: every call of every entry that the filter lets be used, then what all others get.
    public func table() -> [Row] {
        var diagram = DecisionDiagram()
        let top = diagram.meaning(of: program)
        var rows: [Row] = []
        for entry in machine.entries {
            let calls = diagram.fixing(top, first: DecisionDiagram.firstBit(of: 4), value: entry.audit)
            let base = entry == .x32 ? Architecture.x32Bit : 0
            func behind(_ number: UInt32) -> DecisionDiagram.Reference {
                diagram.fixing(calls, first: DecisionDiagram.firstBit(of: 0), value: number)
            }
            let others = behind(base + 0x3ff)
            // An entry that kills whatever comes is one line.
            if diagram.answer(others) == 0x8000_0000, (base..<base + 0x3ff).allSatisfy({ behind($0) == others }) {
                rows.append(
                    Row(architecture: entry, number: nil, call: "every call", answer: "kill process", arguments: []))
                continue
            }
            for number in base..<base + 0x3ff {
                guard let name = CallTable.name(of: number, on: entry) else { continue }
                rows += self.rows(&diagram, behind(number), name, number, entry)
            }
            rows += self.rows(&diagram, others, "every other call", nil, entry)
        }
        return rows
    }

    private func rows(
        _ diagram: inout DecisionDiagram, _ node: DecisionDiagram.Reference, _ name: String, _ number: UInt32?,
        _ entry: Architecture
    ) -> [Row] {
        diagram.answers(node).map { answer in
            let region = diagram.joining(node, node) { found, _ in found == answer ? 1 : 0 }
            return Row(
                architecture: entry, number: number, call: name, answer: actionName(answer),
                arguments: ArgumentRegion(diagram, of: name, on: entry).text(region))
        }
    }

    /// The program as the kernel loads it: an array of `struct sock_filter`.
    public var bytes: [UInt8] { program.instructions.withUnsafeBytes { Array($0) } }

    /// The program, disassembled: as bpf_dbg and libseccomp's tools write it, with what the numbers mean.
    public func assembly() -> String {
        var text = ""
        var offset: UInt32 = 0
        var audit: UInt32 = machine.audit
        for (index, it) in program.instructions.enumerated() {
            var comment = ""
            let words: String
            switch Int32(it.code) {
            case BPF_LD | BPF_W | BPF_ABS:
                offset = it.k
                words = "ld   [\(it.k)]"
                comment = Self.field(it.k)
            case BPF_ALU | BPF_AND | BPF_K: words = "and  #\(ArgumentNames.hexadecimal(UInt64(it.k)))"
            case BPF_JMP | BPF_JA: words = "ja   \(index + 1 + Int(it.k))"
            case BPF_RET | BPF_K:
                words = "ret  #\(ArgumentNames.hexadecimal(UInt64(it.k)))"
                comment = actionName(it.k)
            default:
                let name =
                    switch Int32(it.code) & 0xf0 {
                    case BPF_JEQ: "jeq "
                    case BPF_JGT: "jgt "
                    case BPF_JGE: "jge "
                    default: "jset"
                    }
                words =
                    "\(name) #\(ArgumentNames.hexadecimal(UInt64(it.k))), \(index + 1 + Int(it.jt)), \(index + 1 + Int(it.jf))"
                if offset == 4 {
                    if let entry = Architecture.allCases.first(where: { $0.audit == it.k }) {
                        comment = entry.rawValue
                        audit = it.k
                    }
                } else if offset == 0 && it.k != Architecture.x32Bit {
                    let entry = Architecture.allCases.first { $0.audit == audit } ?? machine
                    let isX32 = it.k & Architecture.x32Bit != 0 && entry == .x86_64
                    comment = CallTable.name(of: it.k, on: isX32 ? .x32 : entry) ?? ""
                }
            }
            let place = String(index)
            let line = String(repeating: " ", count: max(0, 4 - place.utf8.count)) + place + ": " + words
            let gap = String(repeating: " ", count: max(1, 44 - line.utf8.count))
            text += comment.isEmpty ? "\(line)\n" : "\(line)\(gap); \(comment)\n"
        }
        return text
    }

    private static func field(_ offset: UInt32) -> String {
        switch offset {
        case 0: "number"
        case 4: "architecture"
        case 8, 12: "instruction pointer"
        default: "argument \((offset - 16) / 8), \(offset % 8 == 0 ? "lower" : "upper") half"
        }
    }
}

extension DecisionDiagram {
    /// The answers that can be reached from here, by calls of whose arguments these are known, the most lenient first.
    func answers(_ node: Reference, knowing scalars: [RecordedScalar] = []) -> [UInt32] {
        var seen: Set<Reference> = []
        var found: Set<UInt32> = []
        var waiting = [node]
        while let next = waiting.popLast() {
            guard seen.insert(next).inserted else { continue }
            if let answer = answer(next) {
                found.insert(answer)
            } else {
                let bit = bit(next)
                let (low, high) = branches(next, at: bit)
                let place = UInt64(1) << UInt64(63 - bit % 64)
                // The words of seccomp_data before the arguments' are not asked for here.
                let known = scalars.first { Int($0.index) + 1 == bit / 64 && $0.mask & place != 0 }
                if known.map({ $0.value & place == 0 }) ?? true { waiting.append(low) }
                if known.map({ $0.value & place != 0 }) ?? true { waiting.append(high) }
            }
        }
        return found.sorted { FilterRules.isStricter($1, $0) }
    }
}
