import OCISpec
import Syscalls

extension UnifiedTree {
    func settings(_ limits: CgroupLimits) throws(CgroupError) -> [Setting] {
        try refuseWhatV2Lacks(limits)
        var settings: [Setting] = []
        if let min = limits.memoryMin { settings.append(Setting("memory", "memory.min", limit(min))) }
        if let low = limits.memoryLow { settings.append(Setting("memory", "memory.low", limit(low))) }
        if let high = limits.memoryHigh { settings.append(Setting("memory", "memory.high", limit(high))) }
        if let max = limits.memoryMax {
            settings.append(Setting("memory", "memory.max", limit(max)))
            if limits.oomGroup { settings.append(Setting("memory", "memory.oom.group", 1)) }
        }
        if let swap = limits.swapMax, swap > 0 || limits.memoryMax != nil {
            // A kernel that does not count swap has no limit to lift either.
            settings.append(
                Setting(
                    "memory", "memory.swap.max", limit(swap),
                    without: swap == 0 ? .forbiddenSwap : swap == CgroupLimits.unlimited ? .everything : .nothing))
        }
        if let max = limits.pidsMax { settings.append(Setting("pids", "pids.max", limit(max))) }
        settings += cpuSettings(limits)
        settings += ioSettings(limits.io)
        for (size, bytes) in limits.hugePages.sorted(by: { $0.key < $1.key }) {
            settings.append(Setting("hugetlb", "hugetlb.\(size).max", bytes))
            // Pages that are reserved and not yet touched (Linux 5.7).
            settings.append(Setting("hugetlb", "hugetlb.\(size).rsvd.max", bytes, without: .everything))
        }
        settings += rdmaSettings(limits.rdma)
        for (file, value) in limits.unified.sorted(by: { $0.key < $1.key }) {
            guard let dot = file.firstIndex(of: "."), isPlainName(file), !file.hasPrefix("cgroup.") else {
                throw .controlAbsent(
                    control: file, reason: "it is not a file of a controller", fix: "name one, for example memory.high")
            }
            // Several lines are several devices, of which the kernel takes one a write.
            for line in value.split(separator: "\n") { settings.append(Setting(String(file[..<dot]), file, line)) }
        }
        return settings
    }

    private func refuseWhatV2Lacks(_ limits: CgroupLimits) throws(CgroupError) {
        let asked: [(String, Bool)] = [
            ("memory.swappiness", limits.swappiness != nil), ("memory.kernel", limits.kernelMemory != nil),
            ("memory.kernelTCP", limits.kernelMemoryTCP != nil),
            ("memory.disableOOMKiller", limits.disablesOOMKiller == true),
            ("cpu.realtimeRuntime", limits.realtimeRuntime != nil),
            ("cpu.realtimePeriod", limits.realtimePeriod != nil),
            ("blockIO.leafWeight", limits.io.leafWeight != nil || limits.io.weights.contains { $0.leafWeight != nil }),
            ("network", limits.network != nil),
        ]
        for (control, isAsked) in asked where isAsked {
            throw .controlAbsent(
                control: control, reason: "cgroup v2 has no such limit", fix: "take it out of the specification")
        }
    }

    private func cpuSettings(_ limits: CgroupLimits) -> [Setting] {
        var settings: [Setting] = []
        if limits.cpuQuota != nil || limits.cpuPeriod != nil {
            // "-" stands for the quota that is in force: the file has no other way to set the period alone.
            let quota = limits.cpuQuota.map { limit($0) } ?? "-"
            settings.append(Setting("cpu", "cpu.max", quota + (limits.cpuPeriod.map { " \($0)" } ?? "")))
        }
        if let burst = limits.cpuBurst { settings.append(Setting("cpu", "cpu.max.burst", burst)) }
        if let idle = limits.cpuIdle { settings.append(Setting("cpu", "cpu.idle", idle ? 1 : 0)) }
        if let weight = limits.cpuWeight ?? limits.cpuShares.map(weight(ofShares:)), limits.cpuIdle != true {
            settings.append(Setting("cpu", "cpu.weight", weight))
        }
        if let cpus = limits.cpus { settings.append(Setting("cpuset", "cpuset.cpus", cpus)) }
        if let mems = limits.mems { settings.append(Setting("cpuset", "cpuset.mems", mems)) }
        return settings
    }

    private func ioSettings(_ io: IOLimits) -> [Setting] {
        var settings: [Setting] = []
        // BFQ has the range of v1, io.cost one of 1 to 10,000.
        func scaled(_ weight: UInt64) -> UInt64 { 1 + (max(weight, 10) - 10) * 9999 / 990 }
        func weight(_ device: String, _ weight: UInt64) {
            var setting = Setting("io", "io.bfq.weight", device + "\(weight)")
            setting.instead = Setting.Instead(file: "io.weight", value: device + "\(scaled(weight))")
            settings.append(setting)
        }
        if let share = io.weight { weight("", share) }
        for device in io.weights {
            if let share = device.weight { weight("\(device.major):\(device.minor) ", UInt64(share)) }
        }
        let kinds = [
            ("rbps", io.readBytes), ("wbps", io.writeBytes), ("riops", io.readOperations),
            ("wiops", io.writeOperations),
        ]
        for (key, devices) in kinds {
            for device in devices {
                settings.append(
                    Setting(
                        "io", "io.max",
                        "\(device.major):\(device.minor) \(key)=\(device.rate == 0 ? "max" : "\(device.rate)")"))
            }
        }
        return settings
    }
}

/// `rdma.max` is the same file in both trees.
func rdmaSettings(_ rdma: [String: LinuxRdma]) -> [Setting] {
    rdma.sorted { $0.key < $1.key }.map { device, limits in
        let words = [
            limits.hcaHandles.map { "hca_handle=\($0)" }, limits.hcaObjects.map { "hca_object=\($0)" },
        ].compactMap { $0 }
        return Setting("rdma", "rdma.max", ([device] + words).joined(separator: " "))
    }
}
