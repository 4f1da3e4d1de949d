import Glibc
import Syscalls
import SystemPackage

/// cgroup v1: every controller has a hierarchy of its own, and a cgroup is a directory in each whose limits are asked.
struct HybridTree: ControllerTree {
    let host: CgroupHost

    let memory = MemoryFiles(
        current: "memory.usage_in_bytes", peak: "memory.max_usage_in_bytes", max: "memory.limit_in_bytes",
        kills: "memory.oom_control")

    /// The controllers whose limits Carrel sets.
    static let controllers = ["memory", "pids", "cpu", "cpuset"]

    func settings(_ limits: CgroupLimits) throws(CgroupError) -> [Setting] {
        let only = limits.unified.keys.min() ?? (limits.memoryHigh == nil ? nil : "memory.high")
        if let only {
            throw .controlAbsent(
                control: only, reason: "cgroup v1 has no such limit",
                fix: "boot with systemd.unified_cgroup_hierarchy=1, or do without it")
        }
        var settings: [Setting] = []
        if let max = limits.memoryMax {
            settings.append(Setting("memory", "memory.limit_in_bytes", max))
            if let swap = limits.swapMax {
                let both = UInt64(clamping: UInt128(max) + UInt128(swap))
                settings.append(Setting("memory", "memory.memsw.limit_in_bytes", both, forbidsSwap: swap == 0))
            }
        }
        if let low = limits.memoryLow { settings.append(Setting("memory", "memory.soft_limit_in_bytes", low)) }
        if let max = limits.pidsMax { settings.append(Setting("pids", "pids.max", max)) }
        if let quota = limits.cpuQuota {
            settings.append(Setting("cpu", "cpu.cfs_period_us", limits.cpuPeriod))
            settings.append(Setting("cpu", "cpu.cfs_quota_us", quota))
        }
        if let weight = limits.cpuWeight {
            settings.append(Setting("cpu", "cpu.shares", Swift.max(min(weight, 10_000) * 1024 / 100, 2)))
        }
        if let cpus = limits.cpus { settings.append(Setting("cpuset", "cpuset.cpus", cpus)) }
        if let mems = limits.mems { settings.append(Setting("cpuset", "cpuset.mems", mems)) }
        return settings
    }

    func provide(_ controllers: [String], for path: CgroupPath) throws(CgroupError) -> [String: String] {
        var made: [String: String] = [:]
        do throws(CgroupError) {
            for controller in controllers {
                let place = try host.place(v1: controller)
                made[controller] = try place.make(path)
                if controller == "cpuset" { try inherit(place, path) }
            }
        } catch {
            try? remove(path, in: made)
            throw error
        }
        return made
    }

    /// A new cpuset of v1 is empty and takes nobody (cpuset(7)): each gets what its parent has.
    private func inherit(_ place: CgroupHost.Place, _ path: CgroupPath) throws(CgroupError) {
        let levels = place.parents(path) + [place.directory(path)]
        for (parent, child) in zip(levels, levels.dropFirst()) {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if try read("\(child)/\(file)").allSatisfy(\.isWhitespace) {
                    try write(read("\(parent)/\(file)"), "\(child)/\(file)")
                }
            }
        }
    }

    func find(_ path: CgroupPath) throws(CgroupError) -> [String: String] {
        var found: [String: String] = [:]
        for controller in Self.controllers {
            guard let directory = try? host.place(v1: controller).directory(path), exists(directory) else { continue }
            found[controller] = directory
        }
        return found
    }

    func apply(_ setting: Setting, in directories: [String: String]) throws(CgroupError) {
        guard let directory = directories[setting.controller] else {
            throw .controlAbsent(
                control: setting.controller, reason: "the cgroup was made without it, and is in use",
                fix: "give the limit at the start")
        }
        let file = "\(directory)/\(setting.file)"
        do throws(CgroupError) {
            try write(setting.value, file)
        } catch {
            switch (setting.file, error.errno) {
            case (_, .noSuchFileOrDirectory): try setting.absent(file)
            case ("memory.limit_in_bytes", .invalidArgument):
                // It can never be above memory.memsw.limit_in_bytes, which is the next setting.
                try write("-1", "\(directory)/memory.memsw.limit_in_bytes")
                try write(setting.value, file)
            default: throw error
            }
        }
    }

    func remove(_ path: CgroupPath, in directories: [String: String]) throws(CgroupError) {
        for (controller, directory) in directories {
            try removeCgroup(directory)
            try host.place(v1: controller).removeParents(path)
        }
    }

    func entries(in directories: [String: String]) throws(CgroupError) -> [FileDescriptor] {
        var entries: [FileDescriptor] = []
        do throws(CgroupError) {
            // `tasks`, not `cgroup.procs`: a thread that moves itself alone takes no lock that waits for RCU. Measured
            // on an idle host: 0.01 ms, where the parent's write of a pid to cgroup.procs takes 7 ms.
            for controller in Self.controllers {
                if let directory = directories[controller] { entries.append(try open("\(directory)/tasks", O_WRONLY)) }
            }
        } catch {
            entries.forEach(close)
            throw error
        }
        return entries
    }

    func watchOutOfMemory(_ directory: String) throws(CgroupError) -> OutOfMemoryWatch {
        let event = try kernel { () throws(SystemError) in try eventFD() }
        do throws(CgroupError) {
            let file = try open("\(directory)/memory.oom_control")
            defer { close(file) }
            try write("\(event.rawValue) \(file.rawValue)", "\(directory)/cgroup.event_control")
        } catch {
            close(event)
            throw error
        }
        return OutOfMemoryWatch(descriptor: event, readiness: .readable)
    }
}
