import OCISpec
import Testing

@testable import Cgroups

/// What limits become, without a kernel.
@Suite struct LimitsTests {
    let unified = UnifiedTree(place: CgroupHost.Place(mount: "/nowhere", base: ""))
    let hybrid = HybridTree(host: CgroupHost(mode: .hybrid, tree: "/nowhere", mounts: "/nowhere", own: "/"))

    func written(_ tree: any ControllerTree, _ limits: CgroupLimits) throws -> [String] {
        try tree.settings(limits).map { "\($0.controller) \($0.file)=\($0.value)" }
    }

    @Test func everyLimitHasItsFileOnBothKindsOfHost() throws {
        var limits = CgroupLimits(memoryMax: 1000, pidsMax: 7, cpuMax: 1.5)
        limits.memoryLow = 10
        limits.cpuWeight = 200
        limits.cpus = "0-1"
        limits.mems = "0"
        #expect(
            try written(unified, limits) == [
                "memory memory.max=1000", "memory memory.swap.max=0", "memory memory.oom.group=1",
                "memory memory.low=10", "pids pids.max=7", "cpu cpu.max=150000 100000", "cpu cpu.weight=200",
                "cpuset cpuset.cpus=0-1", "cpuset cpuset.mems=0",
            ])
        limits.swapMax = 24
        #expect(
            try written(hybrid, limits) == [
                "memory memory.limit_in_bytes=1000", "memory memory.memsw.limit_in_bytes=1024",
                "memory memory.soft_limit_in_bytes=10", "pids pids.max=7", "cpu cpu.cfs_period_us=100000",
                "cpu cpu.cfs_quota_us=150000", "cpu cpu.shares=2048", "cpuset cpuset.cpus=0-1", "cpuset cpuset.mems=0",
            ])
        #expect(try written(unified, CgroupLimits()) == [])
        #expect(try written(hybrid, CgroupLimits()) == [])
    }

    @Test func whatOneKindOfHostLacksIsRefusedByName() throws {
        var limits = CgroupLimits()
        limits.memoryHigh = 5
        #expect(try written(unified, limits) == ["memory memory.high=5"])
        #expect { try written(hybrid, limits) } throws: { control($0) == "memory.high" }
        limits = CgroupLimits()
        limits.unified = ["io.weight": "50", "hugetlb.2MB.max": "0"]
        #expect(try written(unified, limits) == ["hugetlb hugetlb.2MB.max=0", "io io.weight=50"])
        #expect { try written(hybrid, limits) } throws: { control($0) == "hugetlb.2MB.max" }
    }

    @Test(arguments: ["cgroup.procs", "cgroup.subtree_control", "../memory.max", "x/memory.max", "memory", ""])
    func aUnifiedKeyThatIsNoControllersFileIsRefused(_ file: String) throws {
        var limits = CgroupLimits()
        limits.unified = [file: "1"]
        #expect { try written(unified, limits) } throws: { control($0) == file }
    }

    @Test(arguments: [0, -1, Double.nan, Double.infinity, -Double.infinity])
    func aNumberOfProcessorsThatIsNoneIsNeverNoLimit(_ cpus: Double) throws {
        #expect(CgroupLimits(cpuMax: cpus).cpuQuota == 0)
    }

    @Test func theLimitsOfAnOCISpecification() throws {
        var resources = LinuxResources(
            memory: LinuxMemory(limit: 1000, reservation: 500, swap: 1500),
            cpu: LinuxCPU(shares: 2048, quota: 20_000, period: 10_000, cpus: "1"), pids: LinuxPids(limit: 9),
            unified: ["memory.high": "900"])
        var expected = CgroupLimits(memoryMax: 1000, pidsMax: 9)
        expected.memoryLow = 500
        expected.swapMax = 500
        expected.cpuQuota = 20_000
        expected.cpuPeriod = 10_000
        expected.cpuWeight = 200
        expected.cpus = "1"
        expected.unified = ["memory.high": "900"]
        #expect(try CgroupLimits(resources) == expected)
        #expect(expected.cpuMax == 2)
        #expect(try CgroupLimits(LinuxResources(memory: LinuxMemory(limit: 5))).swapMax == 0)
        resources = LinuxResources(
            memory: LinuxMemory(limit: -1), cpu: LinuxCPU(shares: 2, quota: -1), pids: LinuxPids(limit: -1))
        #expect(
            try CgroupLimits(resources)
                == {
                    var limits = CgroupLimits(); limits.cpuWeight = 1; return limits
                }())
    }

    @Test func whatIsNotSetIsRefusedByName() throws {
        let refused: [(String, LinuxResources)] = [
            ("memory.kernel", LinuxResources(memory: LinuxMemory(kernel: 1))),
            ("memory.kernelTCP", LinuxResources(memory: LinuxMemory(kernelTCP: 1))),
            ("memory.swappiness", LinuxResources(memory: LinuxMemory(swappiness: 0))),
            ("memory.disableOOMKiller", LinuxResources(memory: LinuxMemory(disableOOMKiller: true))),
            ("memory.checkBeforeUpdate", LinuxResources(memory: LinuxMemory(checkBeforeUpdate: true))),
            ("memory.swap", LinuxResources(memory: LinuxMemory(limit: 10, swap: 9))),
            ("memory.swap", LinuxResources(memory: LinuxMemory(swap: 9))),
            ("cpu.realtimeRuntime", LinuxResources(cpu: LinuxCPU(realtimeRuntime: 1))),
            ("cpu.burst", LinuxResources(cpu: LinuxCPU(burst: 1))),
            ("cpu.idle", LinuxResources(cpu: LinuxCPU(idle: 1))),
            ("blockIO", LinuxResources(blockIO: LinuxBlockIO(weight: 10))),
            ("rdma", LinuxResources(rdma: ["mlx": LinuxRdma()])),
        ]
        for (field, resources) in refused {
            #expect { try CgroupLimits(resources) } throws: { control($0) == "linux.resources.\(field)" }
        }
    }

    @Test(arguments: [
        "", "/", "..", "carrel/..", "carrel/../x", "carrel/./x", "carrel//x", "carrel/", ".hidden", "carrel/-x",
        "//carrel",
        "carrel/a b", "carrel/a:b", "carrel/a\nb", "carrel/\u{e4}", "carrel/a\0b", String(repeating: "a", count: 65),
        "1/2/3/4/5/6/7/8/9", "carrel/x\\y", "carrel/*",
    ])
    func aPathThatCouldLeadElsewhereIsRefused(_ path: String) throws {
        #expect { _ = try CgroupPath(path) } throws: {
            if case .invalidPath(path, _)? = $0 as? CgroupError { true } else { false }
        }
    }

    @Test func aPathOfNamesIsTaken() throws {
        #expect(try CgroupPath("/carrel/acme/s-42").description == "carrel/acme/s-42")
        #expect(try CgroupPath("carrel/a.b_c-D9/" + String(repeating: "a", count: 64)).names.count == 3)
        #expect(try CgroupPath("carrel/acme/s").parent == CgroupPath("carrel/acme"))
        #expect(try CgroupPath("carrel").parent == nil)
    }

    @Test func numbersAreReadByTheirWholeWord() {
        let events = "low 0\nhigh 12\nmax 3\noom 4\noom_kill 15\noom_group_kill 1\n"
        #expect(value("max", in: events.utf8) == 3)
        #expect(value("oom", in: events.utf8) == 4)
        #expect(value("oom_kill", in: events.utf8) == 15)
        #expect(value("oom_group_kill", in: events.utf8) == 1)
        #expect(value("oom_kil", in: events.utf8) == nil)
        #expect(value("kill", in: events.utf8) == nil)
        let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 total=5\n"
        #expect(value("total", in: pressure.utf8) == 77)
        #expect(value("total", skipping: 1, in: pressure.utf8) == 5)
        #expect(value("total", skipping: 2, in: pressure.utf8) == nil)
    }
}

/// The control that an error says is absent.
func control(_ error: any Error) -> String? {
    if case .controlAbsent(let control, _, _)? = error as? CgroupError { control } else { nil }
}
