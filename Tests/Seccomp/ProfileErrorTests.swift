import Documents
import OCISpec
import Testing

@testable import Seccomp

@Suite("a wrong profile") struct ProfileErrorTests {
    /// All that is wrong with a profile of these rules, a line each.
    func problems(_ rules: String, top: String = "") -> [String] {
        let text = "{ \"defaultAction\": \"SCMP_ACT_ERRNO\",\(top)\n\"syscalls\": [\n\(rules)\n] }"
        do throws(Problems) {
            let node = try Node.parse([UInt8](text.utf8), file: "p.json")
            _ = try FilterCompiler.compile(try LinuxSeccomp(node, file: "p.json"), file: "p.json", source: node)
            return []
        } catch { return error.list.map(\.description) }
    }
    let allow = "\"action\": \"SCMP_ACT_ALLOW\""

    @Test func unknownCall() {
        #expect(
            problems("{ \"names\": [\"read\",\n   \"opne\", \"fooo_barr\"], \(allow) }") == [
                "p.json:4:4: syscalls[0].names[1]: expected the name of a system call, found opne; did you mean open?",
                "p.json:4:12: syscalls[0].names[2]: expected the name of a system call, found fooo_barr",
            ])
    }

    @Test("calls of other architectures are no mistake")
    func elsewhere() {
        #expect(problems("{ \"names\": [\"socketcall\", \"arm_fadvise64_64\", \"read\"], \(allow) }") == [])
    }

    @Test func misspeltMember() {
        #expect(
            problems("{ \"names\": [\"socket\"], \(allow), \"arg\": [] }") == [
                "p.json:3:52: syscalls[0].arg: expected one of names, action, errnoRet, args or comment; "
                    + "did you mean args?"
            ])
    }

    @Test("a file in Docker's form is one mistake, not one for each of its members")
    func dockers() {
        let message =
            "expected OCI's form of a filter, found Docker's: make one within it by carrel seccomp synthesize --base"
        let rule = "{ \"names\": [\"read\"], \(allow), \"comment\": \"\", \"includes\": {}, \"excludes\": {} }"
        #expect(problems("\(rule),\n\(rule)") == ["p.json:3:65: includes: \(message)"])
        #expect(
            problems(rule, top: "\"archMap\": [], \"defaultErrno\": \"ENOSYS\",") == [
                "p.json:1:37: archMap: \(message)"
            ])
    }

    @Test func repeated() {
        #expect(
            problems("{ \"names\": [\"read\", \"read\"], \(allow) }") == [
                "p.json:3:21: syscalls[0].names[1]: read has this action at syscalls[0].names[0] already"
            ])
        let one = "{ \"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\" }"
        #expect(
            problems(
                "{ \"names\": [\"socket\"], \(allow) },\n{ \"names\": [\"socket\"], \(allow), \"args\": [\(one)] }"
            )
            .count == 1)
    }

    @Test(
        "two actions for the same arguments are told, two for different ones are not",
        arguments: [
            ("EQ", 1, "EQ", 1, true), ("EQ", 1, "EQ", 2, false), ("EQ", 40, "NE", 40, false),
            ("EQ", 41, "NE", 40, true),
            ("LT", 5, "GE", 5, false), ("LE", 5, "GE", 5, true), ("GT", 5, "LE", 5, false), ("GT", 5, "EQ", 6, true),
            ("GT", 5, "EQ", 5, false), ("NE", 1, "NE", 2, true), ("LT", 100, "GT", 98, true),
            ("LT", 100, "GT", 99, false),
        ])
    func contradiction(a: String, x: Int, b: String, y: Int, wrong: Bool) {
        func rule(_ op: String, _ value: Int, _ action: String) -> String {
            """
            { "names": ["socket"], "action": "\(action)", "args": [
                { "index": 2, "value": 0, "op": "SCMP_CMP_EQ" },
                { "index": 0, "value": \(value), "op": "SCMP_CMP_\(op)" }] }
            """
        }
        let rules = rule(a, x, "SCMP_ACT_ALLOW") + ",\n" + rule(b, y, "SCMP_ACT_ERRNO")
        let expected =
            "syscalls[1].names[0]: socket has another action at syscalls[0].names[0], and some arguments meet both rules"
        let found = problems(rules)
        #expect(found.map { String($0.drop { $0 != " " }.dropFirst()) } == (wrong ? [expected] : []))
    }

    @Test("one argument compared twice: runtimes differ in what that means")
    func twice() {
        let test = "{ \"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_GT\" }"
        #expect(problems("{ \"names\": [\"socket\"], \(allow), \"args\": [\(test), \(test)] }").count == 1)
    }

    @Test("a value that the parameter cannot have")
    func tooWide() {
        let test = "{ \"index\": 1, \"value\": 4294967296, \"op\": \"SCMP_CMP_EQ\" }"
        #expect(
            problems("{ \"names\": [\"ioctl\"], \(allow), \"args\": [\(test)] }") == [
                "p.json:3:60: syscalls[0].args[0]: expected values of 32 bits, all that ioctl takes of this argument"
            ])
        #expect(problems("{ \"names\": [\"mmap\"], \(allow), \"args\": [\(test)] }") == [])
    }

    @Test func foreignArchitecture() {
        #expect(problems("", top: "\"architectures\": [\"SCMP_ARCH_S390X\"],").count == 1)
        #expect(problems("", top: "\"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_AARCH64\"],") == [])
    }

    @Test("everything is told at once")
    func everything() {
        let found = problems(
            """
            { "names": ["opne", "raed"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["write", "write"], "action": "SCMP_ACT_ALLOW", "comments": "" },
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000,
              "args": [{ "index": 7, "value": 1, "op": "SCMP_CMP_EQ" }] }
            """)
        #expect(found.count == 6, "\(found.joined(separator: "\n"))")
    }
}
