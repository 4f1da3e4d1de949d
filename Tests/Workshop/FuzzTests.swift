import Foundation
import OCISpec
import Synchronization
import Testing

@testable import Seccomp
@testable import Workshop

/// A small generator with a seed, so that a failure can be repeated.
private struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// Random rule sets. `CARREL_FUZZ` is how many, or from which to which (`2000-4000`); without it a sample. Each has its number as
/// its seed, so that a failure can be repeated alone.
@Suite("random rule sets") struct FuzzTests {
    static let seeds: Range<Int> = {
        let words = (ProcessInfo.processInfo.environment["CARREL_FUZZ"] ?? "150").split(separator: "-")
            .compactMap { Int($0) }
        return words.count == 2 ? words[0]..<words[1] : 0..<(words.first ?? 150)
    }()

    /// Does the same for every seed, on all processors, and gives what it found.
    private static func each<Found: Sendable>(
        _ seeds: [Int], _ body: @escaping @Sendable (Int) throws -> Found
    ) -> [Found] {
        let found = Mutex<[Found]>([])
        DispatchQueue.concurrentPerform(iterations: seeds.count) { index in
            do {
                let one = try body(seeds[index])
                found.withLock { $0.append(one) }
            } catch { Issue.record("round \(seeds[index]): \(error)") }
        }
        return found.withLock { $0 }
    }

    static let names = [
        "read", "write", "openat", "mmap", "socket", "ioctl", "fcntl", "clone", "prctl", "personality", "futex",
        "fchmodat2", "splice", "execve", "mseal", "shmget", "bind", "kill", "lseek", "waitid", "statx", "umask", "open",
    ]
    static let operators: [LinuxSeccompOperator] = [
        .notEqual, .lessThan, .lessOrEqual, .equalTo, .greaterOrEqual, .greaterThan, .maskedEqual,
    ]
    static let actions: [(LinuxSeccompAction, UInt32?)] = [
        (.allow, nil), (.errno, 1), (.errno, 38), (.log, nil), (.trap, nil), (.killProcess, nil), (.killThread, nil),
        (.trace, 3),
    ]

    private static func value(_ dice: inout Dice) -> UInt64 {
        let edges: [UInt64] = [
            0, 1, 2, 15, 16, 40, 0x5412, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 0x1_0000_0028, .max, .max - 1,
            1 << 63, 0x7e02_0000,
        ]
        switch Int.random(in: 0..<4, using: &dice) {
        case 0: return dice.next()
        case 1: return dice.next() >> UInt64.random(in: 0..<64, using: &dice)
        default: return edges.randomElement(using: &dice)!
        }
    }

    private static func condition(
        _ index: Int, _ dice: inout Dice, _ operators: [LinuxSeccompOperator]
    ) -> LinuxSeccompArg {
        let op = operators.randomElement(using: &dice)!
        let (a, b) = (value(&dice), value(&dice))
        return LinuxSeccompArg(index: UInt32(index), value: a, valueTwo: op == .maskedEqual ? a & b : nil, op: op)
    }

    private static func profile(
        _ dice: inout Dice, actions: [(LinuxSeccompAction, UInt32?)], operators: [LinuxSeccompOperator] = operators
    ) -> LinuxSeccomp {
        var result = LinuxSeccomp(defaultAction: .errno, defaultErrnoRet: UInt32.random(in: 1...40, using: &dice))
        if Bool.random(using: &dice) { result.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] }
        for _ in 0..<Int.random(in: 1...14, using: &dice) {
            let (action, errno) = actions.randomElement(using: &dice)!
            let names = (0..<Int.random(in: 1...3, using: &dice)).map { _ in Self.names.randomElement(using: &dice)! }
            let indices = (0..<6).shuffled(using: &dice).prefix(Int.random(in: 0...3, using: &dice))
            let args = indices.map { condition($0, &dice, operators) }
            result.syscalls.append(LinuxSyscall(names: names, action: action, errnoRet: errno, args: args))
        }
        return result
    }

    @Test("every program means what its rules mean: for every number and argument, by proof and not by sample")
    func ours() throws {
        let different = Self.each(Array(Self.seeds)) { round -> String? in
            var dice = Dice(state: UInt64(round))
            let profile = Self.profile(&dice, actions: Self.actions)
            // This runs the interpreter's check as well.
            let program = try FilterCompiler.compile(profile, reading: .runtime, for: .x86_64)
            let rules = try FilterCompiler.rules(of: profile, reading: .runtime, for: .x86_64)
            var diagram = DecisionDiagram()
            let meant = diagram.meaning(of: rules)
            let isSame = diagram.meaning(of: try FilterInterpreter(program)) == meant
            return isSame ? nil : "round \(round): \(profile.node.json())"
        }
        print("carrel: \(different.count) sets of rules, \(different.count { $0 != nil }) wrong")
        #expect(
            different.count == Self.seeds.count && different.allSatisfy { $0 == nil }, "\(different.compactMap(\.self))"
        )
    }

    /// libseccomp 2.5.4 makes wrong filters, too wide and too narrow, of several rules for one call with comparisons that
    /// order or differ: `a > 2^32` or `a <= 1` lets 2 through. Of equalities alone it has made none.
    @Test("libseccomp makes the same of rules that compare for equality", arguments: [true, false])
    func libseccomp(equalitiesOnly: Bool) throws {
        let operators: [LinuxSeccompOperator] = equalitiesOnly ? [.equalTo, .maskedEqual] : Self.operators
        let oracle = try Oracle()
        enum Found {
            case same, refused(String), different(String)
        }
        let found = Self.each(Self.seeds.filter { $0 % 4 == 0 }) { round -> Found in
            var dice = Dice(state: UInt64(round))
            var profile = Self.profile(&dice, actions: [(.allow, nil)], operators: operators)
            profile.architectures = []
            // It compares whole registers: the same rules, as it reads them.
            var rules = FilterRules(
                defaultAction: ProfileChecker.action(.errno, profile.defaultErrnoRet), machine: .x86_64,
                entries: [.x86_64])
            var lines: [String] = []
            for entry in profile.syscalls {
                for name in entry.names {
                    guard let number = CallTable.number(of: name, on: .x86_64) else { continue }
                    let tests = entry.args.map {
                        ArgumentTest(
                            index: Int($0.index), mask: $0.op == .maskedEqual ? $0.value : .max,
                            comparison: ProfileChecker.comparison($0.op),
                            value: $0.op == .maskedEqual ? $0.valueTwo ?? 0 : $0.value)
                    }
                    rules.add(FilterRule(call: number, action: 0x7fff_0000, tests: tests), to: .x86_64)
                    let words = entry.args.map { arg in
                        let op = Self.operators.firstIndex(of: arg.op)! + 1
                        return " \(arg.index) \(op) \(arg.value) \(arg.valueTwo ?? 0)"
                    }
                    lines.append("\(0x7fff_0000) \(number)\(words.joined())")
                }
            }
            let optimize = round / 4 % 2 + 1
            switch try oracle.compile(lines, byDefault: rules.defaultAction, optimize: optimize) {
            case .refused(let why): return .refused(why)
            case .program(let bytes):
                var diagram = DecisionDiagram()
                let theirs = diagram.meaning(of: try FilterInterpreter(bytes))
                let meant = diagram.meaning(of: rules)
                // x32 and -1 are another matter (Docs/Seccomp.md).
                let isOther = diagram.comparing(0, mask: .max, .atLeast, Architecture.x32Bit)
                let none = diagram.end(0)
                return diagram.choose(isOther, none, theirs) == diagram.choose(isOther, none, meant)
                    ? .same : .different("optimize \(optimize): \(lines.joined(separator: "; "))")
            }
        }
        var (same, refused, different) = (0, [String: Int](), [String]())
        for one in found {
            switch one {
            case .same: same += 1
            case .refused(let why): refused[why, default: 0] += 1
            case .different(let lines): different.append(lines)
            }
        }
        print("libseccomp, equalities only \(equalitiesOnly): \(same) the same, \(different.count) not, \(refused)")
        if equalitiesOnly { #expect(different == []) }
        #expect(same > found.count / 2)
    }
}
