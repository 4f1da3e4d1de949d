import Documents

/// The limits of a container's cgroup (config-linux.md, "Control groups"). Absent: unchanged.
public struct LinuxResources: SpecObject {
    /// Which devices can be used, the last match deciding.
    public var devices: [LinuxDeviceCgroup]
    /// Memory.
    public var memory: LinuxMemory?
    /// Processor time and processors.
    public var cpu: LinuxCPU?
    /// The number of tasks.
    public var pids: LinuxPids?
    /// Block device I/O.
    public var blockIO: LinuxBlockIO?
    /// Huge pages, each size once.
    public var hugepageLimits: [LinuxHugepageLimit]
    /// Network class and priorities (cgroups v1).
    public var network: LinuxNetwork?
    /// RDMA resources, by device.
    public var rdma: [String: LinuxRdma]
    /// cgroups v2 files and what to write to them.
    public var unified: [String: String]

    /// Makes one from its members.
    public init(
        devices: [LinuxDeviceCgroup] = [], memory: LinuxMemory? = nil, cpu: LinuxCPU? = nil, pids: LinuxPids? = nil,
        blockIO: LinuxBlockIO? = nil, hugepageLimits: [LinuxHugepageLimit] = [], network: LinuxNetwork? = nil,
        rdma: [String: LinuxRdma] = [:], unified: [String: String] = [:]
    ) {
        self.devices = devices
        self.memory = memory
        self.cpu = cpu
        self.pids = pids
        self.blockIO = blockIO
        self.hugepageLimits = hugepageLimits
        self.network = network
        self.rdma = rdma
        self.unified = unified
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("devices", &devices)
        members("memory", &memory)
        members("cpu", &cpu)
        members("pids", &pids)
        members("blockIO", &blockIO)
        members("hugepageLimits", &hugepageLimits)
        members("network", &network)
        members("rdma", &rdma)
        members("unified", &unified)
    }
}

/// One rule of the device controller.
public struct LinuxDeviceCgroup: SpecObject {
    /// Whether it allows or denies.
    public var allow: Bool
    /// The kind of device; absent: all.
    public var type: LinuxDeviceType?
    /// The major number; absent: all.
    public var major: Int64?
    /// The minor number; absent: all.
    public var minor: Int64?
    /// Letters of `rwm`: read, write, make.
    public var access: String?

    /// Makes one from its members.
    public init(
        allow: Bool, type: LinuxDeviceType? = nil, major: Int64? = nil, minor: Int64? = nil, access: String? = nil
    ) {
        self.allow = allow
        self.type = type
        self.major = major
        self.minor = minor
        self.access = access
    }

    /// A value to read into.
    public static var blank: Self { Self(allow: false) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("allow", &allow)
        members("type", &type)
        members("major", &major)
        members("minor", &minor)
        members("access", &access)
    }
}

/// Memory limits, in bytes; -1 is no limit.
public struct LinuxMemory: SpecObject {
    /// The most memory.
    public var limit: Int64?
    /// What reclaim leaves to it when memory is short (v1 soft limit, v2 `memory.low`).
    public var reservation: Int64?
    /// The most memory and swap together.
    public var swap: Int64?
    /// Deprecated: kernel memory (v1).
    public var kernel: Int64?
    /// Kernel memory of TCP buffers (v1).
    public var kernelTCP: Int64?
    /// How readily it is swapped, 0 to 100 (v1).
    public var swappiness: UInt64?
    /// Whether tasks wait at the limit instead of being killed (v1).
    public var disableOOMKiller: Bool?
    /// Deprecated: whether children are accounted too (v1).
    public var useHierarchy: Bool?
    /// Whether a limit below the present usage is refused.
    public var checkBeforeUpdate: Bool?

    /// Makes one from its members.
    public init(
        limit: Int64? = nil, reservation: Int64? = nil, swap: Int64? = nil, kernel: Int64? = nil,
        kernelTCP: Int64? = nil, swappiness: UInt64? = nil, disableOOMKiller: Bool? = nil, useHierarchy: Bool? = nil,
        checkBeforeUpdate: Bool? = nil
    ) {
        self.limit = limit
        self.reservation = reservation
        self.swap = swap
        self.kernel = kernel
        self.kernelTCP = kernelTCP
        self.swappiness = swappiness
        self.disableOOMKiller = disableOOMKiller
        self.useHierarchy = useHierarchy
        self.checkBeforeUpdate = checkBeforeUpdate
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("limit", &limit)
        members("reservation", &reservation)
        members("swap", &swap)
        members("kernel", &kernel)
        members("kernelTCP", &kernelTCP)
        members("swappiness", &swappiness)
        members("disableOOMKiller", &disableOOMKiller)
        members("useHierarchy", &useHierarchy)
        members("checkBeforeUpdate", &checkBeforeUpdate)
    }
}

/// Processor time and processors.
public struct LinuxCPU: SpecObject {
    /// The relative share, 2 to 262144 (v1 `cpu.shares`; converted to a weight for v2).
    public var shares: UInt64?
    /// Microseconds of processor time a period; below zero: no limit.
    public var quota: Int64?
    /// Microseconds that can be saved up beyond the quota.
    public var burst: UInt64?
    /// The length of a period, in microseconds, 1,000 to 1,000,000.
    public var period: UInt64?
    /// Microseconds of real-time scheduling a period (v1).
    public var realtimeRuntime: Int64?
    /// The length of a real-time period, in microseconds (v1).
    public var realtimePeriod: UInt64?
    /// The processors, as a list like `0-3,7`.
    public var cpus: String?
    /// The memory nodes, as a list.
    public var mems: String?
    /// 1: scheduled as `SCHED_IDLE`; 0: not.
    public var idle: Int64?

    /// Makes one from its members.
    public init(
        shares: UInt64? = nil, quota: Int64? = nil, burst: UInt64? = nil, period: UInt64? = nil,
        realtimeRuntime: Int64? = nil, realtimePeriod: UInt64? = nil, cpus: String? = nil, mems: String? = nil,
        idle: Int64? = nil
    ) {
        self.shares = shares
        self.quota = quota
        self.burst = burst
        self.period = period
        self.realtimeRuntime = realtimeRuntime
        self.realtimePeriod = realtimePeriod
        self.cpus = cpus
        self.mems = mems
        self.idle = idle
    }

    /// A value to read into.
    public static var blank: Self { Self() }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("shares", &shares)
        members("quota", &quota)
        members("burst", &burst)
        members("period", &period)
        members("realtimeRuntime", &realtimeRuntime)
        members("realtimePeriod", &realtimePeriod)
        members("cpus", &cpus)
        members("mems", &mems)
        members("idle", &idle)
    }
}

/// The number of tasks.
public struct LinuxPids: SpecObject {
    /// The most tasks; zero or less is no limit.
    public var limit: Int64

    /// Makes one from its members.
    public init(limit: Int64) {
        self.limit = limit
    }

    /// A value to read into.
    public static var blank: Self { Self(limit: 0) }

    /// Reads or writes the members.
    public mutating func visit(_ members: inout Members) {
        members("limit", &limit)
    }
}
