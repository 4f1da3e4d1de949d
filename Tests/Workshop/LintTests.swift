import Documents
import Foundation
import Testing

@testable import Seccomp
@testable import Workshop

@Suite("lint") struct LintTests {

    func lint(_ rules: String..., top: String = "\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 38,")
        throws
        -> [String]
    {
        let text = """
            { \(top)
              "syscalls": [
              \(rules.joined(separator: ",\n  "))
              ] }
            """
        let lint = FilterLint(try ProfileFile(reading: [UInt8](text.utf8), file: "p.json"))
        return lint.findings.map(\.description)
    }

    /// What is found in a rule beside those that every profile needs, on its line.
    func found(_ rule: String) throws -> [String] {
        try lint(needed, rule).filter { $0.hasPrefix("p.json:4:") }
    }
    private var needed: String {
        rule("execve exit_group rt_sigreturn openat2 faccessat2 close_range statx openat fstat faccessat close")
    }

    @Test("a sound profile passes")
    func sound() throws {
        #expect(try lint(needed) == [])
    }

    @Test("each kind of finding, with its line")
    func kinds() throws {
        func expect(_ rule: String, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let all = try found(rule)
            #expect(all.contains { $0.contains(words) }, "\(all)", sourceLocation: sourceLocation)
        }
        try expect(rule("socketpair", "ALLOW", arg(0, "NE", 1)), "compare 64 bits where socketpair takes an int")
        try expect(rule("ioctl", "ALLOW", arg(1, "GT", 0x5423)), "they let ioctl(0x0, 0x100000000, 0x0) through")
        let killing = try lint(
            rule("ioctl", "ALLOW", arg(1, "GT", 0x5423)), top: "\"defaultAction\": \"SCMP_ACT_KILL_PROCESS\",")
        #expect(killing.contains { $0.contains("they let ioctl(0x0, 0x100000000, 0x0) through") }, "\(killing)")
        try expect(
            rule("personality", "ALLOW", arg(0, "EQ", 0) + "," + arg(0, "EQ", 8)), "error: syscalls[1].args[1].index")
        try expect(
            "{ \"names\": [\"read\"], \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 38 }", "says what the default says")
        try expect(rule("mkdir", "ALLOW", arg(0, "EQ", 4096)), "compares an address (pathname of mkdir)")
        #expect(try !found(rule("prlimit64", "ALLOW", arg(2, "EQ", 0))).contains { $0.contains("compares an address") })
        try expect(rule("io_uring_setup"), "io_uring_setup is allowed: it works past every filter")
        try expect(rule("write", "NOTIFY"), "EBUSY")
        try expect(rule("raed"), "did you mean read?")
        try expect(rule("dup2"), "aarch64 has no dup2, and none of what it has instead is allowed: dup, dup3")
        try expect("{ \"names\": [\"stime\"], \"action\": \"SCMP_ACT_ALLOW\", \"arsg\": [] }", "did you mean args?")
        try expect(rule("clone"), "clone(CLONE_NEWUSER) is allowed")
        try expect(rule("socket"), "socket(AF_ALG) is allowed")
        try expect(rule("seccomp"), "SECCOMP_FILTER_FLAG_NEW_LISTENER")
        try expect(rule("mount"), "mount is allowed: it changes or shows mounts")
        for name in ["ptrace", "bpf", "keyctl", "userfaultfd", "open_by_handle_at", "kexec_load"] {
            try expect(rule(name), "\(name) is allowed: it ")
        }
    }

    @Test("what is right is not found fault with")
    func silence() throws {
        for fine in [
            rule("socket", "ALLOW", arg(0, "MASKED_EQ", 0xffff_ffff, 1)), rule("socketpair", "ALLOW", arg(0, "EQ", 1)),
            rule("clone", "ALLOW", arg(0, "MASKED_EQ", 0x7e02_0000, 0)), rule("dup2 dup3"),
            rule("mmap", "ALLOW", arg(1, "LT", 9)),
            "{ \"names\": [\"clone3\"], \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 38, \"comment\": \"told\" }",
        ] {
            let all = try found(fine).filter { !$0.contains(": note: ") }
            #expect(all == [], "\(fine)")
        }
    }

    @Test("the whole: architectures, the default, the answers to what libraries probe, socketcall")
    func top() throws {
        let open = try lint(top: "\"defaultAction\": \"SCMP_ACT_ALLOW\",")
        #expect(open.contains { $0.hasPrefix("p.json:1:") && $0.contains("allows every call that is not named") })
        let old = try lint(
            rule("execve exit_group rt_sigreturn"), top: "\"defaultAction\": \"SCMP_ACT_ERRNO\",")
        for name in ["clone3", "openat2", "faccessat2", "close_range", "statx"] {
            #expect(old.contains { $0.contains("\(name) is answered with EPERM") }, "\(name)")
        }
        let entries = try lint(
            rule("socketcall"), rule("socket", "ALLOW", arg(0, "EQ", 1)),
            top: """
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                """)
        #expect(entries.contains { $0.contains("p.json:4:") && $0.contains("socketcall makes any socket on i386") })
        #expect(entries.contains { $0.contains("x32 is a second set of numbers") })
        #expect(entries.contains { $0.contains("execve is refused: no program can start") })
    }

    @Test("what the workshop makes passes", arguments: [nil, "agent-default"])
    func synthesised(base: String?) throws {
        var seen = recording("read", "openat", "clone3", "dup2")
        seen.add("ioctl", count: 1, scalars: [scalar(1, 0x5401)])
        seen.add("socket", count: 3, scalars: [scalar(0, 2), scalar(1, 1, mask: 15), scalar(2, 0)])
        let made = try Synthesis(of: seen, base: try base.map(shipped))
        let lint = FilterLint(try ProfileFile(reading: [UInt8](made.text.utf8), file: "made.json"))
        #expect(lint.passes, "\(lint.findings.filter { $0.level != .note }.map(\.description))")
    }

    @Test("Docker's form is looked at, too", .enabled(if: FileManager.default.fileExists(atPath: podmans)))
    func docker() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: podmans)))
        let lint = FilterLint(try ProfileFile(reading: bytes, file: podmans))
        #expect(!lint.passes && !lint.findings.contains { $0.level == .error })
        #expect(lint.findings.contains { $0.description.contains("x32") })
    }
}

@Suite("listings") struct ListingTests {
    @Test("the table says what each call gets, and the program what it does")
    func table() throws {
        let it = try filter(
            [rule("read mseal"), rule("ioctl", "ALLOW", arg(1, "EQ", 0x5401)), rule("mount", "KILL_PROCESS")].joined(
                separator: ","))
        let rows = FilterListing(it, on: .x86_64).table()
        func of(_ name: String) -> [FilterListing.Row] { rows.filter { $0.call == name } }
        #expect(of("read").map(\.answer) == ["allowed"] && of("read")[0].number == 0)
        #expect(of("ioctl").map(\.answer) == ["allowed", "EPERM"])
        #expect(of("ioctl")[0].arguments == ["argument 1 = TCGETS"])
        #expect(of("mount").map(\.answer) == ["kill process"] && of("mseal")[0].number == 462)
        #expect(of("every other call").map(\.answer) == ["EPERM"])
        #expect(of("every call").map(\.architecture) == [.x86, .x32])
        let text = FilterListing(it, on: .x86_64).assembly()
        #expect(text.contains("jeq  #0xc000003e") && text.contains("; x86_64") && text.contains("; kill process"))
        #expect(text.split(separator: "\n").count == it.instructions.count)
        #expect(text.contains("; argument 1, lower half"))
    }
}
