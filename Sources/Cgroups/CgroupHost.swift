import Glibc
import Syscalls
import SystemPackage

/// How a host arranges its cgroups.
public enum CgroupMode: String, Sendable {
    /// One cgroup v2 tree with every controller.
    case unified
    /// Controllers in cgroup v1 hierarchies, and a v2 tree without controllers beside them. Processes are killed, frozen
    /// and counted in the v2 tree; limits hold in the others. There, `+memory` in `cgroup.subtree_control` answers ENOENT.
    case hybrid
    /// Nothing that Carrel can use.
    case none
}

/// The cgroups of this host, as this process may use them.
public struct CgroupHost: Sendable {
    /// How they are arranged.
    public let mode: CgroupMode
    /// Where the v2 tree is mounted; empty in mode `none`.
    public let tree: String
    /// Where the hierarchies are mounted: `/sys/fs/cgroup`.
    let mounts: String
    /// This process's place in each hierarchy, as `/proc/self/cgroup` tells it (cgroups(7)).
    let membership: String

    /// Looks at what is mounted at `/sys/fs/cgroup`, where every distribution has it; takes some microseconds.
    ///
    /// - Parameter mounts: that place, for tests.
    public static func detect(_ mounts: String = "/sys/fs/cgroup") -> CgroupHost {
        let membership = (try? readText("/proc/self/cgroup")) ?? ""
        let (mode, tree): (CgroupMode, String) =
            if isFileSystem(mounts, .cgroup2) {
                (.unified, mounts)
            } else if isFileSystem("\(mounts)/unified", .cgroup2) {
                (.hybrid, "\(mounts)/unified")
            } else {
                (.none, "")
            }
        return CgroupHost(mode: mode, tree: tree, mounts: mounts, membership: membership)
    }

    /// The controllers whose limits this host can hold cgroups to: `cpu`, `memory`, `pids` and so on, sorted.
    public func controllers() -> [String] {
        switch mode {
        case .unified:
            let base = (try? place().base) ?? ""
            let text = (try? readText("\(tree)\(base)/cgroup.controllers")) ?? ""
            return text.split(whereSeparator: \.isWhitespace).map(String.init).sorted()
        case .hybrid:
            return HybridTree.controllers.filter { isFileSystem("\(mounts)/\($0)", .cgroup) }.sorted()
        case .none: return []
        }
    }

    /// The directory of the v2 tree that `carrel/` is created in, or why there is none.
    ///
    /// For root it is the top of the tree. An ordinary user needs a subtree that was given to it ("delegated") and that
    /// this process is in, for the kernel lets nobody move processes out of what is not theirs (cgroups(7),
    /// "Delegation containment"); it is then the highest such place, as a rule systemd's `user@UID.service`.
    public func directory() throws(CgroupError) -> String {
        let place = try place()
        return place.mount + place.base
    }

    // MARK: places

    /// Where cgroups are created in one hierarchy: `mount` + `base`.
    struct Place: Sendable {
        let mount: String
        /// Empty at the top, else it starts with `/`.
        let base: String
    }

    /// The place in the v2 tree.
    func place() throws(CgroupError) -> Place {
        guard mode != .none else {
            throw .noPlace(
                reason: "neither \(mounts) nor \(mounts)/unified is a cgroup v2 file system",
                fix:
                    "boot with systemd.unified_cgroup_hierarchy=1, or mount one: mount -t cgroup2 none \(mounts)/unified"
            )
        }
        return try place(tree, own: own(nil))
    }

    /// The place in the v1 hierarchy of `controller`.
    func place(v1 controller: String) throws(CgroupError) -> Place {
        let mount = "\(mounts)/\(controller)"
        guard isFileSystem(mount, .cgroup) else {
            throw .controlAbsent(
                control: controller, reason: "\(mount) is not a cgroup v1 hierarchy and the v2 tree has no controllers",
                fix: "boot with systemd.unified_cgroup_hierarchy=1, or mount it: "
                    + "mkdir \(mount) && mount -t cgroup -o \(controller) cgroup \(mount)")
        }
        return try place(mount, own: own(controller))
    }

    /// The highest directory on the way from the top to `own` in which this process may create cgroups and move itself.
    private func place(_ mount: String, own: String) throws(CgroupError) -> Place {
        var base = ""
        var names = own.split(separator: "/")[...]
        var reason = Errno.noSuchFileOrDirectory
        while true {
            let isWritable = ["", "/cgroup.procs"].allSatisfy { file in
                faccessat(AT_FDCWD, mount + base + file, W_OK, AT_EACCESS) == 0
            }
            if isWritable { return Place(mount: mount, base: base) }
            reason = Errno(rawValue: errno)
            guard let name = names.popFirst() else { break }
            base += "/\(name)"
        }
        throw .noPlace(
            reason:
                "neither \(mount) nor a cgroup on the way to this process's own, \(own), can be written to (\(reason))",
            fix: reason == .readOnlyFileSystem
                ? "mount \(mount) read-write"
                : "start it in a cgroup of your own, for example with systemd-run --user --scope -p Delegate=yes, "
                    + "or let root make one as Docs/Cgroups.md tells")
    }

    /// This process's path in the hierarchy of `controller`, or in the v2 tree.
    func own(_ controller: String?) -> String {
        for line in membership.split(separator: "\n") {
            // "4:memory:/path", "1:cpu,cpuacct:/path", "0::/path"
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isMeant =
                if let controller { fields[1].split(separator: ",").contains { $0 == controller } } else {
                    fields[0] == "0"
                }
            if isMeant { return String(fields[2]) }
        }
        return "/"
    }
}

/// Whether `path` is on a file system of this kind.
private func isFileSystem(_ path: String, _ kind: FileSystemKind) -> Bool { (try? fileSystemKind(path)) == kind }
