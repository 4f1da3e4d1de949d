import Glibc
import OCISpec

extension CgroupLimits {
    /// The limits of an OCI specification: what it leaves out stays as it is (config-linux.md, "Control groups").
    ///
    /// - Throws: ``CgroupError/controlAbsent(control:reason:fix:)`` for what no kernel can hold.
    public init(_ resources: LinuxResources) throws(CgroupError) {
        self.init()
        oomGroup = false
        try setMemory(resources.memory)
        pidsMax = Self.limit(resources.pids?.limit)
        setCPU(resources.cpu)
        if let blockIO = resources.blockIO { io = IOLimits(blockIO) }
        for pages in resources.hugepageLimits { hugePages[pages.pageSize] = pages.limit }
        rdma = resources.rdma
        network = resources.network
        devices = resources.devices
        unified = resources.unified
    }

    /// What is below zero is no limit.
    private static func limit(_ value: Int64?) -> UInt64? { given(value).map { $0 < 0 ? unlimited : UInt64($0) } }

    private mutating func setMemory(_ memory: LinuxMemory?) throws(CgroupError) {
        // `nil` by itself, for the default of this type is none.
        swapMax = nil
        guard let memory else { return }
        memoryMax = Self.limit(memory.limit)
        memoryLow = Self.limit(memory.reservation)
        if let both = given(memory.swap) {
            if both < 0 {
                swapMax = Self.unlimited
            } else {
                let limit = memoryMax == Self.unlimited ? nil : memoryMax
                guard let limit, both >= limit else {
                    throw .controlAbsent(
                        control: "linux.resources.memory.swap",
                        reason: "it counts memory too, and "
                            + (limit == nil ? "no memory.limit is beside it" : "is below memory.limit"),
                        fix: "give a memory.limit that is no larger")
                }
                swapMax = UInt64(both) - limit
            }
        }
        kernelMemory = Self.limit(memory.kernel)
        kernelMemoryTCP = Self.limit(memory.kernelTCP)
        swappiness = memory.swappiness
        disablesOOMKiller = memory.disableOOMKiller == true ? true : nil
        checksUse = memory.checkBeforeUpdate == true
        if memory.useHierarchy == false {
            throw .controlAbsent(
                control: "linux.resources.memory.useHierarchy",
                reason: "children are always accounted since Linux 5.11",
                fix: "take it out of the specification")
        }
    }

    private mutating func setCPU(_ cpu: LinuxCPU?) {
        guard let cpu else { return }
        cpuQuota = Self.limit(cpu.quota)
        cpuPeriod = given(cpu.period)
        cpuBurst = cpu.burst
        cpuShares = given(cpu.shares)
        cpuIdle = cpu.idle.map { $0 != 0 }
        realtimeRuntime = given(cpu.realtimeRuntime)
        realtimePeriod = given(cpu.realtimePeriod)
        cpus = cpu.cpus
        mems = cpu.mems
    }
}

extension IOLimits {
    /// Those of an OCI specification.
    public init(_ blockIO: LinuxBlockIO) {
        self.init()
        weight = given(blockIO.weight).map { UInt64($0) }
        leafWeight = given(blockIO.leafWeight).map { UInt64($0) }
        weights = blockIO.weightDevice
        readBytes = blockIO.throttleReadBpsDevice
        writeBytes = blockIO.throttleWriteBpsDevice
        readOperations = blockIO.throttleReadIOPSDevice
        writeOperations = blockIO.throttleWriteIOPSDevice
    }
}

/// Zero is what older tools, and engines that write every member, have for "not set" (runc and crun take it so).
private func given<Number: FixedWidthInteger>(_ value: Number?) -> Number? { value == 0 ? nil : value }

/// `cpu.shares` of v1 as a `cpu.weight` of v2, so that the usual and both ends keep their places: 2 is 1, 1024 is 100 and
/// 262,144 is 10,000. The curve is the one that runc 1.3 and crun 1.23 have agreed on.
func weight(ofShares shares: UInt64) -> UInt64 {
    if shares <= 2 { return 1 }
    if shares >= 262_144 { return 10_000 }
    let magnitude = log2(Double(shares))
    let exponent = (magnitude * magnitude + 125 * magnitude) / 612 - 7.0 / 34
    // 10^2 comes out a trifle above 100.
    return UInt64((pow(10, exponent) - 1e-9).rounded(.up))
}
