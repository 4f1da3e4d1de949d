import Documents
import Foundation
import Glibc
import OCISpec
import Syscalls
import Testing

@testable import Seccomp

/// The attack program and the shipped filter, in a directory of their own.
final class AttackBench {
    let directory: URL
    var filter: String { directory.appendingPathComponent("filter").path }
    /// The same, and ptrace(2) allowed: what `carrel seccomp allow agent-default ptrace` makes.
    var tracingFilter: String { directory.appendingPathComponent("tracing").path }
    private var program: String { directory.appendingPathComponent("attack").path }

    init() throws {
        directory = try scratch()
        let source = directory.appendingPathComponent("attack.c")
        try attackProgram.write(to: source, atomically: true, encoding: .utf8)
        let compiled = try run("/usr/bin/cc", "-O1", "-w", "-o", program, source.path)
        try #require(compiled.status == 0, "\(compiled.output)")
        try Data(try compileShipped().instructions).write(to: URL(fileURLWithPath: filter))
        var profile = try LinuxSeccomp(
            Node.parse([UInt8](try Data(contentsOf: shippedProfile)), file: "agent-default"), file: "agent-default")
        for index in profile.syscalls.indices { profile.syscalls[index].names.removeAll { $0 == "ptrace" } }
        profile.syscalls.removeAll(where: \.names.isEmpty)
        profile.syscalls.append(LinuxSyscall(names: ["ptrace"], action: .allow))
        try Data(try FilterCompiler.compile(profile).instructions).write(to: URL(fileURLWithPath: tracingFilter))
    }
    deinit { try? FileManager.default.removeItem(at: directory) }

    /// What came of each attempt.
    func attempts(filter: String, _ kind: String = "try") throws -> [String: String] {
        let lines = try run(program, filter, kind).output.split(separator: "\n")
        return Dictionary(
            lines.compactMap { line in
                let words = line.split(separator: " ")
                let tail = line.contains(" killed ") ? 2 : 1
                return (words.dropLast(tail).joined(separator: " "), words.suffix(tail).joined(separator: " "))
            }, uniquingKeysWith: { _, last in last })
    }

    func runFiltered(_ words: [String], tracing: Bool = false) throws -> Outcome {
        try run(program, [tracing ? tracingFilter : filter, "exec"] + words, in: directory)
    }
}

@Suite("behind the filter, on this kernel", .enabled(if: Architecture.native == .x86_64, "the attacks are x86_64 code"))
struct KernelTests {
    static let allowed = [
        "unix", "tcp", "tcp, junk above", "netlink route", "socketpair", "clone", "unshare files",
        "FIONBIO, junk above", "personality ask", "personality no randomize", "nested filter",
    ]
    static let unknown = ["clone3 newuser", "number 600", "number 512", "number -1", "personality svr4"]
    static let killed = ["x32 getpid", "x32 execve", "i386 getpid"]

    @Test("every attack fails as it should, and nothing else does")
    func attacks() throws {
        let bench = try AttackBench()
        let found = try bench.attempts(filter: bench.filter)
        #expect(found.count > 95)
        for (name, outcome) in found {
            let wanted =
                Self.allowed.contains(name)
                ? "0"
                : Self.unknown.contains(name)
                    ? "\(ENOSYS)" : Self.killed.contains(name) ? "killed \(SIGSYS)" : "\(EPERM)"
            #expect(outcome == wanted, "\(name)")
        }
        for name in Self.allowed + Self.unknown + Self.killed { #expect(found[name] != nil, "\(name)") }
    }

    @Test("a process that may trace gets no call through that the filter refuses")
    func tracing() throws {
        let bench = try AttackBench()
        let found = try bench.attempts(filter: bench.tracingFilter, "trace")
        #expect(
            found == [
                "traced child to unshare newuser": "\(EPERM)", "traced child to keyctl": "\(EPERM)",
                "traced child skips": "0",
            ])
        let free = try bench.attempts(filter: "none", "trace")
        #expect(free["traced child to unshare newuser"] == "0")
    }

    @Test(
        "without the filter the same attempts reach the kernel", .enabled(if: getuid() == 0, "others lack the rights"))
    func withoutFilter() throws {
        let found = try AttackBench().attempts(filter: "none")
        let reached = found.filter { $0.value != "\(EPERM)" && $0.value != "\(ENOSYS)" }
        #expect(reached.count > 60, "\(found)")
        for name in [
            "clone newuser", "clone newuser, junk above", "clone3 newuser", "unshare newuser", "nested listener",
            "personality read implies exec", "ptrace traceme",
        ] { #expect(found[name] == "0", "\(name)") }
    }

    @Test("installing from Swift, on one thread: refusals hold there and nowhere else")
    func install() async throws {
        let program = try compileShipped()
        let seen = await withCheckedContinuation { (done: CheckedContinuation<[String], Never>) in
            Thread.detachNewThread {
                var seen: [String] = []
                do throws(SystemError) {
                    try setNoNewPrivileges()
                    try program.install()
                    seen.append("installed")
                } catch { seen.append("\(error)") }
                seen.append(socket(40, 1, 0) == -1 ? "\(errno)" : "a socket")
                seen.append(chroot("/proc/none") == -1 ? "\(errno)" : "a root")
                done.resume(returning: seen)
            }
        }
        #expect(seen == ["installed", "\(EPERM)", "\(EPERM)"])
        let descriptor = socket(40, 1, 0)
        #expect(descriptor != -1 || errno != EPERM)
        if descriptor != -1 { Glibc.close(descriptor) }
    }

    @Test(
        "of flags that the kernel refuses together one is left out",
        arguments: [FilterFlags.waitKillable, [.listener, .allThreads]])
    func flagsTogether(flags: FilterFlags) async {
        let program = FilterProgram(instructions: FilterProgram.refusing([]).instructions, flags: flags)
        let outcome = await withCheckedContinuation { (done: CheckedContinuation<String, Never>) in
            Thread.detachNewThread {
                do throws(SystemError) {
                    try setNoNewPrivileges()
                    let listener = try program.install()
                    if let listener { Syscalls.close(listener) }
                    done.resume(returning: listener == nil ? "installed" : "a listener")
                } catch { done.resume(returning: "\(error)") }
            }
        }
        #expect(outcome == (flags.contains(.listener) ? "a listener" : "installed"))
    }

    @Test("flags that the kernel does not know are told, as is an empty program")
    func badInstall() throws {
        let program = try compileShipped()
        #expect(throws: SystemError.self) { try program.install(adding: FilterFlags(rawValue: 1 << 30)) }
        #expect(throws: SystemError.self) { try FilterProgram(instructions: [], flags: []).install() }
        #expect(throws: SystemError.self) { try FilterProgram(instructions: [1, 2, 3], flags: []).install() }
    }

    @Test("the kernel has the actions of the profile")
    func available() {
        for action in [0x7fff_0000, 0x0005_0000, 0x8000_0000] as [UInt32] { #expect(filterActionIsAvailable(action)) }
        #expect(!filterActionIsAvailable(0x1234_0000))
    }
}
