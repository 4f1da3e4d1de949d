import Glibc
import Syscalls
import SystemPackage

/// cgroup v2 with controllers: limits are files of the cgroup's one directory, once every cgroup above has handed the
/// controller down (cgroups(7), "cgroup.subtree_control").
struct UnifiedTree: ControllerTree {
    let place: CgroupHost.Place

    let memory = MemoryFiles(current: "memory.current", peak: "memory.peak", max: "memory.max", kills: "memory.events")

    func settings(_ limits: CgroupLimits) throws(CgroupError) -> [Setting] {
        var settings: [Setting] = []
        if let max = limits.memoryMax {
            settings.append(Setting("memory", "memory.max", max))
            if let swap = limits.swapMax {
                settings.append(Setting("memory", "memory.swap.max", swap, forbidsSwap: swap == 0))
            }
            if limits.oomGroup { settings.append(Setting("memory", "memory.oom.group", 1)) }
        }
        if let high = limits.memoryHigh { settings.append(Setting("memory", "memory.high", high)) }
        if let low = limits.memoryLow { settings.append(Setting("memory", "memory.low", low)) }
        if let max = limits.pidsMax { settings.append(Setting("pids", "pids.max", max)) }
        if let quota = limits.cpuQuota { settings.append(Setting("cpu", "cpu.max", "\(quota) \(limits.cpuPeriod)")) }
        if let weight = limits.cpuWeight { settings.append(Setting("cpu", "cpu.weight", weight)) }
        if let cpus = limits.cpus { settings.append(Setting("cpuset", "cpuset.cpus", cpus)) }
        if let mems = limits.mems { settings.append(Setting("cpuset", "cpuset.mems", mems)) }
        for (file, value) in limits.unified.sorted(by: { $0.key < $1.key }) {
            guard let dot = file.firstIndex(of: "."), CgroupPath.isName(file), !file.hasPrefix("cgroup.") else {
                throw .controlAbsent(
                    control: file, reason: "it is not a file of a controller", fix: "name one, for example memory.high")
            }
            settings.append(Setting(String(file[..<dot]), file, value))
        }
        return settings
    }

    func provide(_ controllers: [String], for path: CgroupPath) throws(CgroupError) -> [String: String] {
        let directory = place.directory(path)
        let directories = Dictionary(uniqueKeysWithValues: controllers.map { ($0, directory) })
        let missing = try missing(controllers, in: directory)
        if missing.isEmpty { return directories }
        let top = place.directory(nil)
        if let absent = try self.missing(missing, in: top).first {
            throw .controlAbsent(
                control: absent, reason: "\(top) does not have the \(absent) controller",
                fix: place.base.isEmpty
                    ? "build or boot the kernel with it (for memory: cgroup_enable=memory)"
                    : "delegate it, for example Delegate=cpu cpuset io memory pids in the systemd unit")
        }
        let change = missing.map { "+\($0)" }.joined(separator: " ")
        for parent in place.parents(path) {
            do throws(CgroupError) {
                try write(change, "\(parent)/cgroup.subtree_control")
            } catch {
                // EBUSY, or for a controller of threads (cpu, pids) EOPNOTSUPP one level further down.
                guard error.errno == .resourceBusy || error.errno?.rawValue == EOPNOTSUPP else { throw error }
                let full = error.errno == .resourceBusy ? parent : top
                throw .noPlace(
                    reason:
                        "processes are directly in \(full), and a cgroup v2 with processes hands no controllers down",
                    fix: "start them one level below: DelegateSubgroup=main in the systemd unit, "
                        + "or mkdir \(full)/main and move them there")
            }
        }
        return directories
    }

    private func missing(_ controllers: [String], in directory: String) throws(CgroupError) -> [String] {
        let text = try read("\(directory)/cgroup.controllers")
        let present = text.split(whereSeparator: \.isWhitespace)
        return controllers.filter { controller in !present.contains { $0 == controller } }
    }

    func find(_ path: CgroupPath) throws(CgroupError) -> [String: String] {
        let directory = place.directory(path)
        let text = try read("\(directory)/cgroup.controllers")
        return Dictionary(
            text.split(whereSeparator: \.isWhitespace).map { (String($0), directory) }, uniquingKeysWith: { a, _ in a })
    }

    func apply(_ setting: Setting, in directories: [String: String]) throws(CgroupError) {
        let file = "\(directories[setting.controller] ?? "")/\(setting.file)"
        do throws(CgroupError) {
            try write(setting.value, file)
        } catch {
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            try setting.absent(file)
        }
    }

    func remove(_ path: CgroupPath, in directories: [String: String]) throws(CgroupError) {}

    func entries(in directories: [String: String]) throws(CgroupError) -> [FileDescriptor] { [] }

    func watchOutOfMemory(_ directory: String) throws(CgroupError) -> OutOfMemoryWatch {
        // Not inotify: a user has 128 of its instances, and sessions are more. A poll tells the same (cgroups(7)).
        let file = try open("\(directory)/memory.events")
        let watch = OutOfMemoryWatch(descriptor: file, readiness: .priority)
        _ = try watch.happened()  // the first read arms it
        return watch
    }
}
