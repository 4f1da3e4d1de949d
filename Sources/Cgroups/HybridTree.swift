import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// cgroup v1: every controller has a hierarchy of its own, and a cgroup is a directory in each whose limits are asked.
struct HybridTree: ControllerTree {
    let host: CgroupHost

    let memory = MemoryFiles(
        current: "memory.usage_in_bytes", peak: "memory.max_usage_in_bytes", max: "memory.limit_in_bytes",
        kills: "memory.oom_control")

    /// The controllers whose limits Carrel sets.
    static let controllers = [
        "memory", "pids", "cpu", "cpuset", "blkio", "devices", "hugetlb", "rdma", "net_cls", "net_prio",
    ]
    /// Those without limits, which a container still finds itself in: for what looks there.
    static let bystanders = ["cpuacct", "freezer", "perf_event"]

    /// Those that a host without their v1 hierarchy may have in the v2 tree (cgroups(7): a controller is in one hierarchy).
    private static let movable = ["hugetlb", "rdma"]

    private func unifiedTree() -> UnifiedTree? { (try? host.place()).map { UnifiedTree(place: $0) } }

    /// Whether the v2 tree holds the limits of this controller.
    func isInV2(_ controller: String) -> Bool {
        Self.movable.contains(controller) && (try? host.place(v1: controller)) == nil
            && unifiedTree()?.everyController().contains(controller) == true
    }

    private func isInV2(directory: String) -> Bool { directory.hasPrefix(host.tree + "/") }

    func provide(
        _ controllers: [String], for path: CgroupPath, orExisting: Bool
    ) throws(CgroupError) -> [String: String] {
        var made: [String: String] = [:]
        do throws(CgroupError) {
            var hierarchies: [Int: String] = [:]
            for controller in controllers {
                if isInV2(controller) {
                    made.merge(try unifiedTree()?.provide([controller], for: path, orExisting: orExisting) ?? [:]) {
                        $1
                    }
                    continue
                }
                let place = try host.place(v1: controller)
                // One hierarchy can have several controllers, and a symbolic link for each: cpu -> cpu,cpuacct.
                let hierarchy = host.own.hierarchy(of: controller)
                if let directory = hierarchy.flatMap({ hierarchies[$0] }) {
                    made[controller] = directory
                    continue
                }
                made[controller] = try place.make(path, orExisting: orExisting)
                if let hierarchy { hierarchies[hierarchy] = made[controller] }
                if controller == "cpuset" { try inherit(place, path) }
            }
        } catch {
            try? remove(path, in: made, parents: true)
            throw error
        }
        return made
    }

    /// A new cpuset of v1 is empty and takes nobody (cpuset(7)): each gets what its parent has.
    private func inherit(_ place: CgroupHost.Place, _ path: CgroupPath) throws(CgroupError) {
        try inherit(place.directory(path), above: place.parents(path)[...])
    }

    private func inherit(_ directory: String, above: ArraySlice<String>) throws(CgroupError) {
        guard let parent = above.last else { return }
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if try !read("\(directory)/\(file)").allSatisfy(\.isWhitespace) { continue }
            var given = try read("\(parent)/\(file)")
            if given.allSatisfy(\.isWhitespace) {
                try inherit(parent, above: above.dropLast())
                given = try read("\(parent)/\(file)")
            }
            try write(given, "\(directory)/\(file)")
        }
    }

    /// Those that the kernel has in a v1 hierarchy.
    private var possibleControllers: [String] {
        (Self.controllers + Self.bystanders).filter { host.own.hierarchy(of: $0) != nil }
    }

    func everyController() -> [String] {
        possibleControllers.filter { (try? fileSystemKind("\(host.mounts)/\($0)")) == .cgroup }
    }

    func find(_ path: CgroupPath, among controllers: [String]?) throws(CgroupError) -> [String: String] {
        var found: [String: String] = [:]
        for controller in controllers ?? possibleControllers {
            guard let directory = try? host.place(v1: controller).directory(path), exists(directory) else { continue }
            found[controller] = directory
        }
        if let controllers, Self.movable.allSatisfy({ !controllers.contains($0) }) { return found }
        let ofV2 = try unifiedTree()?.find(path, among: nil) ?? [:]
        return found.merging(ofV2.filter { Self.movable.contains($0.key) }) { v1, _ in v1 }
    }

    func apply(_ setting: Setting, in directories: [String: String]) throws(CgroupError) {
        guard let directory = directories[setting.controller] else {
            throw .controlAbsent(
                control: setting.controller, reason: "the cgroup was made without it, and is in use",
                fix: "give the limit at the start")
        }
        do throws(CgroupError) {
            try writeSetting(setting, setting.value, in: directory)
        } catch {
            guard setting.file == "memory.limit_in_bytes", error.errno == .invalidArgument else { throw error }
            // It can never be above memory.memsw.limit_in_bytes, which is the next setting.
            try write("-1", "\(directory)/memory.memsw.limit_in_bytes")
            try write(setting.value, "\(directory)/\(setting.file)")
        }
    }

    func decide(_ devices: [LinuxDeviceCgroup], for directory: String) {}

    func remove(_ path: CgroupPath, in directories: [String: String], parents: Bool) throws(CgroupError) {
        for (controller, directory) in directories where !isInV2(directory: directory) {
            try removeCgroup(directory)
            if parents { try host.place(v1: controller).removeParents(path) }
        }
    }

    func entries(in directories: [String: String]) throws(CgroupError) -> [FileDescriptor] {
        var entries: [FileDescriptor] = []
        do throws(CgroupError) {
            // `tasks`, not `cgroup.procs`: a thread that moves itself alone takes no lock that waits for RCU. Measured
            // on an idle host: 0.01 ms, where the parent's write of a pid to cgroup.procs takes 7 ms.
            // In one order, and each directory once.
            var seen: Set<String> = []
            for controller in Self.controllers + Self.bystanders {
                guard let directory = directories[controller], !isInV2(directory: directory),
                    seen.insert(directory).inserted
                else { continue }
                entries.append(try open("\(directory)/tasks", O_WRONLY))
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
