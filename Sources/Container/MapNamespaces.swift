import Glibc
import OCISpec
import Privileges
import Syscalls
import SystemPackage

/// The user namespaces whose maps id-mapped mounts take (mount_setattr(2), `MOUNT_ATTR_IDMAP`): the container's own, and
/// one for each other map, made by a process that is killed as soon as its namespace is open.
struct MapNamespaces {
    private let container: pid_t?
    private let canMap: Bool
    private var open: [(users: [LinuxIDMapping], groups: [LinuxIDMapping], descriptor: FileDescriptor)] = []
    private var own: FileDescriptor?
    private var killed: [pid_t] = []

    /// - Parameters:
    ///   - container: a process in the container's user namespace; `nil` where it has none.
    ///   - canMap: whether the caller may map ids at all.
    init(container: pid_t?, canMap: Bool) {
        self.container = container
        self.canMap = canMap
    }

    /// The namespace that maps ids as `mount` asks for; `nil` where it asks for nothing.
    mutating func namespace(for mount: MountPlan) throws(LaunchError) -> FileDescriptor? {
        let users = mount.uidMappings
        let groups = mount.gidMappings
        if users.isEmpty && groups.isEmpty {
            guard mount.wantsContainerIDs, let container else { return nil }
            if own == nil {
                own = try during(.binds) { () throws(SystemError) in
                    try Syscalls.open("/proc/\(container)/ns/user", O_RDONLY)
                }
            }
            return own
        }
        guard canMap else {
            throw LaunchError(
                .binds, nil, "mount \(mount.destination): id-mapped mounts need root of the host; run carrel as root")
        }
        if let made = open.first(where: { $0.users == users && $0.groups == groups }) { return made.descriptor }
        let descriptor = try make(users, groups)
        open.append((users, groups, descriptor))
        return descriptor
    }

    /// Closes all, and waits for the processes that made them: better late, for they have to get a processor to end.
    func free() {
        if let own { close(own) }
        for made in open { close(made.descriptor) }
        for process in killed { _ = try? wait(for: process) }
    }

    private mutating func make(
        _ users: [LinuxIDMapping], _ groups: [LinuxIDMapping]
    ) throws(LaunchError) -> FileDescriptor {
        let pid = try during(.binds) { () throws(SystemError) in try cloneSleeperInUserNamespace() }
        defer {
            kill(pid, SIGKILL)
            killed.append(pid)
        }
        do throws(ControlError) {
            try IDMap(
                users: IDExtents(users, "mounts.uidMappings"), groups: IDExtents(groups, "mounts.gidMappings")
            ).write(pid: pid)
        } catch {
            throw LaunchError(.binds, nil, "\(error)")
        }
        return try during(.binds) { () throws(SystemError) in try Syscalls.open("/proc/\(pid)/ns/user", O_RDONLY) }
    }
}
