import Documents
import Foundation
import Testing

@testable import Records

/// A directory of its own for a test, gone with it.
final class Scratch: Sendable {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "carrel-records-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

/// The lines of a file, which must end in a newline.
func linesOf(_ path: String) throws -> [String] {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    #expect(text.isEmpty || text.hasSuffix("\n"))
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
}

func write(_ lines: [String], to path: String) throws {
    try lines.map { $0 + "\n" }.joined().write(toFile: path, atomically: false, encoding: .utf8)
}

/// Does as a writer does that is killed in the middle of a line: takes the lock, writes a part, dies. Never returns.
func writePartAndDie(_ text: String, to path: String) {
    let file = open(path, O_RDWR | O_APPEND | O_CREAT, 0o600)
    flock(file, LOCK_EX)
    write(file, text, text.utf8.count)
    kill(getpid(), SIGKILL)
}

/// Has this process killed after so many microseconds, wherever it then is.
func dieAfter(microseconds: UInt32) {
    Thread.detachNewThread {
        usleep(microseconds)
        kill(getpid(), SIGKILL)
    }
}

/// A report with something in every field.
func sampleReport(session: String = "s-1") -> Report {
    let limits = Report.Limits(
        memoryBytes: 2 << 30, swapBytes: 0, pids: 512, cpus: 1.5, openFiles: 1024,
        tmpfs: [.init(path: "/tmp", sizeBytes: 64 << 20)], wallClockNanoseconds: 1_800_000_000_000,
        idleNanoseconds: 60_000_000_000, graceNanoseconds: 10_000_000_000)
    return Report(
        session: session, tenant: "acme",
        host: .init(name: "vm", bootID: "2d7f5c0e-0000-4000-8000-000000000000"), carrel: "0.1.0",
        profile: .init(name: "claude-code", sha256: sha256([])), image: "host",
        command: ["claude", "-p", "fix the test"], started: Timestamp(seconds: 1_795_292_343, nanoseconds: 1500),
        ended: Timestamp(seconds: 1_795_292_400),
        exit: .init(
            how: .killed, status: 143, signal: 15, why: "ended by uid 0 (carrel)",
            by: .init(uid: 0, pid: 42, comm: "carrel")),
        limitsAsked: limits, limitsInForce: limits, cgroups: "hybrid",
        absent: [.init(name: "landlock", reason: "the kernel has none")],
        usage: .init(
            memoryPeakBytes: 123_456_789, memoryClipped: true, oomKills: 1, cpuNanoseconds: 3_000_000_000,
            cpuUserNanoseconds: 2_000_000_000, cpuSystemNanoseconds: 1_000_000_000, pidsPeak: 17, pidsLimitHits: 2),
        pressure: .init(
            cpu: .init(someMicroseconds: 10, fullMicroseconds: 0),
            memory: .init(someMicroseconds: 5, fullMicroseconds: 4)),
        launch: [.init("cgroup", microseconds: 150), .init("clone", microseconds: 900)], notes: ["a note"])
}

/// Mounts something at `path` that this thread alone can see; needs root.
func mountPrivately(_ source: String, at path: String, _ options: String?, _ flags: Int) throws {
    // The Glibc module has no unshare(2).
    let unshare = unsafeBitCast(dlsym(nil, "unshare"), to: (@convention(c) (Int32) -> Int32).self)
    try #require(unshare(0x2_0000) == 0)  // CLONE_NEWNS
    try #require(mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0)
    try #require(mount(source, path, "tmpfs", UInt(flags), options) == 0)
}

/// Lets this process write no file longer than this: `EFBIG`, as `ENOSPC` does, comes in the middle of a write.
func limitFileSize(_ size: UInt) {
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: size, rlim_max: .max)
    setrlimit(__rlimit_resource_t(1), &limit)  // RLIMIT_FSIZE
}
