import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// cgroup v2 with controllers: limits are files of the cgroup's one directory, once every cgroup above has handed the
/// controller down (cgroups(7), "cgroup.subtree_control").
struct UnifiedTree: ControllerTree {
    let place: CgroupHost.Place

    let memory = MemoryFiles(current: "memory.current", peak: "memory.peak", max: "memory.max", kills: "memory.events")

    func provide(
        _ controllers: [String], for path: CgroupPath, orExisting: Bool
    ) throws(CgroupError) -> [String: String] {
        let directory = place.directory(path)
        let directories = Dictionary(uniqueKeysWithValues: controllers.map { ($0, directory) })
        let missing = try missing(controllers, in: directory)
        if missing.isEmpty { return directories }
        let top = place.directory(nil)
        if let absent = try self.missing(missing, in: top).first {
            throw .controlAbsent(
                control: absent, reason: "\(top) does not have the \(absent) controller",
                fix: place.base.isEmpty && !exists("\(top)/cgroup.type")
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

    func everyController() -> [String] {
        let text = (try? read("\(place.directory(nil))/cgroup.controllers")) ?? ""
        return text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    func find(_ path: CgroupPath, among controllers: [String]?) throws(CgroupError) -> [String: String] {
        let directory = place.directory(path)
        let text = try read("\(directory)/cgroup.controllers")
        return Dictionary(
            text.split(whereSeparator: \.isWhitespace).map { (String($0), directory) }, uniquingKeysWith: { a, _ in a })
    }

    func apply(_ setting: Setting, in directories: [String: String]) throws(CgroupError) {
        let directory = directories[setting.controller] ?? ""
        var value = setting.value
        if setting.file == "cpu.max", value.hasPrefix("- ") {
            let inForce = try read("\(directory)/\(setting.file)").split(separator: " ").first ?? "max"
            value = String(inForce) + value.dropFirst()
        }
        try writeSetting(setting, value, in: directory)
    }

    func decide(_ devices: [LinuxDeviceCgroup], for directory: String) throws(CgroupError) {
        if devices.isEmpty { return }
        do throws(CgroupError) {
            try DeviceProgram(devices).attach(to: directory)
        } catch {
            // Who is root in a user namespace, or nobody, makes no device and opens none that it was not given.
            if error.errno == .notPermitted || error.errno == .permissionDenied, !isHostsRoot() { return }
            guard error.errno == .noFunction || error.errno == .invalidArgument else { throw error }
            throw .controlAbsent(
                control: "devices", reason: "this kernel takes no device programs (\(error))",
                fix: "use a kernel with CONFIG_CGROUP_BPF")
        }
    }

    func remove(_ path: CgroupPath, in directories: [String: String], parents: Bool) throws(CgroupError) {}

    func entries(in directories: [String: String]) throws(CgroupError) -> [FileDescriptor] { [] }

    func watchOutOfMemory(_ directory: String) throws(CgroupError) -> OutOfMemoryWatch {
        // Not inotify: a user has 128 of its instances, and sessions are more. A poll tells the same (cgroups(7)).
        let file = try open("\(directory)/memory.events")
        var watch = OutOfMemoryWatch(descriptor: file, readiness: .priority)
        _ = try watch.happened()  // the first read arms it
        return watch
    }
}
