import CSyscalls

/// Holds a compiled program against what its profile means, call by call, in the interpreter.
///
/// A compiler is where a sandbox is lost without a trace: libseccomp has had filters that allowed what the rules forbid
/// (CVE-2019-9893, comparisons of 64 bits). So nothing is cached or loaded that was not run first: for every call number of
/// every architecture, for the arguments at and beside every boundary of the rules, with junk in those halves of registers
/// that the kernel ignores, and for random ones.
package struct FilterCheck {
    /// A call that the program answers otherwise than the rules.
    package struct Difference: Error, CustomStringConvertible {
        package let call: FilteredCall
        package let found: UInt32
        package let wanted: UInt32

        package var description: String {
            "the compiled filter answers \(call) with \(actionName(found)), and the rules with \(actionName(wanted))"
        }
    }

    private let rules: FilterRules
    private let program: FilterInterpreter
    /// Arguments that meet a rule, one call for each.
    private var witnesses: [FilteredCall] = []
    private var dice: UInt64 = 0x9e37_79b9_7f4a_7c15

    /// - Throws: the first difference. For a call, at most `effort` arguments are tried for each of its rules.
    package static func verify(
        _ program: FilterInterpreter, _ rules: FilterRules, effort: Int = 200
    ) throws(Difference) {
        var check = FilterCheck(rules: rules, program: program)
        try check.numbers()
        for entry in rules.entries {
            for (number, list) in (rules.rules[entry] ?? [:]).sorted(by: { $0.key < $1.key })
            where list.contains(where: { !$0.tests.isEmpty }) {
                try check.arguments(FilteredCall(number: number, on: entry), list, effort)
            }
        }
        try check.others()
    }

    private init(rules: FilterRules, program: FilterInterpreter) {
        self.rules = rules
        self.program = program
    }

    private func compare(_ call: FilteredCall) throws(Difference) {
        let (found, wanted) = (program.run(call).action, rules.action(of: call))
        if found != wanted { throw Difference(call: call, found: found, wanted: wanted) }
    }

    /// Every number of every architecture, and what is around the marks of x32, of arm's private calls and of the sign.
    private mutating func numbers() throws(Difference) {
        let marks: [UInt32] = [0xf_0000, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xc000_0000, 0]
        for arch in Architecture.allCases.filter({ $0 != .x32 }).map(\.audit) + [0, .max] {
            for number in 0...1024 as ClosedRange<UInt32> { try any(number, arch) }
            for mark in marks { for number in 0...8 as ClosedRange<UInt32> { try any(mark &- 4 &+ number, arch) } }
        }
        for number in 0...1024 as ClosedRange<UInt32> {
            try any(Architecture.x32Bit + number, Architecture.x86_64.audit)
        }
    }
    private mutating func any(_ number: UInt32, _ arch: UInt32) throws(Difference) {
        try compare(FilteredCall(number: number, arch: arch, arguments: [random()]))
    }

    /// From arguments that meet a rule, each argument in turn through all that is near a boundary.
    private mutating func arguments(
        _ call: FilteredCall, _ list: [FilterRule], _ effort: Int
    ) throws(Difference) {
        let values = (0..<6).map { index in boundaries(list, index) }
        let compared = values.indices.filter { !values[$0].isEmpty }
        for rule in list {
            var call = call
            for index in 0..<6 { call.arguments[index] = random() }
            for test in rule.tests { call.arguments[test.index] = witness(test) }
            try compare(call)
            for index in compared {
                let step = max(1, values[index].count * compared.count / effort)
                for value in stride(from: Int(random() % UInt64(step)), to: values[index].count, by: step) {
                    var call = call
                    call.arguments[index] = values[index][value]
                    try compare(call)
                    call.arguments[index] ^= random() << 32
                    try compare(call)
                }
            }
            // A call must not end where its neighbour's arguments are looked at.
            for number in [call.number &- 1, call.number &+ 1] {
                var other = call
                other.number = number
                try compare(other)
            }
            witnesses.append(call)
            for _ in 0..<effort / 4 {
                for index in compared {
                    call.arguments[index] = values[index][Int(random() % UInt64(values[index].count))]
                }
                try compare(call)
            }
        }
    }

    /// Arguments that some rule looks for, with the numbers of other calls.
    private mutating func others() throws(Difference) {
        guard !witnesses.isEmpty else { return }
        for entry in rules.entries {
            let base = entry == .x32 ? Architecture.x32Bit : 0
            for number in 0...600 as ClosedRange<UInt32> {
                for _ in 0..<4 {
                    var call = witnesses[Int(random() % UInt64(witnesses.count))]
                    (call.arch, call.number) = (entry.audit, base + number)
                    try compare(call)
                }
            }
        }
    }

    /// Values of an argument at which some rule could change its mind, and their neighbours.
    private func boundaries(_ list: [FilterRule], _ index: Int) -> [UInt64] {
        var values: Set<UInt64> = []
        for test in list.lazy.flatMap(\.tests) where test.index == index {
            for edge in [test.value, test.value | ~test.mask, test.value ^ (test.mask & (0 &- test.mask))] {
                values.formUnion([edge, edge &- 1, edge &+ 1, edge ^ 1 << 31, edge ^ 1 << 32, edge ^ 1 << 63])
            }
        }
        if !values.isEmpty { values.formUnion([0, .max, 0xffff_ffff, 0x7fff_ffff, 0xffff_ffff_0000_0000]) }
        // In an order that is the same each time: what fails once must fail again.
        return values.sorted()
    }

    /// A value that meets the test if any does, with junk in the bits that it leaves alone.
    private mutating func witness(_ test: ArgumentTest) -> UInt64 {
        let lowest = test.mask & (0 &- test.mask)
        let value =
            switch test.comparison {
            case .equal, .lessOrEqual, .greaterOrEqual: test.value
            case .notEqual: test.value ^ lowest
            case .less: (test.value &- 1) & test.mask
            case .greater: ((test.value | ~test.mask) &+ 1) & test.mask
            }
        return value | random() & ~test.mask
    }

    /// splitmix64: a fixed sequence, so that a difference shows every time.
    private mutating func random() -> UInt64 {
        dice &+= 0x9e37_79b9_7f4a_7c15
        var mixed = dice
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// A filter's answer as people write it: `allowed`, `EPERM`, `kill process`.
package func actionName(_ action: UInt32) -> String {
    let data = action & 0xffff
    return switch action & 0xffff_0000 {
    case 0x8000_0000: "kill process"
    case 0x0000_0000: "kill thread"
    case 0x0003_0000: "trap"
    case 0x0005_0000: errnoName(data)
    case 0x7fc0_0000: "notify"
    case 0x7ff0_0000: "trace \(data)"
    case 0x7ffc_0000: "log"
    case 0x7fff_0000: "allowed"
    default: "answer \(String(action, radix: 16))"
    }
}

/// An errno that a filter answers, as people write it: `EPERM`.
public func errnoName(_ number: UInt32) -> String {
    if number == 0 { return "success without a call" }
    return strerrorname_np(Int32(truncatingIfNeeded: number)).map { String(cString: $0) } ?? "errno \(number)"
}
