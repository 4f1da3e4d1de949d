import OCISpec
import Testing

@testable import Cgroups

/// What limits become, without a kernel.
@Suite struct LimitsTests {
    let unified = UnifiedTree(place: CgroupHost.Place(mount: "/nowhere", base: ""))
    let hybrid = HybridTree(
        host: CgroupHost(mode: .hybrid, tree: "/nowhere", mounts: "/nowhere", own: CgroupMembership("")))

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
                "memory memory.low=10", "memory memory.max=1000", "memory memory.oom.group=1",
                "memory memory.swap.max=0", "pids pids.max=7", "cpu cpu.max=150000 100000", "cpu cpu.weight=200",
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
        let resources = LinuxResources(
            memory: LinuxMemory(limit: 1000, reservation: 500, swap: 1500),
            cpu: LinuxCPU(shares: 2048, quota: 20_000, period: 10_000, cpus: "1"), pids: LinuxPids(limit: 9),
            unified: ["memory.high": "900"])
        var expected = CgroupLimits(memoryMax: 1000, pidsMax: 9)
        expected.memoryLow = 500
        expected.swapMax = 500
        expected.oomGroup = false
        expected.cpuQuota = 20_000
        expected.cpuPeriod = 10_000
        expected.cpuShares = 2048
        expected.cpus = "1"
        expected.unified = ["memory.high": "900"]
        #expect(try CgroupLimits(resources) == expected)
        #expect(expected.cpuMax == 2)
    }

    /// What is absent stays as it is, and -1 lifts a limit: so does an update.
    @Test func whatASpecificationLeavesOutIsNotWritten() throws {
        #expect(try written(unified, CgroupLimits(LinuxResources())) == [])
        #expect(try written(hybrid, CgroupLimits(LinuxResources())) == [])
        let half = LinuxResources(memory: LinuxMemory(limit: 5), cpu: LinuxCPU(period: 20_000))
        #expect(try written(unified, CgroupLimits(half)) == ["memory memory.max=5", "cpu cpu.max=- 20000"])
        #expect(
            try written(hybrid, CgroupLimits(half)) == [
                "memory memory.limit_in_bytes=5", "cpu cpu.cfs_period_us=20000",
            ])
        let lifted = LinuxResources(
            memory: LinuxMemory(limit: -1, reservation: -1, swap: -1), cpu: LinuxCPU(shares: 2, quota: -1),
            pids: LinuxPids(limit: -1))
        #expect(
            try written(unified, CgroupLimits(lifted)) == [
                "memory memory.low=max", "memory memory.max=max", "memory memory.swap.max=max", "pids pids.max=max",
                "cpu cpu.max=max", "cpu cpu.weight=1",
            ])
        #expect(
            try written(hybrid, CgroupLimits(lifted)) == [
                "memory memory.limit_in_bytes=-1", "memory memory.memsw.limit_in_bytes=-1",
                "memory memory.soft_limit_in_bytes=-1", "pids pids.max=max", "cpu cpu.cfs_quota_us=-1",
                "cpu cpu.shares=2",
            ])
    }

    /// Every field of the specification that cgroups have, on both kinds of host.
    @Test func theWholeOfASpecificationHasItsFiles() throws {
        var blockIO = LinuxBlockIO(weight: 500)
        blockIO.throttleReadBpsDevice = [LinuxThrottleDevice(major: 8, minor: 0, rate: 600)]
        blockIO.throttleWriteIOPSDevice = [LinuxThrottleDevice(major: 8, minor: 16, rate: 0)]
        var resources = LinuxResources(
            cpu: LinuxCPU(burst: 50, idle: 1), blockIO: blockIO,
            hugepageLimits: [LinuxHugepageLimit(pageSize: "2MB", limit: 9_437_184)],
            rdma: ["mlx5_1": LinuxRdma(hcaHandles: 3, hcaObjects: 10_000)])
        #expect(
            try written(unified, CgroupLimits(resources)) == [
                "cpu cpu.max.burst=50", "cpu cpu.idle=1", "io io.bfq.weight=500", "io io.max=8:0 rbps=600",
                "io io.max=8:16 wiops=max", "hugetlb hugetlb.2MB.max=9437184", "hugetlb hugetlb.2MB.rsvd.max=9437184",
                "rdma rdma.max=mlx5_1 hca_handle=3 hca_object=10000",
            ])
        resources.blockIO?.leafWeight = 20
        resources.blockIO?.weightDevice = [LinuxWeightDevice(major: 8, minor: 0, weight: 30, leafWeight: 40)]
        resources.network = LinuxNetwork(
            classID: 1_048_577, priorities: [LinuxInterfacePriority(name: "eth0", priority: 500)])
        resources.memory = LinuxMemory(kernel: 7, kernelTCP: 8, swappiness: 9, disableOOMKiller: true)
        resources.cpu = LinuxCPU(burst: 50, realtimeRuntime: 950_000, realtimePeriod: 1_000_000)
        resources.devices = [
            LinuxDeviceCgroup(allow: false, access: "rwm"),
            LinuxDeviceCgroup(allow: true, type: .character, major: 1, minor: 3, access: "rw"),
            LinuxDeviceCgroup(allow: true, major: 7, access: "r"),
        ]
        #expect(
            try written(hybrid, CgroupLimits(resources)) == [
                "memory memory.kmem.limit_in_bytes=7", "memory memory.kmem.tcp.limit_in_bytes=8",
                "memory memory.swappiness=9", "memory memory.oom_control=1", "cpu cpu.rt_period_us=1000000",
                "cpu cpu.rt_runtime_us=950000", "cpu cpu.cfs_burst_us=50", "blkio blkio.weight=500",
                "blkio blkio.leaf_weight=20", "blkio blkio.weight_device=8:0 30",
                "blkio blkio.leaf_weight_device=8:0 40",
                "blkio blkio.throttle.read_bps_device=8:0 600", "blkio blkio.throttle.write_iops_device=8:16 0",
                "hugetlb hugetlb.2MB.limit_in_bytes=9437184", "hugetlb hugetlb.2MB.rsvd.limit_in_bytes=9437184",
                "rdma rdma.max=mlx5_1 hca_handle=3 hca_object=10000", "net_cls net_cls.classid=1048577",
                "net_prio net_prio.ifpriomap=eth0 500", "devices devices.deny=a", "devices devices.allow=c 1:3 rw",
                "devices devices.allow=b 7:* r", "devices devices.allow=c 7:* r",
            ])
    }

    /// v1 takes the rule, and the device stays open.
    @Test func aRuleThatV1WouldNotHoldIsRefused() throws {
        func rule(_ allow: Bool, _ major: Int64?, _ minor: Int64?, _ access: String = "rw") -> LinuxDeviceCgroup {
            LinuxDeviceCgroup(allow: allow, type: .character, major: major, minor: minor, access: access)
        }
        let all = LinuxDeviceCgroup(allow: false, access: "rwm")
        for (given, taken) in [
            (rule(true, 10, nil), rule(false, 10, 229)), (rule(true, 10, 229), rule(false, 10, nil, "w")),
            (LinuxDeviceCgroup(allow: true, major: 10, access: "r"), rule(false, 10, 229)),
        ] {
            let resources = LinuxResources(devices: [all, given, taken])
            #expect { try written(hybrid, CgroupLimits(resources)) } throws: { control($0) == "devices" }
            #expect(try written(unified, CgroupLimits(resources)).isEmpty)
        }
        for (given, taken) in [
            (rule(true, 10, 229), rule(false, 10, 229, "w")), (rule(true, 10, nil, "r"), rule(false, 10, 229, "w")),
            (rule(true, 10, nil), rule(false, 11, 1)), (LinuxDeviceCgroup(allow: true), rule(false, 10, 229)),
        ] {
            let lines = try written(hybrid, CgroupLimits(LinuxResources(devices: [given, taken])))
            #expect(lines.first == (given.lines == ["a"] ? "devices devices.allow=a" : "devices devices.deny=a"))
        }
    }

    @Test(arguments: [(0, 1), (2, 1), (10, 4), (1024, 100), (262_144, 10_000), (.max, 10_000)])
    func sharesKeepTheirPlaceAmongWeights(_ shares: UInt64, _ expected: UInt64) {
        #expect(weight(ofShares: shares) == expected)
    }

    @Test func whatNoTreeHasIsRefusedByName() throws {
        for (field, memory) in [
            ("memory.swap", LinuxMemory(limit: 10, swap: 9)), ("memory.swap", LinuxMemory(swap: 9)),
            ("memory.useHierarchy", LinuxMemory(useHierarchy: false)),
        ] {
            #expect { try CgroupLimits(LinuxResources(memory: memory)) } throws: {
                control($0) == "linux.resources.\(field)"
            }
        }
        let ofV1: [(String, LinuxResources)] = [
            ("memory.kernel", LinuxResources(memory: LinuxMemory(kernel: 1))),
            ("memory.kernelTCP", LinuxResources(memory: LinuxMemory(kernelTCP: 1))),
            ("memory.swappiness", LinuxResources(memory: LinuxMemory(swappiness: 0))),
            ("memory.disableOOMKiller", LinuxResources(memory: LinuxMemory(disableOOMKiller: true))),
            ("cpu.realtimeRuntime", LinuxResources(cpu: LinuxCPU(realtimeRuntime: 1))),
            ("blockIO.leafWeight", LinuxResources(blockIO: LinuxBlockIO(leafWeight: 10))),
            ("network", LinuxResources(network: LinuxNetwork(classID: 1))),
        ]
        for (field, resources) in ofV1 {
            #expect { try written(unified, CgroupLimits(resources)) } throws: { control($0) == field }
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

    @Test(arguments: [
        "", "/", "a/../b", "./a", "cgroup.procs", "a/cgroup.kill", "a\nb", String(repeating: "a", count: 256),
    ])
    func aPathOfASpecificationLeadsDownOnly(_ path: String) throws {
        #expect { _ = try CgroupPath(oci: path) } throws: {
            if case .invalidPath(path, _)? = $0 as? CgroupError { true } else { false }
        }
    }

    @Test func aPathOfASpecificationTakesWhatOthersName() throws {
        let pod = "/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-" + String(repeating: "0", count: 64) + ".scope"
        #expect(try CgroupPath(oci: pod).names.count == 3)
        #expect(try CgroupPath(oci: "machine/a b:c").description == "machine/a b:c")
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
