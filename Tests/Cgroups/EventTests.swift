import Foundation
import Glibc
import OCISpec
import Syscalls
import SystemPackage
import Testing

@testable import Cgroups

/// What the kernel tells without being asked, and what it does when it is asked.
@Suite(.serialized, .enabled(if: canLimit, needsLimits)) struct EventTests {
    /// Whether `descriptor` is ready within ten seconds.
    private func isTold(_ descriptor: FileDescriptor) throws -> Bool {
        try poll([(descriptor, .priority)], timeout: 10_000)[0].contains(.priority)
    }

    @Test func aRefusedForkIsTold() throws {
        try withCgroup("refused", CgroupLimits(pidsMax: 4)) { cgroup in
            guard host.mode == .unified else {
                #expect { try cgroup.watchRefusedForks() } throws: { control($0) == "pids.events" }
                return
            }
            let events = try cgroup.watchRefusedForks()
            defer { close(events) }
            #expect(try poll([(events, .priority)], timeout: 0) == [[]])
            let child = try Child(
                cgroup,
                python: """
                    import os, signal
                    for i in range(8):
                        try:
                            if os.fork() == 0: signal.pause()
                        except OSError: pass
                    signal.pause()
                    """)
            #expect(try isTold(events))
            #expect(eventually { cgroup.usage().pidsLimitHits ?? 0 > 0 })
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
        }
    }

    @Test(.enabled(if: host.mode == .unified, "memory.high is cgroup v2's"))
    func whoGoesBeyondTheHighMarkIsSlowedDown() throws {
        var limits = CgroupLimits(memoryMax: 128 << 20)
        limits.memoryHigh = 32 << 20
        limits.memoryLow = 8 << 20
        limits.memoryMin = 4 << 20
        try withCgroup("high", limits) { cgroup in
            let child = try Child(cgroup, python: "x = bytearray(32 << 20)\nprint('done')")
            #expect(try child.wait() == .exited(0))
            let usage = cgroup.usage()
            #expect(usage.memoryHighHits ?? 0 > 0 && usage.oomKills == 0)
            #expect(cgroup.ownEvents()?.high ?? 0 > 0 && !cgroup.ranIntoItsOwnLimit())
            for (file, bytes) in [("min", 4), ("low", 8), ("high", 32), ("max", 128)] {
                #expect(number("\(cgroup.directory)/memory.\(file)") == UInt64(bytes) << 20)
            }
        }
    }

    @Test(.enabled(if: host.controllers().contains("cpuset"), "needs the cpuset controller"))
    func aProcessRunsWhereItsProcessorsAre() throws {
        var limits = CgroupLimits()
        limits.cpus = "0"
        limits.mems = "0"
        try withCgroup("cpuset", limits) { cgroup in
            let (output, input) = try makePipe()
            defer { for end in [output, input] { close(end) } }
            let child = try Child(cgroup, ["/usr/bin/grep", "Cpus_allowed_list", "/proc/self/status"], output: input)
            #expect(try child.wait() == .exited(0))
            #expect(try String(decoding: readSome(output), as: UTF8.self).hasSuffix("\t0\n"))
            var none = CgroupLimits()
            none.cpus = "99999"
            #expect { try cgroup.update(none) } throws: { "\($0)".contains("99999 to") }
        }
    }

    @Test(.enabled(if: canLimitIO && canLoop, "needs loop devices and the io controller"))
    func aDiskIsReadNoFasterThanAllowed() throws {
        let (device, minor) = try #require(try makeLoop(), "no loop device can be had")
        defer { _ = try? run(["/sbin/losetup", "-d", device]) }
        var limits = CgroupLimits(memoryMax: 256 << 20)
        limits.io.readBytes = [LinuxThrottleDevice(major: 7, minor: minor, rate: 2 << 20)]
        try withCgroup("io", limits) { cgroup in
            let start = monotonicNanoseconds()
            let child = try Child(
                cgroup,
                ["/bin/dd", "if=\(device)", "of=/dev/null", "bs=256k", "count=16", "iflag=direct", "status=none"])
            #expect(try child.wait() == .exited(0))
            let seconds = Double(monotonicNanoseconds() - start) / 1e9
            #expect(seconds > 1.2, "4 MiB in \(seconds) s, at 2 MiB a second")
        }
    }

    /// Whether there are such pages at all is another matter: a refusal by the limit is counted, one for want of them is not.
    @Test(.enabled(if: host.controllers().contains("hugetlb"), "needs the hugetlb controller"))
    func hugePagesBeyondTheLimitAreRefused() throws {
        var limits = CgroupLimits()
        limits.hugePages = ["2MB": 0]
        try withCgroup("huge", limits) { cgroup in
            let directory = try #require(cgroup.directoryOf("hugetlb"))
            func refused() throws -> UInt64 {
                let map = "mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)"
                _ = try Child(cgroup, python: "import mmap\n\(map)").wait()
                if let count = number("\(directory)/hugetlb.2MB.failcnt") { return count }
                return try withContents("\(directory)/hugetlb.2MB.events") { value("max", in: $0) } ?? 0
            }
            let first = try refused()
            #expect(first > 0)
            var more = CgroupLimits()
            more.hugePages = ["2MB": 64 << 20]
            try cgroup.update(more)
            #expect(try refused() == first)
        }
        // The top of a tree that is not ours is left as it was.
        if host.mode == .hybrid {
            for level in ["carrel/", ""] { try? write("-hugetlb", "\(host.tree)/\(level)cgroup.subtree_control") }
        }
    }

    /// In a cgroup namespace, as in a container: the top of the tree is the container's own, with its processes in it.
    @Test(.enabled(if: host.mode == .unified && isRoot, "needs root and a unified cgroup v2 tree"))
    func inAContainerThePlaceIsTheContainersOwn() throws {
        for (isBelow, expected) in [(false, "refused"), (true, "made")] {
            let path = try CgroupPath("\(tenant("outer"))/container")
            let outer = try Cgroup.create(host, path, CgroupLimits(memoryMax: 512 << 20, pidsMax: 300, cpuMax: 1))
            defer {
                try? outer.kill()
                try? outer.remove()
            }
            let below = isBelow ? "mkdir /sys/fs/cgroup/main && echo $$ > /sys/fs/cgroup/main/cgroup.procs && " : ""
            let (status, output) = try rerun(
                "EventTests/roleInAContainer", role: "container",
                shell: "echo $$ > \(outer.directory)/cgroup.procs && exec unshare -C -m sh -c '"
                    + "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && \(below) exec \"$@\"' sh \"$@\""
            )
            #expect(status == 0 && output.contains("the container: \(expected)"), "\(output)")
        }
    }

    @Test(.enabled(if: role == "container", "is run by the test before")) func roleInAContainer() throws {
        do throws(CgroupError) {
            let cgroup = try Cgroup.create(host, CgroupPath("carrel/t/s"), CgroupLimits(memoryMax: 64 << 20))
            #expect(cgroup.usage().memoryMax == 64 << 20 && exists("/sys/fs/cgroup/carrel/t/s"))
            try cgroup.remove()
            print("the container: made")
        } catch .noPlace(let reason, let fix) {
            #expect(reason.contains("processes are directly in /sys/fs/cgroup") && fix.contains("mkdir"))
            print("the container: refused")
        }
    }
}

/// Runs a command, and gives its output.
private func run(_ command: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return output.trimmingCharacters(in: .whitespacesAndNewlines)
}

private let canLimitIO =
    !Set(["io", "blkio"]).isDisjoint(with: host.controllers())

private let canLoop = isRoot && exists("/sbin/losetup") && exists("/dev/loop-control")

/// A loop device of 8 MiB, and its minor number.
private func makeLoop() throws -> (device: String, minor: Int64)? {
    let file = "/dev/shm/carrel-loop-\(getpid())"
    guard FileManager.default.createFile(atPath: file, contents: Data(count: 8 << 20)) else { return nil }
    defer { unlink(file) }
    let device = try run(["/sbin/losetup", "-f", "--show", file])
    guard device.hasPrefix("/dev/loop"), let minor = Int64(device.dropFirst("/dev/loop".count)) else { return nil }
    return (device, minor)
}
