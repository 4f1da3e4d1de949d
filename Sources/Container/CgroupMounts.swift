import OCISpec
import Syscalls

/// What a mount of type `cgroup` is on this host: the one v2 tree, or where controllers are on v1, a directory of mounts,
/// one for each hierarchy, as on the host.
extension MountPlan {
    /// The mounts that stand for `mount`, in order.
    ///
    /// - Parameters:
    ///   - hasNamespace: whether the container has a cgroup namespace, so that a new mount shows its own subtree;
    ///     otherwise the container's own directories are bound.
    ///   - path: where those are in each hierarchy.
    static func cgroups(
        _ mount: Mount, hasNamespace: Bool, path: String
    ) throws(LaunchError) -> [MountPlan] {
        var attributes = mount.options.filter { !["bind", "rbind"].contains($0) && !$0.contains("=") }
        let hierarchies = try during(.prepare) { () throws(SystemError) in try cgroupHierarchies() }
        guard !hierarchies.isEmpty else {
            return [
                try MountPlan(
                    Mount(destination: mount.destination, type: "cgroup2", source: "cgroup", options: attributes),
                    recursing: false)
            ]
        }
        let readOnly = attributes.contains("ro")
        var plans = [
            try MountPlan(
                Mount(
                    destination: mount.destination, type: "tmpfs", source: "tmpfs",
                    options: ["nosuid", "noexec", "nodev", "mode=755"] + (readOnly ? ["ro"] : [])),
                recursing: false)
        ]
        attributes.removeAll { ["relatime", "private", "rprivate"].contains($0) }
        for hierarchy in hierarchies {
            let destination = "\(mount.destination)/\(hierarchy.name)"
            let option = hierarchy.options
            // A hierarchy that the container is not in, such as systemd's own, is none of its business.
            if !hasNamespace && !exists(hierarchy.mount + path) { continue }
            let made =
                hasNamespace
                ? Mount(
                    destination: destination, type: hierarchy.isUnified ? "cgroup2" : "cgroup",
                    source: "cgroup", options: attributes + option.split(separator: ",").map(String.init))
                : Mount(
                    destination: destination, type: "bind", source: hierarchy.mount + path,
                    options: attributes + ["bind"])
            plans.append(try MountPlan(made, recursing: false))
        }
        return plans
    }
}

/// One mounted hierarchy of cgroup v1, or the v2 tree beside them.
struct CgroupHierarchy {
    /// The last part of where it is mounted.
    let name: String
    /// Where it is mounted.
    let mount: String
    /// What selects it at mount(2): its controllers, or `name=systemd`; empty for the v2 tree.
    let options: String
    var isUnified: Bool { options.isEmpty }
}

/// The hierarchies below /sys/fs/cgroup of a host that has v1; none where the v2 tree is all there is.
func cgroupHierarchies() throws(SystemError) -> [CgroupHierarchy] {
    let top = "/sys/fs/cgroup"
    if try fileSystemKind(top) == .cgroup2 { return [] }
    var found: [CgroupHierarchy] = []
    // proc(5): device, mount point, type, options.
    for line in try readText("/proc/self/mounts").split(separator: "\n") {
        let fields = line.split(separator: " ")
        guard fields.count > 3, fields[1].hasPrefix(top + "/"), fields[2].hasPrefix("cgroup") else { continue }
        let name = String(fields[1].dropFirst(top.utf8.count + 1))
        if name.contains("/") || found.contains(where: { $0.name == name }) { continue }
        let general = ["rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec", "xattr"]
        let options = fields[3].split(separator: ",").filter { option in
            !general.contains(String(option)) && !option.hasPrefix("release_agent=") && !option.hasPrefix("nsdelegate")
                && !option.hasPrefix("memory_")
        }
        found.append(
            CgroupHierarchy(
                name: name, mount: String(fields[1]),
                options: fields[2] == "cgroup2" ? "" : options.joined(separator: ",")))
    }
    return found
}
