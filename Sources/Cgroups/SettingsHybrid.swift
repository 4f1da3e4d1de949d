import OCISpec

extension HybridTree {
    func settings(_ limits: CgroupLimits) throws(CgroupError) -> [Setting] {
        let asked: [(String, Bool)] =
            limits.unified.keys.sorted().map { ($0, true) }
            + [("memory.high", limits.memoryHigh != nil), ("memory.min", limits.memoryMin != nil)]
        for (control, isAsked) in asked where isAsked {
            throw .controlAbsent(
                control: control, reason: "cgroup v1 has no such limit",
                fix: "boot with systemd.unified_cgroup_hierarchy=1, or do without it")
        }
        var settings = memorySettings(limits)
        if let max = limits.pidsMax { settings.append(Setting("pids", "pids.max", limit(max))) }
        settings += cpuSettings(limits)
        settings += ioSettings(limits.io)
        let limitFile = !limits.hugePages.isEmpty && isInV2("hugetlb") ? "max" : "limit_in_bytes"
        for (size, bytes) in limits.hugePages.sorted(by: { $0.key < $1.key }) {
            settings.append(Setting("hugetlb", "hugetlb.\(size).\(limitFile)", bytes))
            settings.append(Setting("hugetlb", "hugetlb.\(size).rsvd.\(limitFile)", bytes, without: .everything))
        }
        settings += rdmaSettings(limits.rdma)
        if let network = limits.network {
            if let id = network.classID { settings.append(Setting("net_cls", "net_cls.classid", id)) }
            for interface in network.priorities {
                settings.append(Setting("net_prio", "net_prio.ifpriomap", "\(interface.name) \(interface.priority)"))
            }
        }
        return try settings + limits.devices.linesOfV1().map { Setting("devices", $0.file, $0.line) }
    }

    private func memorySettings(_ limits: CgroupLimits) -> [Setting] {
        var settings: [Setting] = []
        if let max = limits.memoryMax {
            settings.append(Setting("memory", "memory.limit_in_bytes", limit(max, unlimited: "-1")))
            if let swap = limits.swapMax {
                let isUnlimited = max == CgroupLimits.unlimited || swap == CgroupLimits.unlimited
                let both = isUnlimited ? CgroupLimits.unlimited : UInt64(clamping: UInt128(max) + UInt128(swap))
                settings.append(
                    Setting(
                        "memory", "memory.memsw.limit_in_bytes", limit(both, unlimited: "-1"),
                        without: swap == 0 ? .forbiddenSwap : isUnlimited ? .everything : .nothing))
            }
        }
        if let low = limits.memoryLow {
            settings.append(Setting("memory", "memory.soft_limit_in_bytes", limit(low, unlimited: "-1")))
        }
        if let kernel = limits.kernelMemory {
            settings.append(Setting("memory", "memory.kmem.limit_in_bytes", limit(kernel, unlimited: "-1")))
        }
        if let buffers = limits.kernelMemoryTCP {
            settings.append(Setting("memory", "memory.kmem.tcp.limit_in_bytes", limit(buffers, unlimited: "-1")))
        }
        if let swappiness = limits.swappiness { settings.append(Setting("memory", "memory.swappiness", swappiness)) }
        if limits.disablesOOMKiller == true { settings.append(Setting("memory", "memory.oom_control", 1)) }
        return settings
    }

    private func cpuSettings(_ limits: CgroupLimits) -> [Setting] {
        var settings: [Setting] = []
        if let period = limits.realtimePeriod { settings.append(Setting("cpu", "cpu.rt_period_us", period)) }
        if let runtime = limits.realtimeRuntime { settings.append(Setting("cpu", "cpu.rt_runtime_us", runtime)) }
        if let period = limits.cpuPeriod { settings.append(Setting("cpu", "cpu.cfs_period_us", period)) }
        if let quota = limits.cpuQuota {
            settings.append(Setting("cpu", "cpu.cfs_quota_us", limit(quota, unlimited: "-1")))
        }
        if let burst = limits.cpuBurst { settings.append(Setting("cpu", "cpu.cfs_burst_us", burst)) }
        if let idle = limits.cpuIdle { settings.append(Setting("cpu", "cpu.idle", idle ? 1 : 0)) }
        if let shares = limits.cpuShares ?? limits.cpuWeight.map({ max(min($0, 10_000) * 1024 / 100, 2) }),
            limits.cpuIdle != true
        {
            settings.append(Setting("cpu", "cpu.shares", shares))
        }
        if let cpus = limits.cpus { settings.append(Setting("cpuset", "cpuset.cpus", cpus)) }
        if let mems = limits.mems { settings.append(Setting("cpuset", "cpuset.mems", mems)) }
        return settings
    }

    private func ioSettings(_ io: IOLimits) -> [Setting] {
        var settings: [Setting] = []
        func weight(_ name: String, _ value: String) {
            var setting = Setting("blkio", "blkio.\(name)", value)
            setting.instead = Setting.Instead(file: "blkio.bfq.\(name)", value: value)
            settings.append(setting)
        }
        if let share = io.weight { weight("weight", "\(share)") }
        if let share = io.leafWeight { weight("leaf_weight", "\(share)") }
        for device in io.weights {
            let name = "\(device.major):\(device.minor)"
            if let share = device.weight { weight("weight_device", "\(name) \(share)") }
            if let share = device.leafWeight { weight("leaf_weight_device", "\(name) \(share)") }
        }
        let kinds = [
            ("read_bps", io.readBytes), ("write_bps", io.writeBytes), ("read_iops", io.readOperations),
            ("write_iops", io.writeOperations),
        ]
        for (kind, devices) in kinds {
            for device in devices {
                settings.append(
                    Setting("blkio", "blkio.throttle.\(kind)_device", "\(device.major):\(device.minor) \(device.rate)"))
            }
        }
        return settings
    }
}
