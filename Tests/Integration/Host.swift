import Documents
import Foundation
import Glibc

/// What the tests know of the machine and of the carrel that they drive.
enum Host {
    /// `CARREL_BIN`, or the repository's own `bin/carrel`.
    static let carrel = ProcessInfo.processInfo.environment["CARREL_BIN"] ?? repository + "/bin/carrel"
    /// The repository, found from this file's place in it.
    static let repository = String(#filePath.dropLast("/Tests/Integration/Host.swift".count))
    static let fixtures = repository + "/Tests/Integration/Fixtures"
    /// The distribution's own: a session sees the host's /usr and nothing of /usr/local that is a link elsewhere.
    static let python = "/usr/bin/python3"

    static let isRoot = geteuid() == 0
    /// An ordinary user for tests that root runs: an id that nobody has.
    static let ordinaryID: UInt32 = 12_345

    /// A kernel of our own (Tests/VM), where what bounds all sessions of the host can be tried out.
    static let isOwnKernel = ProcessInfo.processInfo.environment["CARREL_IN_VM"] != nil

    static let isX86: Bool = {
        #if arch(x86_64)
            true
        #else
            false
        #endif
    }()

    /// The kernel's Landlock ABI, 0 where it has none (landlock_create_ruleset(2), `LANDLOCK_CREATE_RULESET_VERSION`).
    static let landlock =
        Int(
            outside([
                "/usr/bin/python3", "-c", "import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))",
            ])
            .output) ?? 0

    /// What a process holds of memory, kB; 0 for one that is gone.
    static func residentKilobytes(_ pid: Int32) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }

    /// Whether a program is on this machine, for tests that show it at work in a session.
    static func has(_ program: String) -> Bool { access("/usr/bin/" + program, X_OK) == 0 }

    /// Runs a command without carrel: the other half of many tests is that the same thing works outside.
    @discardableResult
    static func outside(_ command: [String], stdin: String = "", timeout: Double = 180) -> Outcome {
        Command(command, stdin: stdin).finish(within: timeout)
    }

    /// Runs a shell script without carrel.
    @discardableResult
    static func outside(_ script: String, timeout: Double = 180) -> Outcome {
        outside(["/bin/sh", "-c", script], timeout: timeout)
    }

    /// The text of a file of `Fixtures/`.
    static func fixture(_ name: String) -> String {
        (try? String(contentsOfFile: fixtures + "/" + name, encoding: .utf8)) ?? ""
    }

    /// Cgroup directories of carrel with processes or sessions below `carrel/TENANT`, in every hierarchy.
    static func cgroups(of tenant: String) -> [String] {
        let mounts = outside("awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts").lines
        return mounts.flatMap { outside("find '\($0)'/carrel/'\(tenant)' -mindepth 1 -type d 2>/dev/null").lines }
    }

    /// Processes of this machine whose command line contains `text`.
    static func processes(with text: String) -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap(Int32.init).filter { pid in
            guard pid != getpid(), let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else {
                return false
            }
            return String(decoding: line, as: UTF8.self).contains(text)
        }
    }
}

/// What a command left behind.
struct Outcome: CustomStringConvertible {
    /// Its exit status, 128+n where signal n ended it.
    let status: Int32
    /// Its standard output, without newlines at the end.
    let output: String
    /// Its standard error, without newlines at the end.
    let errors: String
    /// How long it took.
    let seconds: Double

    var lines: [String] { output.split(separator: "\n").map(String.init) }
    var description: String { "status \(status) after \(seconds) s\nout: \(output)\nerr: \(errors)" }
}

/// A command that was started.
final class Command {
    let pid: pid_t
    private let directory: String
    private let start = DispatchTime.now()
    private var outcome: Outcome?

    /// Starts a command with files for its standard streams, and no other descriptor of ours.
    init(_ command: [String], stdin: String = "", environment: [String: String]? = nil, directory: String? = nil) {
        var template = Array("/tmp/carrel-io.XXXXXX".utf8CString)
        self.directory = String(cString: mkdtemp(&template))
        try? stdin.write(toFile: self.directory + "/in", atomically: false, encoding: .utf8)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 0, self.directory + "/in", O_RDONLY, 0)
        for (descriptor, name) in [(Int32(1), "out"), (2, "err")] {
            posix_spawn_file_actions_addopen(
                &actions, descriptor, self.directory + "/" + name, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        }
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        // The test runner may have signals blocked or ignored that the command is to be ended by.
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let command = directory.map { ["/usr/bin/env", "-C", $0] + command } ?? command
        let arguments = command.map { strdup($0) } + [nil]
        let variables = (environment ?? ProcessInfo.processInfo.environment).map { strdup("\($0)=\($1)") } + [nil]
        var started: pid_t = 0
        let error = posix_spawnp(&started, command[0], &actions, &attributes, arguments, variables)
        pid = error == 0 ? started : -1
        if error != 0 { outcome = Outcome(status: 127, output: "", errors: "\(command[0]): \(error)", seconds: 0) }
        for text in arguments + variables { free(text) }
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
    }

    deinit {
        if outcome == nil { _ = finish(within: 0) }
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// What it has written to standard output so far.
    var output: String { text("out") }
    var errors: String { text("err") }

    private func text(_ name: String) -> String {
        let bytes = FileManager.default.contents(atPath: directory + "/" + name) ?? Data()
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    func signal(_ number: Int32) { _ = kill(pid, number) }

    var isRunning: Bool {
        var info = siginfo_t()
        return outcome == nil && waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0
            && info._sifields._sigchld.si_pid == 0
    }

    /// Waits for its end; one that does not come in time is brought about with SIGKILL, and its status is then 137.
    func finish(within timeout: Double = 180) -> Outcome {
        if let outcome { return outcome }
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 {
            if seconds > timeout { kill(pid, SIGKILL) }
            usleep(1000)
        }
        let ended = Outcome(
            status: status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f), output: output, errors: errors,
            seconds: seconds)
        outcome = ended
        return ended
    }

    private var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9 }
}

/// Waits until `condition` holds, looking a hundred times a second.
///
/// - Returns: whether it did in time.
func eventually(within seconds: Double = 30, _ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<Int(seconds * 100) {
        if try condition() { return true }
        usleep(10_000)
    }
    return try condition()
}
