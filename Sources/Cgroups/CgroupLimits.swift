import OCISpec

/// What a cgroup is held to. What is `nil` stays as the kernel has it: without a limit.
public struct CgroupLimits: Sendable, Equatable {
    /// The most memory, in bytes. Page cache, tmpfs and kernel memory count.
    public var memoryMax: UInt64?
    /// Where the kernel starts to slow the cgroup down and to reclaim, in bytes. Unified hosts only.
    public var memoryHigh: UInt64?
    /// What reclaim leaves to the cgroup when the host is short of memory, in bytes.
    public var memoryLow: UInt64?
    /// The most swap, in bytes, beside `memoryMax`; in force only with `memoryMax`. None by default.
    public var swapMax: UInt64? = 0
    /// Whether running out of memory ends all processes at once. On a hybrid host the kernel has no such switch:
    /// whoever watches the cgroup (``Cgroup/watchOutOfMemory()``) kills the rest.
    public var oomGroup = true
    /// The most tasks (threads).
    public var pidsMax: UInt64?
    /// The most processor time: microseconds in each ``cpuPeriod``.
    public var cpuQuota: UInt64?
    /// The length of a period of ``cpuQuota``, in microseconds: 1,000 to 1,000,000.
    public var cpuPeriod: UInt64 = 100_000
    /// The share of processor time when it is short: 1 to 10,000, where 100 is what every other cgroup has.
    public var cpuWeight: UInt64?
    /// The processors that may be used, as a list like `0-3,7`.
    public var cpus: String?
    /// The memory nodes that may be used, as a list.
    public var mems: String?
    /// Further files of a cgroup v2 directory and what to write to them. Unified hosts only.
    public var unified: [String: String] = [:]

    /// No limit but on swap.
    public init(memoryMax: UInt64? = nil, pidsMax: UInt64? = nil, cpuMax: Double? = nil) {
        self.memoryMax = memoryMax
        self.pidsMax = pidsMax
        self.cpuMax = cpuMax
    }

    /// The most processor time as a number of processors: 1.5 is one and a half. What is no such number becomes a quota
    /// of 0, which the kernel refuses.
    public var cpuMax: Double? {
        get { cpuQuota.map { Double($0) / Double(cpuPeriod) } }
        set { cpuQuota = newValue.map { UInt64(exactly: ($0 * Double(cpuPeriod)).rounded()) ?? 0 } }
    }

    /// The limits of an OCI specification; its `devices` are not a limit of use and not looked at here.
    ///
    /// Throws ``CgroupError/controlAbsent(control:reason:fix:)`` for what Carrel does not set.
    public init(_ resources: LinuxResources) throws(CgroupError) {
        let memory = resources.memory
        let cpu = resources.cpu
        let refused: [(String, Bool)] = [
            ("memory.kernel", memory?.kernel != nil), ("memory.kernelTCP", memory?.kernelTCP != nil),
            ("memory.swappiness", memory?.swappiness != nil), ("memory.useHierarchy", memory?.useHierarchy == false),
            ("memory.disableOOMKiller", memory?.disableOOMKiller == true),
            ("memory.checkBeforeUpdate", memory?.checkBeforeUpdate == true),
            ("cpu.realtimeRuntime", cpu?.realtimeRuntime != nil), ("cpu.realtimePeriod", cpu?.realtimePeriod != nil),
            ("cpu.burst", cpu?.burst != nil), ("cpu.idle", cpu?.idle != nil), ("blockIO", resources.blockIO != nil),
            ("hugepageLimits", !resources.hugepageLimits.isEmpty), ("network", resources.network != nil),
            ("rdma", !resources.rdma.isEmpty),
        ]
        for (field, isAsked) in refused where isAsked {
            throw .controlAbsent(
                control: "linux.resources.\(field)", reason: "Carrel does not set it",
                fix: "take it out of the specification, or give its cgroup v2 file in linux.resources.unified")
        }
        func limit(_ value: Int64?) -> UInt64? { value.flatMap { $0 < 0 ? nil : UInt64($0) } }
        memoryMax = limit(memory?.limit)
        memoryLow = limit(memory?.reservation)
        if let both = memory?.swap {
            guard both < 0 || memoryMax.map({ both >= $0 }) ?? false else {
                throw .controlAbsent(
                    control: "linux.resources.memory.swap", reason: "it counts memory too, and is below memory.limit",
                    fix: "give a memory.limit that is no larger")
            }
            swapMax = limit(both).map { $0 - (memoryMax ?? 0) }
        }
        pidsMax = resources.pids.flatMap { $0.limit <= 0 ? nil : UInt64($0.limit) }
        cpuQuota = limit(cpu?.quota)
        if let period = cpu?.period { cpuPeriod = period }
        // 1024 shares are the default of the one, weight 100 that of the other.
        cpuWeight = cpu?.shares.map { min(max($0 * 100 / 1024, 1), 10_000) }
        cpus = cpu?.cpus
        mems = cpu?.mems
        unified = resources.unified
    }
}

/// One file to write so that a limit holds.
struct Setting: Equatable {
    /// The controller whose file it is.
    let controller: String
    let file: String
    let value: String
    /// Whether it forbids swap altogether, and so holds without the file on a host that has none.
    let forbidsSwap: Bool

    init(_ controller: String, _ file: String, _ value: some CustomStringConvertible, forbidsSwap: Bool = false) {
        self.controller = controller
        self.file = file
        self.value = value.description
        self.forbidsSwap = forbidsSwap
    }

    /// Answers for `path`, the file of this setting, which the kernel does not have.
    func absent(_ path: String) throws(CgroupError) {
        guard forbidsSwap else {
            throw .controlAbsent(
                control: file, reason: "this kernel has no \(path)", fix: "use a newer kernel, or do without this limit"
            )
        }
        let areas = try read("/proc/swaps").split(separator: "\n").count - 1
        if areas > 0 {
            throw .controlAbsent(
                control: "swap", reason: "this kernel has no \(path), and the host has \(areas) swap areas",
                fix: "boot with swapaccount=1, or swapoff -a")
        }
    }
}
