import Documents
import Foundation
import OCISpec
import Seccomp
import Testing

@testable import Workshop

let podmans = "/usr/share/containers/seccomp.json"

@Suite("formats") struct FormatTests {
    static let docker = """
        {
          "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "defaultErrno": "EPERM",
          "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }],
          "syscalls": [
            { "names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}, "args": null },
            { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
            { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN", "CAP_BPF"] } },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_SYS_ADMIN"], "arches": ["s390"] },
              "args": [{ "index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ" }] },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
            { "name": "modify_ldt", "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64", "x32"] } },
            { "names": ["arm_fadvise64_64"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm64"] } }
          ]
        }
        """

    func read(_ text: String, _ circumstances: ProfileFile.Circumstances) throws -> ProfileFile {
        try ProfileFile(reading: [UInt8](text.utf8), file: "docker.json", for: circumstances)
    }

    @Test("Docker's conditions: capabilities, kernel, architecture")
    func conditions() throws {
        func names(_ capabilities: Set<String>, _ kernel: (Int, Int), _ machine: Architecture) throws -> [String] {
            let file = try read(Self.docker, .init(capabilities: capabilities, kernel: kernel, machine: machine))
            #expect(file.isDockers)
            return file.profile.syscalls.map { $0.names[0] + ($0.args.isEmpty ? "" : "*") }
        }
        #expect(try names([], (6, 1), .x86_64) == ["read", "ptrace", "clone*", "modify_ldt"])
        #expect(try names([], (4, 7), .x86_64) == ["read", "clone*", "modify_ldt"])
        #expect(try names(["CAP_SYS_ADMIN"], (4, 8), .aarch64) == ["read", "ptrace", "clone", "arm_fadvise64_64"])
        #expect(try names(["CAP_SYS_ADMIN", "CAP_BPF"], (6, 0), .x86_64).contains("bpf"))
        let file = try read(Self.docker, .init(machine: .x86_64))
        #expect(file.profile.architectures == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
        #expect(file.document["syscalls"]?.elements?.first?.mark?.line == 5)
    }

    @Test("a condition that Docker does not know is an error with its place")
    func badCondition() {
        let bad = Self.docker.replacingOccurrences(of: "\"minKernel\": \"4.8\"", with: "\"minKernel\": \"four\"")
        do throws(Problems) {
            _ = try ProfileFile(reading: [UInt8](bad.utf8), file: "d.json")
            Issue.record("expected an error")
        } catch {
            #expect(
                error.description
                    == "d.json:6:70: syscalls[1].includes.minKernel: expected a kernel such as 4.8, found \"four\"")
        }
    }

    @Test(
        "a member of the wrong kind, which would make a rule hold that should not, or none at all, is an error",
        arguments: [
            ("{ \"minKernel\": \"4.8\" }", "\"4.8\"", "syscalls[1].includes: expected a mapping, found a string"),
            ("{ \"minKernel\": \"4.8\" }", "[]", "syscalls[1].includes: expected a mapping, found a list"),
            ("\"4.8\"", "\"9.x.8\"", "syscalls[1].includes.minKernel: expected a kernel such as 4.8, found \"9.x.8\""),
            (
                "[\"CAP_SYS_ADMIN\", \"CAP_BPF\"]", "\"CAP_BPF\"",
                "syscalls[2].includes.caps: expected a list, found a string"
            ),
            ("[\"CAP_SYS_ADMIN\"], \"arches\"", "[7], \"arches\"", "syscalls[3].excludes.caps: expected strings alone"),
            (
                "[\"CAP_SYS_ADMIN\"], \"arches\"", "[\"CAP_SYS_ADMN\"], \"arches\"",
                "syscalls[3].excludes.caps: expected the name of a capability, found CAP_SYS_ADMN; did you mean CAP_SYS_ADMIN?"
            ),
            (
                "[\"SCMP_ARCH_X86\", \"SCMP_ARCH_X32\"]", "1",
                "archMap[0].subArchitectures: expected a list, found a whole number"
            ),
            (
                "\"subArchitectures\"", "\"subArchitecture\"",
                "archMap[0].subArchitecture: expected one of architecture, subArchitectures"
            ),
            (
                "\"architecture\": \"SCMP_ARCH_X86_64\", ", "",
                "archMap[0].architecture: expected an architecture, found none"
            ),
            ("\"archMap\": [", "\"archMap\": 1, \"x\": [", "archMap: expected a list, found a whole number"),
            ("[\"s390\"]", "{}", "syscalls[3].excludes.arches: expected a list, found a mapping"),
            ("\"name\":", "\"names\": [\"bpf\"], \"name\":", "syscalls[5].name: expected name or names, not both"),
            (
                "\"name\":", "\"errno\": \"ENOSYS\", \"name\":",
                "syscalls[5].errno: expected errnoRet beside it, which is what counts"
            ),
            ("\"defaultErrnoRet\": 1, ", "", "defaultErrno: expected defaultErrnoRet beside it, which is what counts"),
            ("\"syscalls\": [", "\"syscalls\": 1, \"x\": [", "syscalls: expected a list, found a whole number"),
        ])
    func badMember(_ old: String, _ new: String, _ message: String) throws {
        let text = Self.docker.replacingOccurrences(of: old, with: new)
        try #require(text != Self.docker)
        let problems = #expect(throws: Problems.self) { try read(text, .init()) }
        #expect(problems?.list.map { "\($0.field): \($0.message)" } == [message] && problems?.list[0].mark != nil)
    }

    @Test("podman's own default profile", .enabled(if: FileManager.default.fileExists(atPath: podmans)))
    func podman() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: podmans)))
        let plain = try ProfileFile(
            reading: bytes, file: podmans, for: .init(capabilities: ProfileFile.Circumstances.dockerCapabilities))
        let filter = try FilterInterpreter(try plain.program(for: .x86_64))
        func answer(_ name: String, _ arguments: UInt64...) -> String {
            let number = CallTable.number(of: name, on: .x86_64)!
            return actionName(filter.run(FilteredCall(number: number, on: .x86_64, arguments: arguments)).action)
        }
        #expect(answer("read") == "allowed" && answer("clone", 0x11) == "allowed" && answer("bpf") == "EPERM")
        #expect(answer("personality", 8) == "allowed" && answer("personality", 9) == "ENOSYS")
        #expect(answer("kexec_load") == "EPERM" && answer("io_pgetevents") == "EPERM")
        let all = try ProfileFile(reading: bytes, file: podmans, for: .init(capabilities: ["CAP_SYS_ADMIN"]))
        #expect(all.profile.syscalls.contains { $0.action == .allow && $0.names.contains("bpf") })
    }
    @Test("the filter of a bundle's config.json")
    func bundle() throws {
        let text = """
            { "ociVersion": "1.0.2", "linux": { "seccomp": { "defaultAction": "SCMP_ACT_KILL",
              "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }] } } }
            """
        #expect(try read(text, .init()).profile.syscalls.map(\.names) == [["read"]])
        for bare in [#"{ "ociVersion": "1.0.2", "linux": {} }"#, #"{"ociVersion":"1.0.2","linux":{"seccomp":null}}"#] {
            let problems = #expect(throws: Problems.self) { try read(bare, .init()) }
            #expect(problems?.list.map(\.field) == ["linux.seccomp"], "\(String(describing: problems))")
        }
    }

    @Test("strace's log: processes, times, resumed calls, values by number and by name")
    func strace() throws {
        let log = """
            12345 14:02:11.123456 execve("/usr/bin/git", ["git", "a,b(c"], 0x7ffc /* 20 vars */) = 0
            [pid 77] socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3
            [pid 77] socket(0x2, 0x80001, 0x6) = 4
            ioctl(0, TCGETS, {c_iflag=ICRNL|IXON, c_oflag=NL0}) = 0
            77 fcntl(3, F_SOMETHING, 1) = -1 EINVAL (Invalid argument)
            77 read(3,  <unfinished ...>
            78 futex(0x7f, FUTEX_WAIT_PRIVATE, 0, NULL) = ?
            77 <... read resumed>"a, b) \\" c", 20) = 12
            clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 99
            --- SIGCHLD {si_signo=SIGCHLD} ---
            +++ exited with 0 +++
            """
        let made = try Recording(strace: [UInt8](log.utf8), file: "s.log", environment: here)
        #expect(made.calls.map(\.name) == ["clone", "execve", "fcntl", "futex", "ioctl", "read", "socket"])
        #expect(made.executables.map(\.path) == ["/usr/bin/git"] && made.source == .strace)
        let socket = try #require(made.calls.last)
        #expect(socket.arguments.map { $0.scalars.map(\.value) } == [[2, 1, 0], [2, 1, 6]])
        #expect(made.calls[4].arguments.map { $0.scalars[0].value } == [0x5401])
        #expect(made.calls[2].unlisted == 1 && made.calls[0].arguments[0].scalars[0].value == 0)
        #expect(try Recording(reading: [UInt8](made.text.utf8), file: "again") == made)
    }

    @Test("a log that is none is told line by line")
    func badLog() {
        do throws(Problems) {
            _ = try Recording(
                strace: [UInt8]("close(3) = 0\nhello\nraed(1) = 2\n".utf8), file: "s.log", environment: here)
            Issue.record("expected errors")
        } catch {
            #expect(
                error.list.map(\.description) == [
                    "s.log:2:1: expected a line of strace, such as close(3) = 0",
                    "s.log:3:1: expected the name of a system call, found raed; did you mean read?",
                ])
        }
    }

    @Test("a log of the real strace", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/strace")))
    func realLog() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("carrel-\(UUID()).strace")
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/strace")
        process.arguments = ["-f", "-X", "raw", "-o", file.path, "sh", "-c", "ls /proc/self | head -2; true"]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "strace cannot trace here")
        let made = try Recording(strace: [UInt8](try Data(contentsOf: file)), file: "s", environment: here)
        for name in ["execve", "openat", "getdents64", "exit_group"] {
            #expect(made.calls.contains { $0.name == name }, "\(name)")
        }
        #expect(made.calls.allSatisfy { $0.unlisted == 0 }, "\(made.calls.filter { $0.unlisted > 0 }.map(\.name))")
    }
}
