import Documents
import Foundation
import OCISpec
import Testing

@testable import Seccomp
@testable import Workshop

/// A filter from the text of its rules.
func filter(
    _ syscalls: String, byDefault: String = "SCMP_ACT_ERRNO", architectures: String = "",
    on machine: Architecture = .x86_64
) throws -> FilterInterpreter {
    let text = """
        { "defaultAction": "\(byDefault)", "architectures": ["SCMP_ARCH_X86_64"\(architectures)], "syscalls": [\(syscalls)] }
        """
    return try FilterInterpreter(
        try ProfileFile(reading: [UInt8](text.utf8), file: "p.json").program(for: machine))
}

func rule(_ names: String, _ action: String = "ALLOW", _ args: String = "") -> String {
    let list = names.split(separator: " ").map { "\"\($0)\"" }.joined(separator: ", ")
    return "{ \"names\": [\(list)], \"action\": \"SCMP_ACT_\(action)\", \"args\": [\(args)] }"
}

func arg(_ index: Int, _ op: String, _ value: UInt64, _ two: UInt64? = nil) -> String {
    let second = two.map { ", \"valueTwo\": \($0)" } ?? ""
    return "{ \"index\": \(index), \"op\": \"SCMP_CMP_\(op)\", \"value\": \(value)\(second) }"
}

@Suite("differences by meaning") struct DiffTests {
    @Test("files that mean the same are equal, however they are written")
    func equal() throws {
        let one = try filter(
            [rule("read write close"), rule("socket", "ALLOW", arg(0, "LE", 2)), rule("mount", "ERRNO")].joined(
                separator: ","))
        let other = try filter(
            [
                rule("socket", "ALLOW", arg(0, "EQ", 1)), rule("close"), rule("socket", "ALLOW", arg(0, "EQ", 2)),
                rule("read"),
                rule("socket", "ALLOW", arg(0, "MASKED_EQ", 0xffff_ffff, 0)), rule("write"),
            ].joined(separator: ","))
        #expect(one.instructions.count != other.instructions.count)
        #expect(FilterDiff(one, other, on: .x86_64).isEmpty)
        let ptrace = try filter(rule("read"), architectures: ", \"SCMP_ARCH_AARCH64\"")
        #expect(FilterDiff(ptrace, try filter(rule("read")), on: .x86_64).isEmpty)
    }

    @Test("what is opened and closed, for which arguments, with an example that shows it")
    func regions() throws {
        let before = try filter([rule("read bind"), rule("socket", "ALLOW", arg(0, "EQ", 1))].joined(separator: ","))
        let after = try filter(
            [
                rule("read mount"), rule("socket", "ALLOW", arg(0, "LT", 17)),
                rule("clone", "ALLOW", arg(0, "MASKED_EQ", 0x7e02_0000, 0)),
                rule("ioctl", "ALLOW", arg(1, "NE", 0x5412)),
                rule("personality", "KILL_PROCESS"), rule("mmap", "ALLOW", arg(1, "GT", 1 << 32)),
            ].joined(separator: ","))
        let diff = FilterDiff(before, after, on: .x86_64)
        func of(_ call: String) -> FilterDiff.Difference? { diff.differences.first { $0.calls.contains(call) } }
        #expect(of("mount")?.kind == .opened && of("mount")?.risk?.level == .high)
        #expect(of("mount")?.arguments == ["any arguments"])
        #expect(of("bind")?.kind == .closed && of("bind")?.before == ["allowed"] && of("bind")?.after == ["EPERM"])
        #expect(of("socket")?.arguments == ["argument 0 one of AF_UNSPEC, AF_INET to AF_NETLINK"])
        #expect(of("clone")?.arguments == ["argument 0 & 0x7e020000 = 0x0"])
        #expect(of("ioctl")?.arguments == ["argument 1 ≠ TIOCSTI"])
        #expect(of("mmap")?.arguments == ["argument 1 ≥ 0x100000001"])
        #expect(of("personality")?.kind == .answered && of("personality")?.after == ["kill process"])
        #expect(of("read") == nil)
        // All but TIOCSTI: TIOCLINUX is as bad.
        #expect(diff.differences.prefix(2).map(\.calls) == [["ioctl"], ["mount"]])
        for it in diff.differences {
            let number = try #require(CallTable.number(of: it.calls[0], on: .x86_64))
            let call = FilteredCall(number: number, on: .x86_64, arguments: it.example)
            #expect(it.before.contains(actionName(before.run(call).action)), "\(it)")
            #expect(it.after.contains(actionName(after.run(call).action)), "\(it)")
        }
        let back = FilterDiff(after, before, on: .x86_64)
        #expect(back.differences.count == diff.differences.count)
        #expect(back.differences.count { $0.kind == .opened } == diff.differences.count { $0.kind == .closed })
    }

    @Test("the words hold for these arguments and for no others")
    func words() throws {
        /// What is told of the arguments of a call that are allowed.
        func told(_ call: String, _ args: String...) throws -> [String] {
            let it = try filter(args.map { rule(call, "ALLOW", $0) }.joined(separator: ","))
            return FilterListing(it, on: .x86_64).table().filter { $0.call == call && $0.answer == "allowed" }
                .flatMap(\.arguments)
        }
        // Two of the three values that have a bit of 3.
        #expect(
            try told("write", arg(0, "MASKED_EQ", 3, 1), arg(0, "MASKED_EQ", 3, 2))
                == ["argument 0 & 0x3 = 0x1 or & 0x3 = 0x2"])
        #expect(
            try told("write", arg(0, "MASKED_EQ", 1, 1), arg(0, "MASKED_EQ", 2, 2)) == ["argument 0 & 0x3 ≠ 0"])
        // The kernel takes 64 bits, 32 or 16.
        #expect(try told("write", arg(1, "MASKED_EQ", 0xffff_ffff, 8)) == ["argument 1 & 0xffffffff = 0x8"])
        #expect(try told("write", arg(0, "MASKED_EQ", 0xffff_ffff, 8)) == ["argument 0 = 8"])
        #expect(try told("chmod", arg(1, "EQ", 0o700)) == ["argument 1 = 448"])
    }

    @Test("rules that lead through more bits than can be told one by one have an end")
    func manyPaths() throws {
        func pairs(_ call: String, _ argument: Int, _ count: UInt64) -> [String] {
            (0..<count).map { rule(call, "ALLOW", arg(argument, "MASKED_EQ", 3 << (2 * $0), 3 << (2 * $0))) }
        }
        let it = try filter(pairs("mmap", 0, 32).joined(separator: ","))
        let rows = FilterListing(it, on: .x86_64).table().filter { $0.call == "mmap" }
        #expect(rows.count == 2 && rows.allSatisfy { $0.arguments.joined().hasSuffix("and many more") })
        let diff = FilterDiff(it, try filter(pairs("mmap", 0, 31).joined(separator: ",")), on: .x86_64)
        #expect(diff.differences.map(\.kind) == [.closed])
    }

    @Test("an entry is one line where it kills whatever comes, and only there")
    func killing() throws {
        let it = try filter(rule("write"), byDefault: "SCMP_ACT_KILL_PROCESS")
        let rows = FilterListing(it, on: .x86_64).table()
        #expect(rows.filter { $0.answer == "allowed" }.map(\.call) == ["write"])
        #expect(rows.filter { $0.call == "every call" }.map(\.architecture) == [.x86, .x32])
    }

    @Test("the risk of what is opened is that of its worst arguments, not of the example")
    func risks() throws {
        let before = try filter(
            [rule("read"), rule("chmod", "ALLOW", arg(1, "MASKED_EQ", 0x800, 0))].joined(separator: ","))
        let after = try filter(rule("read clone ioctl chmod mmap kill"))
        var levels: [String: CallRisk.Level] = [:]
        for it in FilterDiff(before, after, on: .x86_64).differences {
            for call in it.calls { levels[call] = it.risk?.level }
        }
        #expect(levels == ["clone": .high, "ioctl": .high, "chmod": .high, "mmap": .medium, "kill": .low])
        // The same names, whatever their arguments.
        for (call, level) in levels { #expect(CallRisk.of(call).level == level, "\(call)") }
    }

    @Test("entries: i386 and x32 that one filter lets in")
    func entries() throws {
        let plain = try filter(rule("read socket"))
        let more = try filter(rule("read socket"), architectures: ", \"SCMP_ARCH_X86\", \"SCMP_ARCH_X32\"")
        let diff = FilterDiff(plain, more, on: .x86_64)
        let opened = diff.differences.filter { $0.kind == .opened }
        #expect(Set(opened.map(\.architecture)) == [.x86, .x32])
        #expect(opened.contains { $0.calls.contains("socketcall") && $0.arguments == ["argument 0 = 1"] })
        #expect(diff.differences.contains { $0.kind == .answered && $0.calls.contains { $0.hasPrefix("numbers ") } })
    }

    @Test("a diagram of a program says what the interpreter says, and the rules' what the rules say")
    func diagrams() throws {
        let shippedProfile = try shipped("agent-default")
        let program = try FilterInterpreter(try shippedProfile.program())
        let rules = try shippedProfile.rules()
        var diagram = DecisionDiagram()
        let byProgram = diagram.meaning(of: program)
        #expect(byProgram == diagram.meaning(of: rules))
        #expect(diagram.nodes.count < 100_000)
        var generator = SystemRandomNumberGenerator()
        let edges: [UInt64] = [0, 1, 2, 10, 16, 17, 40, 0x5411, 0x5412, 0x541c, 0x5423, 0x7e02_0000, 1 << 32, .max]
        for _ in 0..<20_000 {
            let arguments = (0..<6).map { _ in
                Bool.random() ? edges.randomElement()! : UInt64.random(in: .min ... .max, using: &generator)
            }
            let call = FilteredCall(number: UInt32.random(in: 0...500), arguments: arguments)
            var at = byProgram
            while diagram.answer(at) == nil {
                let bit = Int(diagram.bit(at))
                let (low, high) = diagram.branches(at, at: UInt16(bit))
                let isSet =
                    switch bit {
                    case ..<32: call.arch >> UInt32(31 - bit) & 1 == 1
                    case ..<64: call.number >> UInt32(63 - bit) & 1 == 1
                    default: call.arguments[(bit - 64) / 64] >> UInt64(63 - (bit - 64) % 64) & 1 == 1
                    }
                at = isSet ? high : low
            }
            #expect(diagram.answer(at) == program.run(call).action, "\(call)")
        }
    }

    @Test("every change of an answer is seen: one instruction of a program changed")
    func mutations() throws {
        let rules = [
            rule("read write close mseal"),
            rule("socket", "ALLOW", arg(0, "EQ", 2) + "," + arg(1, "MASKED_EQ", 15, 1)),
            rule("ioctl", "ALLOW", arg(1, "NE", 0x5412)), rule("mmap", "LOG", arg(4, "LT", 9 << 33)),
        ].joined(separator: ",")
        let good = try filter(rules)
        let bytes = good.instructions.withUnsafeBytes { [UInt8]($0) }
        for index in 0..<bytes.count / 8 {
            for byte in [4, 5] {
                var changed = bytes
                changed[8 * index + byte] ^= 1
                guard let bad = try? FilterInterpreter(changed) else { continue }
                var diagram = DecisionDiagram()
                #expect(diagram.meaning(of: good) != diagram.meaning(of: bad), "instruction \(index)")
            }
        }
    }
}
