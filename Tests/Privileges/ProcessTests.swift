import CSyscalls
import Glibc
import OCISpec
import Syscalls
import SystemPackage
import Testing

@testable import Privileges

@Suite struct ResourceLimitsTests {
    @Test func everyResourceGetsItsOwnLimit() async {
        await #expect(processExitsWith: .success) {
            let rows = [
                ("RLIMIT_CPU", "Max cpu time"), ("RLIMIT_FSIZE", "Max file size"), ("RLIMIT_DATA", "Max data size"),
                ("RLIMIT_STACK", "Max stack size"), ("RLIMIT_CORE", "Max core file size"),
                ("RLIMIT_RSS", "Max resident set"), ("RLIMIT_NPROC", "Max processes"),
                ("RLIMIT_NOFILE", "Max open files"), ("RLIMIT_MEMLOCK", "Max locked memory"),
                ("RLIMIT_AS", "Max address space"), ("RLIMIT_LOCKS", "Max file locks"),
                ("RLIMIT_SIGPENDING", "Max pending signals"), ("RLIMIT_MSGQUEUE", "Max msgqueue size"),
                ("RLIMIT_NICE", "Max nice priority"), ("RLIMIT_RTPRIO", "Max realtime priority"),
                ("RLIMIT_RTTIME", "Max realtime timeout"),
            ]
            for (type, row) in rows {
                let before = try limits(of: "self")[row]
                // Lower than what is, so that no privilege is needed; large enough to go on with.
                let hard = before?.last == "unlimited" ? UInt64(1) << 40 : UInt64(before?.last ?? "") ?? 0
                let set = try ResourceLimits([POSIXRlimit(type: type, hard: hard, soft: min(hard, 1 << 39))])
                let outcome = try inChild {
                    try set.apply()
                    return try limits(of: "self")[row].map { $0.joined(separator: " ") } ?? "no row \(row)"
                }
                #expect(outcome.output == "\(min(hard, 1 << 39)) \(hard)", "\(type): \(outcome)")
            }
        }
    }

    @Test func theParentSetsTheLimitsOfAChild() async {
        await #expect(processExitsWith: .success) {
            let child = try cloneProcess()
            guard case .parent(let pid, _) = child else {
                pause()
                _exit(0)
            }
            defer { kill(pid, SIGKILL) }
            try ResourceLimits([POSIXRlimit(type: "RLIMIT_NOFILE", hard: 77, soft: 66)]).apply(to: pid)
            #expect(try limits(of: "\(pid)")["Max open files"] == ["66", "77"])
            #expect(try limits(of: "\(pid)")["Max core file size"] == ["1", "1"])
        }
    }

    /// Not an exit test: the process of one has no core dumps to begin with.
    @Test(.enabled(if: dumpsHere, "needs core dumps as files of the working directory, and a hard limit above 0"))
    func noCoreIsDumpedUnlessASpecificationSaysSo() throws {
        try withDirectory(mode: 0o777) { directory in
            func coresOfACrash(_ rlimits: [POSIXRlimit]) throws -> Int {
                let shell = CStringVector(["/bin/sh", "-c", "cd \(directory) && read go && kill -ABRT $$"])
                let input = try makePipe()
                var actions = posix_spawn_file_actions_t()
                posix_spawn_file_actions_init(&actions)
                posix_spawn_file_actions_adddup2(&actions, input.reading.rawValue, 0)
                var attributes = posix_spawnattr_t()
                posix_spawnattr_init(&attributes)
                var none = signalSet([])  // the test library blocks signals
                posix_spawnattr_setsigmask(&attributes, &none)
                posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
                var pid: pid_t = 0
                try #require(posix_spawn(&pid, "/bin/sh", &actions, &attributes, shell.pointer, nil) == 0)
                try ResourceLimits(rlimits).apply(to: pid)
                try writeAll("go\n".utf8, to: input.writing)
                #expect(try wait(for: pid) == .signaled(SIGABRT))
                return try list(directory).count
            }
            let byDefault = try coresOfACrash([])
            #expect(byDefault == 0)
            let asked = try coresOfACrash([POSIXRlimit(type: "RLIMIT_CORE", hard: 1 << 30, soft: 1 << 30)])
            #expect(asked == 1)
        }
    }

    @Test(.enabled(if: isRoot, "needs root to become another user"))
    func aHardLimitOfZeroCoresStays() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild {
                try setResourceLimit(Int32(RLIMIT_CORE.rawValue), soft: 0, hard: 0, named: "RLIMIT_CORE")
                try Identity(User(uid: 1234, gid: 1234), map: nil).assume()
                try ResourceLimits([]).apply()
                return try limits(of: "self")["Max core file size"]?.joined(separator: " ") ?? ""
            }
            #expect(outcome.output == "0 0", "\(outcome)")
        }
    }

    @Test func badLimitsAreErrors() {
        func refused(_ reason: String, _ rlimits: POSIXRlimit...) {
            #expect(throws: ControlError("process.rlimits", reason)) { try ResourceLimits(rlimits) }
        }
        refused("RLIMIT_FOO is no resource of setrlimit(2)", POSIXRlimit(type: "RLIMIT_FOO", hard: 1, soft: 1))
        refused("NOFILE is no resource of setrlimit(2)", POSIXRlimit(type: "NOFILE", hard: 1, soft: 1))
        refused(
            "RLIMIT_CPU is given twice", POSIXRlimit(type: "RLIMIT_CPU", hard: 1, soft: 1),
            POSIXRlimit(type: "RLIMIT_CPU", hard: 2, soft: 1))
        refused(
            "RLIMIT_CPU: the soft limit 2 is above the hard one, 1", POSIXRlimit(type: "RLIMIT_CPU", hard: 1, soft: 2))
    }

    @Test(.enabled(if: isRoot, "needs root to become another user"))
    func aHardLimitIsNotRaisedWithoutTheRightTo() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild {
                try ResourceLimits([POSIXRlimit(type: "RLIMIT_NOFILE", hard: 50, soft: 50)]).apply()
                try Identity(User(uid: 1234, gid: 1234), map: nil).assume()
                try ResourceLimits([POSIXRlimit(type: "RLIMIT_NOFILE", hard: 51, soft: 50)]).apply()
                return "raised"
            }
            #expect(outcome.output == "prlimit RLIMIT_NOFILE: Operation not permitted (1)\n", "\(outcome)")
        }
    }
}

private let dumpsHere: Bool = {
    var limit = rlimit()
    getrlimit(4, &limit)
    return limit.rlim_max > 1 << 30 && (try? readText("/proc/sys/kernel/core_pattern"))?.hasPrefix("core") == true
}()

/// The rows of /proc/PID/limits: soft and hard.
private func limits(of process: String) throws -> [String: [String]] {
    var rows: [String: [String]] = [:]
    for line in try readText("/proc/\(process)/limits").split(separator: "\n").dropFirst() {
        let name = line.prefix(26).split(separator: " ").joined(separator: " ")
        rows[name] = line.dropFirst(26).split(separator: " ").prefix(2).map(String.init)
    }
    return rows
}

@Suite struct OOMScoreTests {
    @Test func itIsSetThroughAProcfsAlone() async {
        await #expect(processExitsWith: .success) {
            let proc = try Syscalls.open("/proc", O_PATH | O_DIRECTORY)
            let outcome = try inChild {
                try setOOMScore(321, proc: proc)
                return try readText("/proc/self/oom_score_adj")
            }
            #expect(outcome.output == "321\n", "\(outcome)")
            try withDirectory { directory in
                try makeDirectory(directory + "/self")
                try withOpen(directory + "/self/oom_score_adj", O_CREAT | O_WRONLY) { _ in }
                let fake = try Syscalls.open(directory, O_PATH | O_DIRECTORY)
                #expect(throws: SystemError("fstatfs", "/proc", errno: .init(rawValue: EMEDIUMTYPE))) {
                    try setOOMScore(1, proc: fake)
                }
            }
            #expect(throws: SystemError("write", "self/oom_score_adj", errno: .invalidArgument)) {
                try setOOMScore(1001, proc: proc)
            }
        }
    }

    /// CVE-2019-16884, CVE-2025-52881: procfs it is, but not the file that was meant.
    @Test(.enabled(if: isRoot, "needs root"))
    func aFileMountedOverItIsNotWritten() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild(namespaces: .mount) {
                try checking("mount", "/") { mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
                let target = "/proc/self/oom_score_adj"
                try checking("mount", target) { mount("/proc/self/comm", target, nil, UInt(MS_BIND), nil) }
                try setOOMScore(7, proc: try Syscalls.open("/proc", O_PATH | O_DIRECTORY))
                return "written: \(try readText("/proc/self/comm"))"
            }
            #expect(outcome.output.hasPrefix("openat2 self/oom_score_adj: Invalid cross-device link"), "\(outcome)")
        }
    }
}

@Suite struct ProcessFlagTests {
    private static func keyring() -> Int {
        carrel_syscall(Int(SYS_keyctl), Int(KEYCTL_GET_KEYRING_ID), Int(KEY_SPEC_SESSION_KEYRING), 1, 0, 0, 0)
    }

    private static func addKey(_ description: String) -> Int {
        "user".withCString { type in
            description.withCString { name in
                carrel_syscall(
                    Int(SYS_add_key), Int(bitPattern: type), Int(bitPattern: name), Int(bitPattern: name), 4,
                    Int(KEY_SPEC_SESSION_KEYRING), 0)
            }
        }
    }

    private static func findKey(_ description: String) -> Int {
        "user".withCString { type in
            description.withCString { name in
                carrel_syscall(
                    Int(SYS_keyctl), Int(KEYCTL_SEARCH), Int(KEY_SPEC_SESSION_KEYRING), Int(bitPattern: type),
                    Int(bitPattern: name), 0, 0)
            }
        }
    }

    @Test func theSessionKeyringIsNewAndEmpty() async {
        await #expect(processExitsWith: .success) {
            try joinNewSessionKeyring()
            let own = Self.keyring()
            let secret = Self.addKey("carrel-test")
            #expect(own > 0 && secret > 0)
            #expect(Self.findKey("carrel-test") == secret)
            let inherited = try inChild { "\(Self.findKey("carrel-test"))" }
            #expect(inherited.output == "\(secret)", "\(inherited)")
            let outcome = try inChild {
                try joinNewSessionKeyring()
                return "\(Self.keyring() != own) \(Self.findKey("carrel-test")) \(errno == ENOKEY)"
            }
            #expect(outcome.output == "true -1 true", "\(outcome)")
        }
    }

    @Test func anUndumpableProcessIsClosedToItsOwnUser() async {
        await #expect(processExitsWith: .success) {
            let outcome = try inChild {
                if isRoot { try Identity(User(uid: 1234, gid: 1234), map: nil).assume() }
                try setDumpable(true)
                _ = try readFile("/proc/\(getpid())/auxv")
                try setDumpable(false)
                let pid = getpid()
                let reader = try inChild { "\(try readFile("/proc/\(pid)/auxv").count) bytes" }
                return reader.output
            }
            #expect(outcome.output.contains("Permission denied"), "\(outcome)")
        }
    }

    @Test(.enabled(if: isRoot, "needs root to change ids"))
    func theChildDiesWithItsParentIfToldSoAfterItsIDsChanged() async {
        await #expect(processExitsWith: .success) {
            // What the grandchild says; the output ends when it does.
            func outlives(_ setUp: () throws -> Void) throws -> Bool {
                let ready = try makePipe()
                let outcome = try inChild {
                    guard case .child = try cloneProcess() else {
                        var byte: UInt8 = 0
                        _ = read(ready.reading.rawValue, &byte, 1)
                        return ""
                    }
                    try setUp()
                    try writeAll([1], to: ready.writing)
                    sleep(1)
                    return "alive"
                }
                return outcome.output == "alive"
            }
            let identity = try Identity(User(uid: 1234, gid: 1234), map: nil)
            let before = try outlives {
                try setParentDeathSignal(SIGKILL)
                try identity.assume()
            }
            #expect(before, "a change of ids clears the signal")
            let after = try outlives {
                try identity.assume()
                try setParentDeathSignal(SIGKILL)
            }
            #expect(!after, "the parent's end is the child's")
        }
    }
}
