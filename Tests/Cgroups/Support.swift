import Foundation
import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Cgroups

let host = CgroupHost.detect()
let isRoot = geteuid() == 0
let canLimit = isRoot && Set(["memory", "pids", "cpu"]).isSubset(of: host.controllers())
let needsLimits: Comment = "needs root and the memory, pids and cpu controllers"

/// A tenant of this test process alone; removed by `removeTenant`.
func tenant(_ name: String) -> String { "carrel/carrel-test-\(getpid())-\(name)" }

/// Makes a cgroup, hands it to `body`, and leaves nothing of it.
func withCgroup(
    _ name: String, _ limits: CgroupLimits = CgroupLimits(), _ body: (Cgroup) throws -> Void
) throws {
    let cgroup = try Cgroup.create(host, CgroupPath("\(tenant(name))/s"), limits)
    do {
        try body(cgroup)
    } catch {
        try? cgroup.kill()
        try? cgroup.remove()
        throw error
    }
    try cgroup.kill()
    try cgroup.remove()
    #expect(!exists(cgroup.directory))
    #expect(places(tenant(name)).isEmpty)
}

/// Where `path` exists, over all hierarchies.
func places(_ path: String) -> [String] {
    let mounts = host.mode == .unified ? [""] : ["/unified", "/memory", "/pids", "/cpu", "/cpuset"]
    return mounts.map { "/sys/fs/cgroup\($0)/\(path)" }.filter { exists($0) }
}

/// A process in a cgroup.
struct Child {
    let pid: pid_t

    /// Starts `command` in `cgroup`, as the launcher does: born there, or entering first of all.
    init(_ cgroup: Cgroup, _ command: [String], output: FileDescriptor? = nil) throws {
        let entry = try cgroup.entry()
        defer { entry.close() }
        let arguments = CStringVector(command)
        let environment = CStringVector(["PATH=/usr/bin:/bin"])
        defer {
            arguments.free()
            environment.free()
        }
        let program = command[0]
        switch try cloneProcess(into: entry.cloneInto) {
        case .child:
            // Other threads of the tests may hold the allocator: only calls of the kernel from here to exec.
            for file in entry.files { if Glibc.write(file.rawValue, "0", 1) != 1 { _exit(125) } }
            if let output { dup2(output.rawValue, 1) }
            _ = program.withCString { execve($0, arguments.pointer, environment.pointer) }
            _exit(126)
        case .parent(let pid, let descriptor):
            Syscalls.close(descriptor)
            self.pid = pid
        }
    }

    /// A program that is told as Python.
    init(_ cgroup: Cgroup, python: String, output: FileDescriptor? = nil) throws {
        try self.init(cgroup, ["/usr/bin/python3", "-c", python], output: output)
    }

    func wait() throws -> WaitStatus { try Syscalls.wait(for: pid) }
}

/// Whether `condition` comes true within `seconds`.
func eventually(_ seconds: Double = 10, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = monotonicNanoseconds() + UInt64(seconds * 1e9)
    while monotonicNanoseconds() < end {
        if try condition() { return true }
        usleep(2000)
    }
    return try condition()
}

/// The same test binary, running the tests of `suite` as `role` in processes that `shell` has prepared: it is the words
/// "$@". Answers the exit status and all output.
func rerun(_ suite: String, role: String, shell: String) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
        "-c", shell, "sh", try readLink("/proc/self/exe"), "--testing-library", "swift-testing", "--filter", suite,
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(["CARREL_TEST_ROLE": role]) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, output)
}

/// The role that `rerun` gave this process.
let role = ProcessInfo.processInfo.environment["CARREL_TEST_ROLE"]
