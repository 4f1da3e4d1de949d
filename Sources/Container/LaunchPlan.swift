import CSyscalls
import Glibc
import OCISpec
import Privileges
import Syscalls
import SystemPackage

/// The specification, taken apart and checked before anything is made: what can be refused is refused here.
struct LaunchPlan {
    let spec: Spec
    /// Those that the container gets new.
    let namespaces: Namespaces
    /// Those that it joins.
    let joined: JoinedNamespaces
    /// The map of a new user namespace; `nil` without one.
    let idMap: IDMap?
    let mounts: [MountPlan]
    let identity: Identity
    let capabilities: Capabilities
    let limits: ResourceLimits
    let landlock: LandlockPolicy?
    /// Whether the parent makes the bind mounts: it must, to map ids, and can only with the host's `CAP_SYS_ADMIN`.
    let parentBinds: Bool
    /// Whether carrel-init is PID 1: of a session always, of a container where `dev.carrel.init` asks for it.
    let hasInit: Bool
    /// For a container of the OCI runtime; `nil` for a session.
    let runtime: RuntimeOptions?

    let process: OCISpec.Process
    private let initPath: String
    private let rootPath: String
    let rootReadOnly: Bool
    let arguments: CStringVector
    let environment: CStringVector
    let candidates: [String]

    /// - Parameter entering: whether the container is there already, so that its namespaces and mounts are not looked at.
    init(_ request: LaunchRequest, entering: Bool = false) throws(LaunchError) {
        spec = request.spec
        runtime = request.runtime
        guard let process = spec.process, let program = process.args.first else {
            throw LaunchError(.prepare, nil, "process.args: there is no program to run")
        }
        if program.isEmpty {
            let cause = SystemError("execve", errno: .noSuchFileOrDirectory)
            throw LaunchError(.exec, cause, "process.args: the program's name is empty")
        }
        guard let root = spec.root else { throw LaunchError(.prepare, nil, "root: there is no root filesystem") }
        self.process = process
        rootPath = root.path
        rootReadOnly = root.readonly
        var namespaces: Namespaces = []
        var joined = JoinedNamespaces()
        for namespace in spec.linux?.namespaces ?? [] {
            let kind = Namespaces(namespace.type)
            if let path = namespace.path, !path.isEmpty, !entering {
                guard runtime != nil else {
                    throw LaunchError(.prepare, nil, "linux.namespaces: joining \(path) is not supported")
                }
                try joined.add(kind, path)
            } else {
                namespaces.insert(kind)
            }
        }
        if runtime == nil {
            guard namespaces.isSuperset(of: [.pid, .mount, .user]), !namespaces.contains(.time) else {
                throw LaunchError(
                    .prepare, nil, "linux.namespaces: pid, mount and user are needed, time is not supported")
            }
        }
        self.namespaces = namespaces
        self.joined = joined
        // Anywhere else they would be the host's own.
        if !request.extensions.listeners.isEmpty {
            let isHost = try during(.prepare) { () throws(SystemError) in try joined.isOwn(.network) }
            guard namespaces.union(joined.kinds).contains(.network), !isHost else {
                throw LaunchError(
                    .prepare, nil,
                    "dev.carrel.egress: expected a network namespace, found the host's (podman: --network none)")
            }
        }
        if runtime != nil {
            try Self.refuseAbsent(spec)
            var changes = (spec.linux?.sysctl ?? [:]).keys.sorted().map { key -> (String, Namespaces) in
                ("linux.sysctl: \(key)", key.hasPrefix("net") ? .network : key.hasSuffix("name") ? .uts : .ipc)
            }
            if !(spec.hostname ?? "").isEmpty { changes.append(("hostname", .uts)) }
            if !(spec.domainname ?? "").isEmpty { changes.append(("domainname", .uts)) }
            for (what, kind) in changes {
                let isHost = try during(.prepare) { () throws(SystemError) in try joined.isOwn(kind) }
                if isHost { throw LaunchError(.prepare, nil, "\(what) would change the host") }
            }
        }
        do throws(ControlError) {
            idMap =
                namespaces.contains(.user)
                ? try IDMap(
                    users: IDExtents(spec.linux?.uidMappings ?? [], "linux.uidMappings"),
                    groups: IDExtents(spec.linux?.gidMappings ?? [], "linux.gidMappings")) : nil
            identity = try Identity(process.user, map: idMap)
            capabilities = try Capabilities(process.capabilities, clipping: runtime != nil)
            limits = try ResourceLimits(process.rlimits, dumpsCores: runtime != nil)
            landlock = try request.extensions.landlockPolicy(environment: process.env)
            try landlock?.check()
            let asksForInit = try request.extensions.asksForInit()
            hasInit = runtime == nil || asksForInit && !entering
        } catch {
            throw LaunchError(.prepare, nil, "\(error)")
        }
        initPath = hasInit && runtime != nil ? try Self.findInit(namespaces) : request.initPath
        let mapsIDs =
            !namespaces.union(joined.kinds).isDisjoint(with: .user)
            || spec.mounts.contains { !$0.uidMappings.isEmpty || !$0.gidMappings.isEmpty }
        mounts = entering ? [] : try Self.mounts(spec, namespaces, isRuntime: runtime != nil)
        // In a container without a user namespace the child has all the rights that making a mount takes, and makes all in
        // the order of the specification.
        parentBinds = geteuid() == 0 && (runtime == nil || mapsIDs)
        arguments = CStringVector(process.args)
        environment = CStringVector(process.env)
        candidates = Self.candidates(program, process.env)
        // config.md, "Linux mount options": otherwise an error MUST be returned.
        if runtime != nil, !(parentBinds && hasUserNamespace),
            let mount = mounts.first(where: { $0.wantsContainerIDs })
        {
            throw LaunchError(
                .prepare, nil,
                "mount \(mount.destination): option idmap: expected uidMappings and gidMappings, or a user namespace")
        }
    }

    private static func mounts(
        _ spec: Spec, _ namespaces: Namespaces, isRuntime: Bool
    ) throws(LaunchError) -> [MountPlan] {
        var mounts: [MountPlan] = []
        for mount in spec.mounts {
            if isRuntime && mount.type == "cgroup" {
                mounts += try MountPlan.cgroups(
                    mount, hasNamespace: namespaces.contains(.cgroup), path: spec.linux?.cgroupsPath ?? "")
            } else {
                mounts.append(try MountPlan(mount, recursing: !isRuntime))
            }
        }
        if let label = mountLabel(spec) { for index in mounts.indices { mounts[index].label = label } }
        return mounts
    }

    /// What to do about a clone3(2) that fails, by its errno (clone(2), user_namespaces(7)).
    func cloneAdvice(_ errno: Errno) -> String {
        switch errno {
        case .notPermitted:
            "user namespaces are forbidden here: see kernel.unprivileged_userns_clone, "
                + "kernel.apparmor_restrict_unprivileged_userns and carrel doctor"
        case .noSpace: "a namespace limit is reached: raise user.max_*_namespaces"
        case .resourceTemporarilyUnavailable: "the pids limit of the caller's cgroup or RLIMIT_NPROC is reached"
        default: ""
        }
    }

    /// Whether the session's user namespace has a root, who can be its builder.
    var mapsRoot: Bool {
        if let idMap { return idMap.users.holds(0) && idMap.groups.holds(0) }
        return joined.kinds.contains(.user)
    }

    /// Whether its processes are among others', of another container or of the host.
    var isAmongOthers: Bool { !namespaces.contains(.pid) }

    /// Whether no id is mapped for it by an ordinary user.
    var mapsAsRoot: Bool { idMap == nil || geteuid() == 0 }

    /// Whether the container has a user namespace that is not the caller's.
    var hasUserNamespace: Bool { namespaces.union(joined.kinds).contains(.user) }

    // MARK: Mounts

    /// Whether /dev is a filesystem of the container's own, to be filled.
    var makesDevices: Bool { !mounts.contains { $0.destination == "/dev" && $0.isBind } }

    /// The root, every bind mount in the specification's order, and last carrel-init, where that is PID 1: detached, with all
    /// attributes, ids mapped.
    ///
    /// - Parameter maps: the user namespaces that map ids; the caller frees them.
    func prepareBinds(_ maps: inout MapNamespaces) throws(LaunchError) -> [FileDescriptor] {
        var binds: [FileDescriptor] = []
        do throws(LaunchError) {
            let root = try rootPlan
            binds.append(try prepare(root, &maps))
            for mount in mounts where mount.isBind { binds.append(try prepare(mount, &maps)) }
            if hasInit { binds.append(try prepareInit(&maps)) }
            return binds
        } catch {
            for bind in binds { close(bind) }
            throw error
        }
    }

    /// How many trees ``prepareBinds(_:)`` makes.
    var bindCount: Int { mounts.count { $0.isBind } + (hasInit ? 2 : 1) }

    private var rootPlan: MountPlan {
        get throws(LaunchError) {
            // A container's root is what the specification says: it becomes read-only when all mounts have found their
            // places in it.
            if runtime != nil {
                return try MountPlan(
                    Mount(destination: "/", type: "bind", source: rootPath, options: ["rbind"]), recursing: false)
            }
            var options = ["rbind", "nosuid", "nodev", "idmap"]
            if rootReadOnly { options.append("ro") }
            return try MountPlan(Mount(destination: "/", type: "bind", source: rootPath, options: options))
        }
    }

    /// Carrel's own program through a read-only mount: not even its owner can write it by /proc/1/exe (CVE-2019-5736).
    private var initPlan: MountPlan {
        get throws(LaunchError) {
            try MountPlan(
                Mount(destination: "carrel-init", type: "bind", source: initPath, options: ["ro", "nosuid", "nodev"]))
        }
    }

    /// A container's lies on a mount that has no descriptor any more, and so cannot be changed by whoever reaches the program,
    /// not even with `CAP_SYS_ADMIN` (mount_setattr(2)). A session's has no one with such rights in there.
    private func prepareInit(_ maps: inout MapNamespaces) throws(LaunchError) -> FileDescriptor {
        let tree = try prepare(initPlan, &maps)
        if runtime == nil { return tree }
        defer { close(tree) }
        return try during(.binds, "dev.carrel.init") { () throws(SystemError) in
            try open("/proc/self/fd/\(tree.rawValue)", O_PATH)
        }
    }

    /// How mounts that say nothing of it get events from the host: a session's get none. What is cloned in the host's mount
    /// namespace would otherwise be shared with it, as all is under systemd: pivot_root(2) refuses such a root, and what the
    /// session mounts would be on the host, too (mount_namespaces(7)).
    var inheritedPropagation: MountPropagation {
        guard runtime != nil else { return .private }
        return switch spec.linux?.rootfsPropagation {
        case "private", "rprivate", "unbindable", "runbindable": .private
        default: .slave
        }
    }

    private func prepare(_ mount: MountPlan, _ maps: inout MapNamespaces) throws(LaunchError) -> FileDescriptor {
        let namespace = try maps.namespace(for: mount)
        do throws(SystemError) {
            return try mount.make(userNamespace: namespace, inherited: inheritedPropagation)
        } catch {
            // A filesystem without id-mapped mounts, or one that is id-mapped already (mount_setattr(2)).
            if runtime == nil, mount.wantsContainerIDs, namespace != nil,
                error.errno == .invalidArgument || error.errno == .notPermitted
            {
                return try during(.binds, mount.destination) { () throws(SystemError) in
                    try mount.make(userNamespace: nil, inherited: inheritedPropagation)
                }
            }
            let advice =
                namespace != nil && error.call == "mount_setattr"
                ? "mount \(mount.destination): the filesystem of its source has no id-mapped mounts"
                : "mount \(mount.destination)"
            throw LaunchError(.binds, error, advice)
        }
    }

    /// The container's own filesystems (proc, tmpfs, devpts, mqueue...), detached, in the specification's order.
    func makeFilesystems() throws(LaunchError) -> [FileDescriptor] {
        var made: [FileDescriptor] = []
        for mount in mounts where mount.isOwn {
            made.append(
                try during(.filesystems, "mount \(mount.destination)") { () throws(SystemError) in
                    try mount.make(userNamespace: nil)
                })
        }
        return made
    }

    /// Whether the child makes all mounts itself.
    var makesAllInOrder: Bool { runtime != nil && !parentBinds && !hasUserNamespace }

    /// The root and all mounts, made one after the other as the specification lists them: mountinfo shows them so.
    ///
    /// - Returns: what ``makeFilesystems()`` and ``prepareBinds(_:)`` give.
    func makeAllInOrder() throws(LaunchError) -> (own: [FileDescriptor], binds: [FileDescriptor]) {
        var maps = MapNamespaces(container: nil, canMap: false)
        defer { maps.free() }
        let root = try rootPlan
        var binds = [try prepare(root, &maps)]
        var own: [FileDescriptor] = []
        for mount in mounts {
            if mount.isBind {
                binds.append(try prepare(mount, &maps))
            } else if mount.isOwn {
                own.append(
                    try during(.filesystems, "mount \(mount.destination)") { () throws(SystemError) in
                        try mount.make(userNamespace: nil)
                    })
            }
        }
        if hasInit { binds.append(try prepareInit(&maps)) }
        return (own, binds)
    }

    /// Attaches the root, then every mount to its place in it, in the specification's order.
    ///
    /// - Returns: the root, and carrel-init, where that is PID 1.
    func assemble(
        own: [FileDescriptor], binds: [FileDescriptor]
    ) throws(LaunchError) -> (root: RootAssembly, initProgram: FileDescriptor?) {
        guard binds.count == bindCount else {
            throw LaunchError(.mounts, nil, "the parent sent \(binds.count) trees")
        }
        let root = try during(.mounts) { () throws(SystemError) in
            try RootAssembly(tree: binds[0], over: namespaces.contains(.mount) ? "/" : rootPath)
        }
        var own = own[...]
        var binds = binds[1...]
        var finished: [(MountPlan, FileDescriptor)] = []
        for mount in mounts {
            try during(.mounts, "mount \(mount.destination)") { () throws(SystemError) in
                if case .remount = mount.source { return try root.remount(mount) }
                let tree = mount.isBind ? binds.removeFirst() : own.removeFirst()
                let mode = try Syscalls.status(tree).st_mode
                let isDirectory = mode & S_IFMT == S_IFDIR
                if mount.copiesUp { try root.copyUp(mount.destination, to: tree) }
                let followingLinks = mount.isBind || runtime != nil && !mount.isKernelView
                try root.attach(
                    tree, at: mount.destination, isDirectory: isDirectory, followingLinks: followingLinks,
                    makingTargets: runtime != nil)
                if runtime != nil && mount.isOwn { finished.append((mount, tree)) } else { close(tree) }
            }
        }
        for (mount, tree) in finished {
            try during(.mounts, "mount \(mount.destination)") { () throws(SystemError) in try mount.finish(tree) }
            close(tree)
        }
        let initProgram = binds.popFirst()
        if let initProgram, runtime == nil { root.leave(initProgram) }
        return (root, initProgram)
    }

    // MARK: What the namespaces hold

    /// The names and the sysctls of the container's namespaces.
    func setKernelNames() throws(LaunchError) {
        // An empty one is none: it would be that of a namespace that the container shares.
        if let name = spec.hostname, !name.isEmpty {
            try during(.network) { () throws(SystemError) in
                try checking("sethostname", name) { sethostname(name, name.utf8.count) }
            }
        }
        if let name = spec.domainname, !name.isEmpty {
            try during(.network) { () throws(SystemError) in
                try checking("setdomainname", name) { setdomainname(name, name.utf8.count) }
            }
        }
        try setSysctls()
    }

    /// Sets the specification's values of the kernel in the caller's namespaces.
    func setSysctls() throws(LaunchError) {
        for (key, value) in spec.linux?.sysctl ?? [:] {
            let path = "sys/" + key.split(whereSeparator: { $0 == "." || $0 == "/" }).joined(separator: "/")
            try during(.network, "sysctl \(key)") { () throws(SystemError) in
                try withProc { proc throws(SystemError) in
                    let file = try open(path, O_WRONLY, in: proc, [.beneath, .noCrossing, .noSymlinks])
                    defer { close(file) }
                    try writeAll(value.utf8, to: file, named: path)
                }
            }
        }
    }

    /// Sets the child's `oom_score_adj`, where the specification has one, in the host's procfs, which no image can put
    /// something else in place of (CVE-2019-16884, CVE-2025-52881).
    func setOutOfMemoryScore(of pid: pid_t) throws(LaunchError) {
        guard let score = process.oomScoreAdj else { return }
        try during(.privileges) { () throws(SystemError) in
            try writeControl(String(score), to: "/proc/\(pid)/oom_score_adj")
        }
    }

    /// The same for the caller, while its root is the host's.
    func setOwnOutOfMemoryScore() throws(SystemError) {
        guard let score = process.oomScoreAdj else { return }
        try withProc { proc throws(SystemError) in try setOOMScore(Int(score), proc: proc) }
    }

    func withProc(_ body: (FileDescriptor) throws(SystemError) -> Void) throws(SystemError) {
        let proc = try open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW)
        defer { close(proc) }
        guard try fileSystemKind(proc) == .proc else {
            throw SystemError("verify procfs", "/proc", errno: .invalidArgument)
        }
        try body(proc)
    }

    // MARK: The payload

    /// Whether parent and child meet before pivot_root(2), for hooks.
    var hasHooksBeforePivot: Bool {
        guard runtime != nil, let hooks = spec.hooks else { return false }
        return !(hooks.prestart.isEmpty && hooks.createRuntime.isEmpty && hooks.createContainer.isEmpty)
    }

    /// What hooks are told of the container; nothing for a session.
    func state(_ status: ContainerState, _ pid: pid_t) -> [UInt8] { runtime?.state.json(status, pid: pid) ?? [] }

    /// Changes to the payload's directory, and verifies that it lies in the root: a descriptor that leaked from the host
    /// would make it unreachable from there (CVE-2024-21626).
    func enterWorkingDirectory() throws(LaunchError) {
        try during(.exec, "the working directory") { () throws(SystemError) in
            try checking("chdir", process.cwd) { chdir(process.cwd) }
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            guard getcwd(&buffer, buffer.count) != nil else { throw SystemError.last("getcwd", process.cwd) }
            guard buffer[0] == 0x2f else { throw SystemError("getcwd", process.cwd, errno: .noSuchFileOrDirectory) }
        }
    }

    var wantsTerminal: Bool { process.terminal }
    var consoleSize: Box? { process.consoleSize }
}

/// Takes on user and group 0 of the new user namespace (setresuid(2)).
func becomeNamespaceRoot() throws(SystemError) {
    try setGroupIDs(0)
    try setUserIDs(0)
}
