import Container
import Documents
import Glibc
import OCISpec
import Privileges
import Syscalls
import SystemPackage

/// What a session is composed of: a checked profile, whose it is and where it works.
struct SessionParts {
    let id: String
    let profile: Profile
    let tenant: Tenant
    /// The workdir on the host, absolute; `nil` for a session without one.
    let workdir: String?
    let command: [String]
    let terminal: WindowSize?
    let state: StateDirectory
    /// What the gateway gives; `nil` of a session without a door.
    var door: Door?
}

/// A session as an OCI specification, with what OCI has no field for.
struct ComposedSession {
    var spec: Spec
    var extensions: Extensions
    /// What of the profile this host does not give, and the profile can do without.
    var absent: [(control: String, reason: String)] = []
    /// Holds the root against the sweep (``Images``).
    let hold: FileDescriptor
}

/// Composes the OCI specification of a session.
///
/// - Parameter guarding: whether missing protected files are made in the workdir: not for a specification that is only
///   printed.
func compose(_ parts: SessionParts, guarding: Bool) throws(SessionError) -> ComposedSession {
    // Sessions read what is made here, and what stands for missing files is known again by its mode.
    let callers = umask(0o022)
    defer { umask(callers) }
    let profile = parts.profile
    let user = SessionUser(
        uid: profile.user.uid, gid: profile.user.gid, name: profile.user.name, home: profile.user.home)
    var mounts = kernelMounts(profile, dev: devices(in: parts.state))
    var absent: [(control: String, reason: String)] = []
    try mounts += ownMounts(parts, &absent)
    mounts += parts.door?.mounts ?? []
    let points = mounts.map { mount in
        let isFile = mount.type == "bind" && (try? status(mount.source ?? "").st_mode & S_IFMT != S_IFDIR) ?? false
        return Skeleton.MountPoint(path: mount.destination, isDirectory: !isFile)
    }
    let skeleton =
        switch profile.image {
        case .host:
            try Skeleton.host(
                user, mountPoints: points, ignoring: profile.workdir.protect + profile.workdir.deny, in: parts.state)
        case .named(_, let path), .directory(let path):
            try Skeleton.directory(path, mountPoints: points, in: parts.state)
        }
    var composed = ComposedSession(spec: Spec(), extensions: Extensions(), hold: skeleton.hold)
    composed.spec.root = Root(path: skeleton.path, readonly: true)
    composed.spec.mounts = skeleton.mounts + mounts
    composed.spec.hostname = String(parts.id.prefix(63))
    composed.spec.process = try process(parts, user)
    composed.spec.linux = try linux(parts)
    composed.extensions.executables = profile.exec.allow
    composed.extensions.scopes = profile.scopes.map(\.rawValue)
    composed.extensions.listeners = parts.door?.listeners.map(\.1) ?? []
    composed.absent = absent
    try settleLandlock(&composed, profile)
    if let workdir = parts.workdir {
        let target = profile.workdir.target
        // What is mounted read-only stays so, whatever becomes of its file system.
        let isReadOnly = mounts.contains { $0.destination == target && $0.options.contains("ro") }
        let protect = isReadOnly ? [] : profile.workdir.protect
        let deny = try profile.workdir.deny + stateDirectory(parts.state, in: workdir)
        let held =
            guarding
            ? try WorkdirGuard.prepare(
                workdir, protect: protect, deny: deny, session: parts.id, tenant: parts.tenant.name, in: parts.state)
            : try WorkdirGuard.existing(workdir, protect: protect, deny: deny)
        composed.extensions.pinnedPaths = held.pinned.map { "\(target)/\($0)" }
        composed.spec.linux?.readonlyPaths += held.readOnly.map { "\(target)/\($0)" }
        composed.spec.linux?.maskedPaths += held.masked.map { "\(target)/\($0)" }
    }
    composed.spec.annotations = composed.extensions.annotations
    composed.spec.annotations["dev.carrel.session"] = parts.id
    composed.spec.annotations["dev.carrel.tenant"] = parts.tenant.name
    composed.spec.annotations["dev.carrel.profile"] = profile.name
    return composed
}

/// A /dev made once, for all sessions to see read-only: the six devices, the usual links, and mount points. One mount in
/// the place of a tmpfs and six.
///
/// - Returns: `nil` where the caller cannot make devices, or the state directory's filesystem has none (nodev), be it since
///   they were made: the launch then binds the host's.
private func devices(in state: StateDirectory) -> String? {
    let path = state["images/dev"]
    guard geteuid() == 0 else { return nil }
    if work(path) { return path }
    let draft = "\(path).\(getpid()).new"
    defer { try? removeTree(draft) }
    do throws(SystemError) {
        try makeDirectory(draft)
        for name in ["pts", "shm"] { try makeDirectory("\(draft)/\(name)") }
        for (name, major, minor) in usualDevices {
            let device = "\(draft)/\(name)"
            try checking("mknod", device) { mknod(device, S_IFCHR | 0o666, makeDevice(major, minor)) }
            try checking("chmod", device) { chmod(device, 0o666) }
        }
        for (name, target) in usualLinks {
            try checking("symlink", name) { symlink(target, "\(draft)/\(name)") }
        }
        guard work(draft) else { return nil }
        try checking("rename", path) { rename(draft, path) }
    } catch {
        return work(path) ? path : nil
    }
    return path

    func work(_ place: String) -> Bool {
        guard let null = try? open("\(place)/null", O_RDWR) else { return false }
        close(null)
        return true
    }
}

// MARK: Mounts

/// The filesystems that are the session's own, in the order of their nesting.
private func kernelMounts(_ profile: Profile, dev: String?) -> [Mount] {
    func tmpfs(_ path: String, _ size: Int, _ more: [String], executable: Bool = false) -> Mount {
        let options = ["nosuid", "nodev"] + (executable ? [] : ["noexec"]) + ["size=\(size)"] + more
        return Mount(destination: path, type: "tmpfs", source: "tmpfs", options: options)
    }
    let quiet = ["nosuid", "noexec", "nodev"]
    // A session with a list of programs could write code into one of them through /proc/self/mem.
    let proc = profile.exec.allow == nil ? quiet : quiet + ["ro"]
    let user = profile.user
    return [
        Mount(destination: "/proc", type: "proc", source: "proc", options: proc),
        dev.map {
            Mount(destination: "/dev", type: "bind", source: $0, options: ["bind", "ro", "nosuid", "noexec", "idmap"])
        }
            ?? Mount(
                destination: "/dev", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
        Mount(
            destination: "/dev/pts", type: "devpts", source: "devpts",
            options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        tmpfs("/dev/shm", profile.limits.shm, ["mode=1777"]),
        tmpfs("/tmp", profile.limits.tmp, ["mode=1777"], executable: profile.exec.from.contains(.tmp)),
        tmpfs(
            user.home, profile.limits.home, ["mode=700", "uid=\(user.uid)", "gid=\(user.gid)"],
            executable: profile.exec.from.contains(.home)),
    ]
}

/// What of the host's tree the session sees: its tenant's config directory, its workdir, what the profile names.
private func ownMounts(
    _ parts: SessionParts, _ absent: inout [(control: String, reason: String)]
) throws(SessionError) -> [Mount] {
    let profile = parts.profile
    var mounts: [Mount] = []
    if let config = profile.config {
        mounts.append(
            try ownerMount(
                parts.tenant.configDirectory, at: config.target, readOnly: false,
                executable: profile.exec.from.contains(.config), what: "config directory", parts, &absent))
    }
    if let workdir = parts.workdir {
        mounts.append(
            try ownerMount(
                workdir, at: profile.workdir.target, readOnly: isReadOnly(workdir, profile),
                executable: profile.exec.from.contains(.workdir), what: "workdir", parts, &absent))
    }
    for mount in profile.mounts {
        try refuseOpening(parts, by: mount)
        if !exists(mount.source) {
            if mount.optional { continue }
            throw SessionError(
                "mount \(mount.target): its source \(mount.source) does not exist",
                fix: "make it, or mark the mount optional in profile \(profile.name)")
        }
        var made: Mount
        if mount.access == .readWrite {
            made = try ownerMount(
                mount.source, at: mount.target, readOnly: false, executable: mount.executable,
                what: "mount \(mount.target)", parts, &absent)
        } else {
            let options = ["rbind", "ro", "nosuid", "nodev", "idmap"] + (mount.executable ? [] : ["noexec"])
            made = Mount(destination: mount.target, type: "bind", source: mount.source, options: options)
        }
        if mount.isOfCommandLine { made.options.append(Extensions.mountWithoutLinks) }
        mounts.append(made)
    }
    return mounts
}

/// Refuses a mount that opens what is closed to the session: the state directory, where other tenants' settings and the
/// gateway's keys are; and by an option also the workdir, whose protected and denied files are so at its own place alone.
private func refuseOpening(_ parts: SessionParts, by mount: Profile.Mount) throws(SessionError) {
    func overlaps(_ path: String) -> Bool {
        mount.source.isAtOrBelow(path) || path.isAtOrBelow(mount.source)
    }
    if overlaps(parts.state.path) || overlaps(real(parts.state.path)) {
        throw SessionError(
            "mount \(mount.target): its source \(mount.source) is in or around the state directory "
                + "\(parts.state.path), which no session sees", fix: "mount what the session needs of it alone")
    }
    if mount.isOfCommandLine, let workdir = parts.workdir, overlaps(real(workdir)) {
        throw SessionError(
            "--mount \(mount.source): it is in or around the workdir \(workdir), and would open what the profile protects there",
            fix: "the session has the workdir at \(parts.profile.workdir.target)")
    }
}

/// Whether a session can write nothing of its workdir, so that nothing in there has to be protected from it.
private func isReadOnly(_ workdir: String, _ profile: Profile) -> Bool {
    var found = statvfs()
    return profile.workdir.access == .readOnly
        || statvfs(workdir, &found) == 0 && found.f_flag & UInt(ST_RDONLY) != 0
}

/// The place of the state directory in a workdir that has it inside, as somebody's home has: empty to the session.
private func stateDirectory(_ state: StateDirectory, in workdir: String) throws(SessionError) -> [String] {
    let (above, path) = (real(workdir), real(state.path))
    if above.isAtOrBelow(path) {
        throw SessionError("workdir \(workdir): it is in the state directory \(state.path), which no session sees")
    }
    return above == "/" || path.isAtOrBelow(above) ? [String(Substring(path.utf8.dropFirst(above.utf8.count)))] : []
}

/// `path` without symbolic links, as far as it leads somewhere.
private func real(_ path: String) -> String {
    guard let found = realpath(path, nil) else { return path }
    defer { free(found) }
    return String(cString: found)
}

/// A bind mount in which what the host's owner of `source` owns is the session's own.
private func ownerMount(
    _ source: String, at target: String, readOnly: Bool, executable: Bool, what: String, _ parts: SessionParts,
    _ absent: inout [(control: String, reason: String)]
) throws(SessionError) -> Mount {
    let found = try telling("\(what) \(source)") { () throws(SystemError) in try status(source) }
    let user = parts.profile.user
    var maps = parts.tenant.ownerMaps(
        ownerUID: found.st_uid, ownerGID: found.st_gid, uid: user.uid, gid: user.gid)
    if !maps.users.isEmpty, parts.profile.optionalControls.contains(.idmap) {
        let fact = HostFacts.idMappedMounts(source)
        if fact.status != .ok {
            maps = ([], [])
            absent.append((Profile.Control.idmap.rawValue, "\(source): \(fact.value)"))
        }
    }
    // Without the right to map ids the caller cannot make part of a tree visible either, only all that is mounted in it.
    let options =
        [maps.users.isEmpty ? "rbind" : "bind", "nosuid", "nodev"] + (readOnly ? ["ro"] : [])
        + (executable ? [] : ["noexec"])
    return Mount(
        destination: target, type: "bind", source: source, options: options, uidMappings: maps.users,
        gidMappings: maps.groups)
}

/// Leaves out of Landlock what this kernel has not, where the profile can do without; otherwise refuses.
private func settleLandlock(_ composed: inout ComposedSession, _ profile: Profile) throws(SessionError) {
    func isThere(_ policy: LandlockPolicy, _ control: Profile.Control) throws(SessionError) -> Bool {
        do throws(ControlError) {
            try policy.check()
            return true
        } catch {
            guard profile.optionalControls.contains(control) else {
                throw SessionError(
                    "cannot start the session: \(error.control): \(error.reason)",
                    fix: "\(error.fix ?? ""); or let hosts lack it: controls: {optional: [\(control.rawValue)]} "
                        + "in a profile that extends \(profile.name)")
            }
            composed.absent.append((control.rawValue, error.reason))
            return false
        }
    }
    if !composed.extensions.scopes.isEmpty,
        try !isThere(LandlockPolicy(executables: nil), .landlockScope)
    {
        composed.extensions.scopes = []
    }
    if composed.extensions.executables != nil,
        try !isThere(LandlockPolicy(executables: [], scopes: []), .landlockExec)
    {
        composed.extensions.executables = nil
    }
}

// MARK: Process

private func process(_ parts: SessionParts, _ user: SessionUser) throws(SessionError) -> OCISpec.Process {
    let profile = parts.profile
    var process = OCISpec.Process(cwd: parts.workdir == nil ? user.home : profile.workdir.target)
    process.args = parts.command
    process.env = try environment(parts)
    process.user = User(uid: user.uid, gid: user.gid, umask: profile.umask)
    process.noNewPrivileges = true
    process.capabilities = LinuxCapabilities()
    process.oomScoreAdj = Int64(profile.limits.oomScoreAdj)
    let files = UInt64(profile.limits.openFiles)
    process.rlimits = [
        POSIXRlimit(type: "RLIMIT_NOFILE", hard: files, soft: files),
        // One byte, not none: a core_pattern that is a pipe ignores a limit of zero (core(5)).
        POSIXRlimit(type: "RLIMIT_CORE", hard: 1, soft: 1),
    ]
    if let size = parts.terminal {
        process.terminal = true
        process.consoleSize = Box(height: UInt32(size.rows), width: UInt32(size.columns))
    }
    return process
}

/// The session's whole environment: who it is, then what the profile names; nothing else of the caller's.
private func environment(_ parts: SessionParts) throws(SessionError) -> [String] {
    let profile = parts.profile
    var variables = [
        "HOME": profile.user.home, "USER": profile.user.name, "LOGNAME": profile.user.name,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    ]
    if parts.terminal != nil { variables["TERM"] = environmentVariable("TERM") ?? "xterm" }
    for variable in profile.environment.set { variables[variable.name] = variable.value }
    for name in profile.environment.pass {
        guard let bytes = getenv(name) else { continue }
        guard let value = String(validatingCString: bytes) else {
            throw SessionError("environment.pass: the value of \(name) is not UTF-8, and cannot be passed on as it is")
        }
        variables[name] = value
    }
    if let config = profile.config, let variable = config.variable { variables[variable] = config.target }
    for (name, value) in parts.door?.environment ?? [:] { variables[name] = value }
    variables["CARREL_SESSION"] = parts.id
    return variables.map { "\($0.key)=\($0.value)" }.sorted()
}

// MARK: Linux

private func linux(_ parts: SessionParts) throws(SessionError) -> Linux {
    let profile = parts.profile
    var linux = Linux()
    (linux.uidMappings, linux.gidMappings) = try parts.tenant.maps(uid: profile.user.uid, gid: profile.user.gid)
    linux.namespaces = [.user, .mount, .pid, .network, .ipc, .uts, .cgroup].map { LinuxNamespace(type: $0) }
    linux.cgroupsPath = "/carrel/\(parts.tenant.name)/\(parts.id)"
    let limits = profile.limits
    var cpu: LinuxCPU?
    if let thousandths = limits.cpus { cpu = LinuxCPU(quota: Int64(thousandths) * 100, period: 100_000) }
    linux.resources = LinuxResources(
        memory: LinuxMemory(limit: Int64(limits.memory), swap: Int64(limits.memory + limits.swap)), cpu: cpu,
        pids: LinuxPids(limit: Int64(limits.pids)))
    // The lists of runc and Docker, and what newer kernels have added to /proc for everyone to read. What is root's alone
    // to read (kpageflags, slabinfo...) is nobody's in a user namespace.
    linux.maskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
        "/proc/key-users", "/proc/latency_stats", "/proc/modules", "/proc/sched_debug", "/proc/scsi",
        "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
    ]
    linux.readonlyPaths = [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    ]
    return linux
}
