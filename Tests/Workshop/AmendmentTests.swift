import Documents
import Foundation
import OCISpec
import Testing

@testable import Seccomp
@testable import Workshop

@Suite("the change to a profile that allows a refused call") struct AmendmentTests {
    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Profiles/seccomp/agent-default.json").path
    let document: Node
    let profile: LinuxSeccomp
    let before: FilterInterpreter

    init() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Self.path)))
        document = try Node.parse(bytes, file: "agent-default")
        profile = try LinuxSeccomp(document, file: "agent-default")
        before = try FilterInterpreter(try FilterCompiler.compile(profile))
    }

    static let allow: UInt32 = 0x7fff_0000

    private func action(_ filter: FilterInterpreter, _ name: String, _ arguments: [UInt64]) throws -> UInt32 {
        let number = try #require(CallTable.number(of: name))
        return filter.run(FilteredCall(number: number, arguments: arguments)).action
    }

    /// Allows the call and says what the filter then does.
    private func amended(_ name: String, _ arguments: [UInt64]) throws -> FilterInterpreter {
        let amendment = try #require(Amendment(allowing: name, arguments, in: profile))
        let changed = try #require(document.patched(by: amendment.patch))
        let program = try FilterCompiler.compile(try LinuxSeccomp(changed, file: "changed"), source: changed)
        return try FilterInterpreter(program)
    }

    static let calls: [(name: String, arguments: [UInt64])] = {
        func call(_ name: String, _ first: UInt64, _ second: UInt64 = 0, _ third: UInt64 = 0) -> (String, [UInt64]) {
            (name, [first, second, third, 0, 0, 0])
        }
        return [
            call("mount", 1, 2, 3), call("chroot", 1), call("socket", 38, 5), call("socket", 16, 3, 12),
            call("socket", 2, 1, 132), call("clone", 0x1002_0011), call("unshare", 0x1002_0000),
            call("ioctl", 0, 0x5412, 9),
            call("keyctl", 6), call("personality", 0x44_0000), call("seccomp", 1, 8), call("clone3", 1, 88),
            call("socketpair", 2, 1), call("bpf", 5, 1, 48), call("listns", 0),
        ]
    }()

    @Test("it allows the call, and no other call's answer changes from refused to allowed", arguments: calls)
    func allowsThisAlone(name: String, arguments: [UInt64]) throws {
        #expect(try action(before, name, arguments) != Self.allow)
        let after = try amended(name, arguments)
        #expect(try action(after, name, arguments) == Self.allow)
        // The kernel ignores the upper half of an int, and so must the rule.
        if CallTable.mask(of: name, argument: 0) == 0xffff_ffff {
            var wide = arguments
            wide[0] |= 0xdead_beef << 32
            #expect(try action(after, name, wide) == Self.allow)
        }
        for other in CallTable.names() where other != name {
            for first in [0, 1, 2, 16, 38, 0x5412, 0x1002_0011, .max] as [UInt64] {
                let call: [UInt64] = [first, first, 0, 0, 0, 0]
                #expect(try action(before, other, call) == action(after, other, call))
            }
        }
        // Of the call itself, other values of what was told apart stay refused.
        for argument in EnumerableArguments.of(name) {
            var near = arguments
            near[argument.index] ^= argument.mask & (~argument.mask + 1)
            if try action(before, name, near) != Self.allow {
                #expect(try action(after, name, near) != Self.allow)
            }
        }
    }

    @Test("a call without a name can have no rule")
    func nameless() {
        #expect(Amendment(allowing: "syscall_500", [0, 0, 0, 0, 0, 0], in: profile) == nil)
    }

    @Test("that other arguments change is said where they do")
    func notes() throws {
        let setUser = try #require(Amendment(allowing: "chmod", [0, 0o4755, 0, 0, 0, 0], in: profile))
        #expect(setUser.note == "", "the rule that made way was for these arguments alone")
        let namespace = try #require(Amendment(allowing: "clone", [0x2_0000, 0, 0, 0, 0, 0], in: profile))
        #expect(namespace.note != "")
    }

    @Test(
        "in a bundle, whose rules may overlap, it opens what was refused and no more, or says so",
        arguments: [
            ("[]", [5], false), (#"[{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}]"#, [5], false),
            // Two conditions on one argument: either refuses.
            (
                #"[{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]"#, [5],
                false
            ),
            // Rules cannot say: above 7 and not 9, above 3 and not 5.
            (#"[{"index": 3, "value": 7, "op": "SCMP_CMP_GT"}]"#, [5], true),
            (#"[{"index": 1, "value": 3, "op": "SCMP_CMP_GT"}]"#, [4, 5, 6, 7, 8, 9], true),
        ])
    func overlapping(refused: String, opens: [UInt64], opensMore: Bool) throws {
        let text = #"""
            {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": \#(refused)}]}
            """#
        let file = try ProfileFile(reading: [UInt8](text.utf8), file: "docker")
        let amendment = try #require(
            Amendment(
                allowing: "ioctl", [0, 5, 0, 9, 0, 0], in: try LinuxSeccomp(file.document, file: "docker")))
        let changed = try #require(file.document.patched(by: amendment.patch))
        let after = try ProfileFile(reading: [UInt8](changed.json().utf8), file: "changed").interpreter()
        let before = try file.interpreter()
        let changes = try (0...9 as ClosedRange<UInt64>).filter { request in
            let call: [UInt64] = [0, request, 0, 9, 0, 0]
            return try action(before, "ioctl", call) != action(after, "ioctl", call)
        }
        #expect(changes == opens)
        #expect(amendment.note.contains("syscalls[1] refuses are allowed then") == opensMore, "\(amendment.note)")
    }

    @Test("calls are allowed whole, and no other changes")
    func whole() throws {
        let file = try ProfileFile(reading: [UInt8](document.json().utf8), file: "agent-default")
        let changed = try file.allowing(["ptrace", "socket", "read", "clone3"])
        // It is a file that carrel takes: no rule says what another says.
        let profile = try LinuxSeccomp(changed, file: "changed")
        let after = try FilterInterpreter(try FilterCompiler.compile(profile, source: changed))
        for name in CallTable.names() {
            for first in [0, 1, 2, 16, 38, 0x5412, 0x1002_0011, .max] as [UInt64] {
                let call: [UInt64] = [first, first, 0, 0, 0, 0]
                let isAllowed = ["ptrace", "socket", "read", "clone3"].contains(name)
                #expect(try action(after, name, call) == (isAllowed ? Self.allow : try action(before, name, call)))
            }
        }
        #expect(throws: Problems.self) { try file.allowing(["raed"]) }
    }

    @Test("operations that do not fit the document are refused")
    func misfits() {
        let document: Node = ["syscalls": [["names": ["a", "b"]]]]
        for (path, operation) in [
            ("/syscalls/1", "remove"), ("/syscalls/0/names/2", "remove"), ("/none/0", "remove"),
            ("/syscalls/0", "replace"),
            ("/syscalls/-", "remove"), ("", "remove"),
        ] {
            let patch: Node = [["op": Node(.string(operation)), "path": Node(.string(path))]]
            #expect(document.patched(by: patch) == nil)
        }
        let removed = document.patched(by: [["op": "remove", "path": "/syscalls/0/names/0"]])
        #expect(removed?.json() == #"{"syscalls":[{"names":["b"]}]}"#)
    }

    @Test("what asks a listener decides as the filter, but for its answers")
    func askingFilters() throws {
        let filter = try FilterCompiler.compile(profile)
        let question: UInt32 = 0x7fc0_0000
        let refused = try FilterInterpreter(filter.asking(.refused))
        let everything = try FilterInterpreter(filter.asking(.everything))
        #expect(filter.asking(.refused).flags.contains(.listener) && !filter.flags.contains(.listener))
        for number in 0...600 as ClosedRange<UInt32> {
            for arch in [Architecture.x86_64.audit, Architecture.x86.audit, Architecture.aarch64.audit] {
                let call = FilteredCall(number: number, arch: arch, arguments: [1, 1, 0])
                let action = before.run(call).action
                let isErrno = action & 0xffff_0000 == 0x0005_0000
                #expect(refused.run(call).action == (isErrno ? question : action))
                let isKill = !isErrno && action != Self.allow
                #expect(everything.run(call).action == (isKill ? action : question))
            }
        }
    }
}
