import Glibc
import Syscalls
import Testing

@testable import Cgroups

@Suite(.serialized) struct CgroupsTests {
    @Test func smoke() throws {
        let host = CgroupHost.detect()
        print(host.mode, try host.directory(), host.controllers())
        var limits = CgroupLimits(memoryMax: 64 << 20, pidsMax: 20, cpuMax: 0.5)
        limits.cpus = "0"
        let cgroup = try Cgroup.create(host, CgroupPath("carrel/carrel-test-\(getpid())/s"), limits)
        defer { try? cgroup.kill(); try? cgroup.remove() }
        let entry = try cgroup.entry()
        let watch = try cgroup.watchOutOfMemory()
        guard case .parent(let pid, _) = try cloneProcess(into: entry.cloneInto) else {
            try? entry.enter()
            pause()
            _exit(0)
        }
        usleep(50_000)
        print(cgroup.controllers, try cgroup.processes(), pid, cgroup.usage())
        try cgroup.freeze()
        print(try cgroup.isFrozen(), try watch.happened())
        print(try readText("/proc/\(pid)/cgroup"))
        try cgroup.kill()
        print(try Syscalls.wait(for: pid))
        try cgroup.remove()
    }
}
