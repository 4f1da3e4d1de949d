import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Cgroups

/// One cgroup and its processes, on this host as it is.
@Suite(.serialized, .enabled(if: canLimit, needsLimits)) struct CgroupTests {
    @Test func aChildIsInsideFromItsFirstInstruction() throws {
        var limits = CgroupLimits(memoryMax: 64 << 20, pidsMax: 20, cpuMax: 0.5)
        if host.controllers().contains("cpuset") { limits.cpus = "0" }
        try withCgroup("born", limits) { cgroup in
            let (output, input) = try makePipe()
            defer { for end in [output, input] { close(end) } }
            // The cgroup namespace that a process makes has its root where the process is: all paths are "/" then.
            let child = try Child(
                cgroup, ["/usr/bin/unshare", "-C", "cat", "/proc/self/cgroup"], output: input)
            #expect(try child.wait() == .exited(0))
            let lines = try String(decoding: readSome(output), as: UTF8.self).split(separator: "\n")
            for controller in cgroup.controllers + [""] where host.mode == .hybrid || controller.isEmpty {
                #expect(lines.contains { $0.hasSuffix(":\(controller):/") }, "\(controller) of \(lines)")
            }
            let usage = cgroup.usage()
            #expect(usage.memoryMax == 64 << 20)
            #expect(usage.pidsMax == 20)
            #expect(usage.pidsPeak ?? 1 == 1)
            #expect(usage.cpu ?? 0 > 0)
            #expect(try cgroup.cpuTime() == usage.cpu)
            #expect(usage.oomKills == 0 && usage.memoryLimitHits == 0 && usage.pidsLimitHits == 0)
            #expect((usage.memoryPressure != nil) == exists("/proc/pressure/memory"))
        }
    }

    @Test func aMemoryHogIsKilledAndTold() throws {
        try withCgroup("hog", CgroupLimits(memoryMax: 48 << 20, pidsMax: 20)) { cgroup in
            var watch = try cgroup.watchOutOfMemory()
            defer { watch.close() }
            #expect(try poll([(watch.descriptor, watch.readiness)], timeout: 0) == [[]])
            #expect(try !watch.happened())
            let bystander = try Child(cgroup, ["/bin/sleep", "1000"])
            let hog = try Child(cgroup, python: "x = bytearray(200 << 20)")
            var told = false
            while !told, try poll([(watch.descriptor, watch.readiness)], timeout: 10_000) != [[]] {
                told = try watch.happened()
            }
            #expect(told)
            #expect(try hog.wait() == .signaled(SIGKILL))
            if host.mode == .hybrid { try cgroup.kill() }
            // In a unified tree the kernel has ended the bystander too (memory.oom.group).
            #expect(try bystander.wait() == .signaled(SIGKILL))
            let usage = cgroup.usage()
            #expect(usage.oomKills ?? 0 > 0)
            #expect(usage.memoryIsClipped)
            if let peak = usage.memoryPeak { #expect(peak > 40 << 20 && peak <= 48 << 20) }
        }
    }

    /// A container that has its cgroup to write chooses both.
    @Test func namesAndDepthsOfAnyKindAreSeenAndRemoved() throws {
        try withCgroup("names") { cgroup in
            for place in Set(cgroup.location.values) {
                let odd: [CChar] = Array("\(place)/odd".utf8CString.dropLast()) + [CChar(bitPattern: 0xff), 0]
                #expect(mkdir(odd, 0o755) == 0)
                var below = try open(place, O_RDONLY | O_DIRECTORY)
                let name = String(repeating: "d", count: 200)
                // The whole path is longer than a system call takes.
                for _ in 0..<25 {
                    try makeDirectory(name, at: below)
                    let next = try open(name, O_RDONLY | O_DIRECTORY, at: below)
                    close(below)
                    below = next
                }
                close(below)
            }
            let script = """
                import os, time
                os.chdir(b"\(cgroup.directory)/odd\\xff")
                open("cgroup.procs", "w").write("0")
                time.sleep(1000)
                """
            let child = try Child(cgroup, python: script)
            #expect(try eventually { try read("/proc/\(child.pid)/cgroup").contains("odd") })
            #expect(try cgroup.processes() == [child.pid])
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
        }
    }

    @Test func thePeakOutlivesTheProcess() throws {
        try withCgroup("peak", CgroupLimits(memoryMax: 512 << 20)) { cgroup in
            let child = try Child(cgroup, python: "x = bytearray(100 << 20)")
            #expect(try child.wait() == .exited(0))
            let usage = cgroup.usage()
            guard let peak = usage.memoryPeak else { return }  // kernels before 5.19 have no memory.peak
            #expect(peak > 100 << 20 && peak < 200 << 20)
            #expect(usage.memory! < 50 << 20)
            #expect(!usage.memoryIsClipped)
            #expect(cgroup.usage(now: false).memory == nil && cgroup.usage(now: false).memoryPeak == peak)
        }
    }

    @Test func aForkBombIsCapped() throws {
        try withCgroup("bomb", CgroupLimits(memoryMax: 256 << 20, pidsMax: 30)) { cgroup in
            let bomb = """
                import os, time
                while True:
                    try: os.fork()
                    except OSError: time.sleep(0.01)
                """
            let child = try Child(cgroup, python: bomb)
            #expect(eventually(30) { cgroup.usage().pids == 30 && cgroup.usage().pidsLimitHits! > 0 })
            #expect(try cgroup.processes().count == 30)
            if let peak = cgroup.usage().pidsPeak { #expect(peak == 30) }
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
            #expect(try cgroup.waitUntilEmpty(timeout: 10_000))
            #expect(try cgroup.isEmpty() && cgroup.processes() == [])
        }
    }

    @Test func processorTimeIsRationed() throws {
        try withCgroup("ration", CgroupLimits(memoryMax: 256 << 20, cpuMax: 0.2)) { cgroup in
            let start = monotonicNanoseconds()
            _ = try Child(cgroup, python: "while True: pass")
            usleep(1_500_000)
            let used = Double(cgroup.usage().cpu!) / Double(monotonicNanoseconds() - start)
            #expect(used < 0.32, "used \(used) of a processor, allowed 0.2")
            var more = CgroupLimits()
            more.cpuMax = 1
            try cgroup.update(more)
            // On a busy machine it does not always get what it may have.
            var then = 0.0
            for _ in 0..<5 where then <= used * 1.3 {
                let before = cgroup.usage().cpu!
                let raised = monotonicNanoseconds()
                usleep(1_000_000)
                then = Double(cgroup.usage().cpu! - before) / Double(monotonicNanoseconds() - raised)
            }
            #expect(then > used * 1.3, "used \(then) of a processor after \(used)")
        }
    }

    @Test func aFrozenCgroupStandsStill() throws {
        try withCgroup("freeze") { cgroup in
            let child = try Child(cgroup, python: "while True: pass")
            #expect(eventually { cgroup.usage().cpu! > 10_000_000 })
            try cgroup.freeze()
            #expect(try cgroup.isFrozen())
            let before = cgroup.usage().cpu!
            usleep(200_000)
            #expect(cgroup.usage().cpu! - before < 2_000_000)
            // Nothing is begun in it, nor below.
            let below = try Cgroup.create(.detect(), CgroupPath("\(cgroup.path)/below"), CgroupLimits())
            for place in [cgroup, below] {
                #expect(throws: CgroupError.frozen(place.directory)) { try place.entry() }
            }
            try below.remove()
            try cgroup.thaw()
            #expect(eventually { cgroup.usage().cpu! - before > 20_000_000 })
            #expect(try eventually { try !cgroup.isFrozen() })
            // What is frozen can be killed, and is not left behind frozen.
            try cgroup.freeze()
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
        }
    }

    /// By `cgroup.kill`, and as on kernels before 5.14, which have none.
    @Test(arguments: [true, false]) func twoHundredForkingProcessesAllDie(_ atOnce: Bool) throws {
        try withCgroup("swarm", CgroupLimits(pidsMax: 400)) { cgroup in
            let swarm = """
                import os, signal, time
                for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)
                for i in range(200):
                    if os.fork() == 0:
                        os.setsid()
                        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
                        while True:
                            try:
                                if os.fork() == 0: time.sleep(0.2); os._exit(0)
                            except OSError: pass
                            time.sleep(0.1)
                signal.pause()
                """
            let child = try Child(cgroup, python: swarm)
            #expect(eventually(60) { cgroup.usage().pids! > 200 })
            if atOnce { try cgroup.kill() } else { try cgroup.killEach() }
            #expect(try child.wait() == .signaled(SIGKILL))
            #expect(try cgroup.waitUntilEmpty(timeout: 20_000))
        }
    }

    @Test func whatRunsInsideKeepsTheCgroupFromBeingRemoved() throws {
        try withCgroup("busy", CgroupLimits(memoryMax: 64 << 20, pidsMax: 10)) { cgroup in
            let child = try Child(cgroup, ["/bin/sleep", "1000"])
            #expect(eventually { cgroup.usage().pids == 1 })
            #expect { try cgroup.remove(timeout: 50) } throws: { "\($0)".hasPrefix("rmdir ") }
            #expect(cgroup.usage().pids == 1 && cgroup.usage().memoryMax == 64 << 20)
            #expect(try cgroup.processes() == [child.pid])
            #expect(try !cgroup.waitUntilEmpty(timeout: 20))
            try cgroup.kill()
            _ = try child.wait()
        }
    }

    @Test func cgroupsThatThePayloadMadeGoToo() throws {
        try withCgroup("nested") { cgroup in
            for name in ["a", "a/b", "c"] { try makeDirectory("\(cgroup.directory)/\(name)") }
            let child = try Child(cgroup, ["/bin/sleep", "1000"])
            try write(String(child.pid), "\(cgroup.directory)/a/b/cgroup.procs")
            #expect(try cgroup.processes() == [child.pid])
            #expect(try !cgroup.isEmpty())
            try cgroup.kill()
            #expect(try child.wait() == .signaled(SIGKILL))
        }
    }

    @Test func aRunningProcessCanBeAdded() throws {
        try withCgroup("home", CgroupLimits(memoryMax: 64 << 20, pidsMax: 10)) { cgroup in
            try withCgroup("guest") { other in
                let child = try Child(other, ["/bin/sleep", "1000"])
                #expect(eventually { (try? readText("/proc/\(child.pid)/comm")) == "sleep\n" })
                try cgroup.add(child.pid)
                #expect(try cgroup.processes() == [child.pid] && other.processes() == [])
                #expect(cgroup.usage().pids == 1)
                try cgroup.kill()
                _ = try child.wait()
            }
        }
    }

    @Test func limitsAreRaisedAndLowered() throws {
        try withCgroup("update", CgroupLimits(memoryMax: 64 << 20, pidsMax: 10)) { cgroup in
            for size: UInt64 in [256 << 20, 32 << 20, 512 << 20] {
                try cgroup.update(CgroupLimits(memoryMax: size))
                #expect(cgroup.usage().memoryMax == size)
                #expect(cgroup.usage().pidsMax == 10)
                let both =
                    host.mode == .hybrid
                    ? number("/sys/fs/cgroup/memory/\(cgroup.path)/memory.memsw.limit_in_bytes") : nil
                #expect(both ?? size == size)
            }
            // What the kernel refuses is told with the file and the value.
            #expect { try cgroup.update(CgroupLimits(pidsMax: .max - 1)) } throws: { "\($0)".contains("pids.max") }
            if host.mode == .hybrid {
                #expect { try cgroup.update(CgroupLimits(cpuMax: 1)) } throws: { control($0) == "cpu" }
            }
        }
    }

    @Test func aCgroupIsFoundAgain() throws {
        try withCgroup("again", CgroupLimits(memoryMax: 64 << 20, pidsMax: 10)) { cgroup in
            let child = try Child(cgroup, ["/bin/sleep", "1000"])
            let found = try Cgroup.open(host, cgroup.path)
            #expect(found.controllers.filter(["memory", "pids"].contains) == ["memory", "pids"])
            #expect(found.usage().memoryMax == 64 << 20 && found.usage().pidsMax == 10)
            #expect(try found.processes() == [child.pid])
            #expect(try Cgroup.names(host, in: CgroupPath(tenant("again"))) == ["s"])
            #expect(try Cgroup.names(host, in: CgroupPath("carrel")).contains("carrel-test-\(getpid())-again"))
            // Killing the tenant kills its sessions, and spares the next.
            try Cgroup.open(host, CgroupPath(tenant("again"))).kill()
            #expect(try child.wait() == .signaled(SIGKILL))
            let next = try Cgroup.create(host, CgroupPath("\(tenant("again"))/next"), CgroupLimits())
            let spared = try Child(next, ["/bin/true"])
            #expect(try spared.wait() == .exited(0))
            try next.remove()
        }
        #expect(throws: CgroupError.self) { try Cgroup.open(host, CgroupPath(tenant("again"))) }
        #expect(try Cgroup.names(host, in: CgroupPath(tenant("again"))) == [])
    }

    @Test func nobodyElsesCgroupIsTakenOver() throws {
        try withCgroup("mine", CgroupLimits(memoryMax: 64 << 20)) { cgroup in
            #expect(throws: CgroupError.exists(cgroup.path.description)) {
                try Cgroup.create(host, cgroup.path, CgroupLimits(memoryMax: 1 << 30))
            }
            #expect(cgroup.usage().memoryMax == 64 << 20)
        }
    }

    @Test(arguments: ["cgroup.procs", "cgroup.procs/s"])
    func aNameOfTheKernelsIsRefused(_ name: String) throws {
        #expect(throws: CgroupError.self) {
            try Cgroup.create(host, CgroupPath("\(tenant("k"))/x/\(name)"), CgroupLimits())
        }
        _ = try? Cgroup.open(host, CgroupPath("\(tenant("k"))/x")).remove()
        #expect(places(tenant("k")).isEmpty)
    }

    @Test func aRefusedLimitLeavesNothingBehind() throws {
        let path = try CgroupPath("\(tenant("refused"))/s")
        #expect { try Cgroup.create(host, path, CgroupLimits(memoryMax: 1 << 20, pidsMax: 5, cpuMax: 1e-6)) } throws: {
            "\($0)".contains("cpu.")
        }
        #expect(places(tenant("refused")).isEmpty)
        var limits = CgroupLimits(memoryMax: 1 << 20)
        limits.unified = ["nosuch.file": "1"]
        #expect { try Cgroup.create(host, path, limits) } throws: { control($0)?.hasPrefix("nosuch") ?? false }
        #expect(places(tenant("refused")).isEmpty)
    }

    @Test func aFullTreeLeavesNothingBehind() throws {
        let top = try Cgroup.create(host, CgroupPath("\(tenant("crowded"))/top"), CgroupLimits())
        try writeControl("1", to: "\(top.directory)/cgroup.max.descendants")
        #expect(throws: CgroupError.self) {
            try Cgroup.create(host, CgroupPath("\(top.path)/level/s"), CgroupLimits(pidsMax: 5))
        }
        #expect(places(tenant("crowded")).isEmpty)
    }

    @Test func sessionsOfOneTenantComeAndGoTogether() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    for round in 0..<40 {
                        let path = try CgroupPath("\(tenant("crowd"))/s\(worker)-\(round)")
                        let cgroup = try Cgroup.create(host, path, CgroupLimits(memoryMax: 64 << 20, pidsMax: 5))
                        #expect(cgroup.usage().memoryMax == 64 << 20 && cgroup.usage().pidsMax == 5)
                        try cgroup.remove()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(places(tenant("crowd")).isEmpty)
    }
}

/// What a pipe holds now.
func readSome(_ descriptor: FileDescriptor) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = try retrying("read") { Glibc.read(descriptor.rawValue, &bytes, bytes.count) }
    return Array(bytes[..<count])
}
