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
}

/// The number of tasks.
public struct LinuxPids: SpecObject {
    /// The most tasks; zero or less is no limit.
    public var limit: Int64

    /// Makes one from its members.
    public init(
        limit: Int64
    ) {
        self.limit = limit
    }
}

/// Block device I/O.
public struct LinuxBlockIO: SpecObject {
    /// The relative share, 10 to 1000.
    public var weight: UInt16?
    /// The share of its own tasks beside its children, 10 to 1000 (v1).
    public var leafWeight: UInt16?
    /// Shares by device.
    public var weightDevice: [LinuxWeightDevice]
    /// Read limits, bytes a second.
    public var throttleReadBpsDevice: [LinuxThrottleDevice]
    /// Write limits, bytes a second.
    public var throttleWriteBpsDevice: [LinuxThrottleDevice]
    /// Read limits, operations a second.
    public var throttleReadIOPSDevice: [LinuxThrottleDevice]
    /// Write limits, operations a second.
    public var throttleWriteIOPSDevice: [LinuxThrottleDevice]

    /// Makes one from its members.
    public init(
        weight: UInt16? = nil, leafWeight: UInt16? = nil, weightDevice: [LinuxWeightDevice] = [],
        throttleReadBpsDevice: [LinuxThrottleDevice] = [], throttleWriteBpsDevice: [LinuxThrottleDevice] = [],
        throttleReadIOPSDevice: [LinuxThrottleDevice] = [], throttleWriteIOPSDevice: [LinuxThrottleDevice] = []
    ) {
        self.weight = weight
        self.leafWeight = leafWeight
        self.weightDevice = weightDevice
        self.throttleReadBpsDevice = throttleReadBpsDevice
        self.throttleWriteBpsDevice = throttleWriteBpsDevice
        self.throttleReadIOPSDevice = throttleReadIOPSDevice
        self.throttleWriteIOPSDevice = throttleWriteIOPSDevice
    }
}

/// The share of one block device.
public struct LinuxWeightDevice: SpecObject {
    /// The device's major number.
    public var major: Int64
    /// The device's minor number.
    public var minor: Int64
    /// The relative share, 10 to 1000.
    public var weight: UInt16?
    /// As `LinuxBlockIO.leafWeight`.
    public var leafWeight: UInt16?

    /// Makes one from its members.
    public init(
        major: Int64, minor: Int64, weight: UInt16? = nil, leafWeight: UInt16? = nil
    ) {
        self.major = major
        self.minor = minor
        self.weight = weight
        self.leafWeight = leafWeight
    }
}

/// The limit of one block device.
public struct LinuxThrottleDevice: SpecObject {
    /// The device's major number.
    public var major: Int64
    /// The device's minor number.
    public var minor: Int64
    /// Bytes or operations a second.
    public var rate: UInt64

    /// Makes one from its members.
    public init(
        major: Int64, minor: Int64, rate: UInt64
    ) {
        self.major = major
        self.minor = minor
        self.rate = rate
    }
}

/// The limit of one size of huge pages.
public struct LinuxHugepageLimit: SpecObject {
    /// The size, for example `2MB`.
    public var pageSize: String
    /// Bytes.
    public var limit: UInt64

    /// Makes one from its members.
    public init(
        pageSize: String, limit: UInt64
    ) {
        self.pageSize = pageSize
        self.limit = limit
    }
}

/// Network class and priorities of cgroups v1.
public struct LinuxNetwork: SpecObject {
    /// The class of its packets.
    public var classID: UInt32?
    /// The priority of its packets, by interface.
    public var priorities: [LinuxInterfacePriority]

    /// Makes one from its members.
    public init(
        classID: UInt32? = nil, priorities: [LinuxInterfacePriority] = []
    ) {
        self.classID = classID
        self.priorities = priorities
    }
}

/// The priority of one interface.
public struct LinuxInterfacePriority: SpecObject {
    /// The interface.
    public var name: String
    /// The priority.
    public var priority: UInt32

    /// Makes one from its members.
    public init(
        name: String, priority: UInt32
    ) {
        self.name = name
        self.priority = priority
    }
}

/// The limits of one RDMA device.
public struct LinuxRdma: SpecObject {
    /// The most handles.
    public var hcaHandles: UInt32?
    /// The most objects.
    public var hcaObjects: UInt32?

    /// Makes one from its members.
    public init(
        hcaHandles: UInt32? = nil, hcaObjects: UInt32? = nil
    ) {
        self.hcaHandles = hcaHandles
        self.hcaObjects = hcaObjects
    }
}
