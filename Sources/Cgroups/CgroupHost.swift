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
    /// This process's own cgroups.
    let own: CgroupMembership

    /// Looks at what is mounted at `/sys/fs/cgroup`, where every distribution has it; takes some microseconds.
    ///
    /// - Parameter mounts: that place, for tests.
    public static func detect(_ mounts: String = "/sys/fs/cgroup") -> CgroupHost {
        let (mode, tree): (CgroupMode, String) =
            if isFileSystem(mounts, .cgroup2) {
                (.unified, mounts)
            } else if isFileSystem("\(mounts)/unified", .cgroup2) {
                (.hybrid, "\(mounts)/unified")
            } else {
                (.none, "")
            }
        return CgroupHost(mode: mode, tree: tree, mounts: mounts, own: CgroupMembership())
    }

    /// The controllers whose limits this host can hold cgroups to: `cpu`, `memory`, `pids` and so on, sorted.
    public func controllers() -> [String] {
        switch mode {
        case .unified:
            let base = (try? place().base) ?? ""
            let text = (try? readText("\(tree)\(base)/cgroup.controllers")) ?? ""
            return text.split(whereSeparator: \.isWhitespace).map(String.init).sorted()
        case .hybrid:
            let tree = HybridTree(host: self)
            return HybridTree.controllers.filter { isFileSystem("\(mounts)/\($0)", .cgroup) || tree.isInV2($0) }
                .sorted()
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

    /// The memory that all cgroups made here can have together by a limit above them, in bytes: that of a container, or of
    /// a user's subtree; `nil` where there is none.
    public var memoryLimit: UInt64? {
        let file =
            mode == .hybrid
            ? (try? place(v1: "memory").directory(nil)).map { $0 + "/memory.limit_in_bytes" }
            : (try? place().directory(nil)).map { $0 + "/memory.max" }
        return file.flatMap { bound($0) }
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
        return try place(tree) { own.path() }
    }

    /// The place in the v1 hierarchy of `controller`.
    func place(v1 controller: String) throws(CgroupError) -> Place {
        let mount = "\(mounts)/\(controller)"
        do throws(CgroupError) {
            return try place(mount) { own.path(v1: controller) }
        } catch {
            if isFileSystem(mount, .cgroup) { throw error }
            throw .controlAbsent(
                control: controller, reason: "\(mount) is not a cgroup v1 hierarchy and the v2 tree has no controllers",
                fix: "boot with systemd.unified_cgroup_hierarchy=1, or mount it: "
                    + "mkdir \(mount) && mount -t cgroup -o \(controller) cgroup \(mount)")
        }
    }

    /// The highest directory on the way from the top to this process's own in which it may create cgroups.
    ///
    /// It is told by `cgroup.procs`: whoever may write that may move processes within all that is below.
    private func place(_ mount: String, own: () -> String) throws(CgroupError) -> Place {
        func canWrite(_ base: String) -> Bool {
            faccessat(AT_FDCWD, "\(mount)\(base)/cgroup.procs", W_OK, AT_EACCESS) == 0
        }
        if canWrite("") { return Place(mount: mount, base: "") }
        let reason = Errno(rawValue: errno)
        var base = ""
        let own = own()
        for name in own.split(separator: "/") {
            base += "/\(name)"
            if canWrite(base) { return Place(mount: mount, base: base) }
        }
        throw .noPlace(
            reason:
                "neither \(mount) nor a cgroup on the way to this process's own, \(own), can be written to (\(reason))",
            fix: reason == .readOnlyFileSystem
                ? "mount \(mount) read-write"
                : "start it in a cgroup of your own, for example with systemd-run --user --scope -p Delegate=yes, "
                    + "or let root make one as Docs/Cgroups.md tells")
    }
}

/// In which cgroup of each hierarchy this process is: /proc/self/cgroup, with lines like `4:cpu,cpuacct:/path`, and
/// `0::/path` of the v2 tree (cgroups(7)).
///
/// Read byte by byte, for every launch does it: splitting into strings costs a cold process a tenth of a millisecond.
struct CgroupMembership: Sendable {
    private let text: [UInt8]

    /// As it is now.
    init() { text = (try? withContents("/proc/self/cgroup") { Array($0) }) ?? [] }

    /// As `text` has it.
    init(_ text: String) { self.text = Array(text.utf8) }

    /// The path in the v2 tree.
    func path() -> String { line(of: "").map { String(decoding: text[$0.path], as: UTF8.self) } ?? "/" }

    /// The path in the v1 hierarchy of `controller`.
    func path(v1 controller: String) -> String {
        line(of: controller).map { String(decoding: text[$0.path], as: UTF8.self) } ?? "/"
    }

    /// Which hierarchy of v1 has `controller`, the same for all that share one; `nil` where none has.
    func hierarchy(of controller: String) -> Int? { line(of: controller)?.start }

    private func line(of controller: String) -> (start: Int, path: Range<Int>)? {
        var controller = controller
        return controller.withUTF8 { wanted in
            var start = 0
            while start < text.count {
                let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
                var index = (text[start..<end].firstIndex(of: UInt8(ascii: ":")) ?? end) + 1
                while index <= end {
                    // A name up to a comma, or up to the colon before the path.
                    let stop =
                        text[index..<end].firstIndex { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: ":") } ?? end
                    if text[index..<stop].elementsEqual(wanted) {
                        let path = (text[stop..<end].firstIndex(of: UInt8(ascii: ":")) ?? end) + 1
                        return (start, min(path, end)..<end)
                    }
                    if stop == end || text[stop] == UInt8(ascii: ":") { break }
                    index = stop + 1
                }
                start = end + 1
            }
            return nil
        }
    }
}

/// Whether `path` is on a file system of this kind.
private func isFileSystem(_ path: String, _ kind: FileSystemKind) -> Bool { (try? fileSystemKind(path)) == kind }
