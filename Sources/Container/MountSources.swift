import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// Where the mounts of a container come from that criu takes from outside: the host's trees that its specification binds, the
/// hierarchies of cgroups, and masks. They are not in what criu writes, but are made by the specification again.
struct MountSources {
    private enum Source {
        /// One of the specification's mounts, and the path below it.
        case mount(Int, below: String)
        case mask
        case device(LinuxDevice)
    }

    let plan: LaunchPlan

    /// - Parameters:
    ///   - spec: its sources are absolute.
    ///   - record: the container's, with its cgroup.
    init(_ spec: Spec, _ record: ContainerRecord) throws(RuntimeError) {
        var spec = spec
        spec.linux?.cgroupsPath = record.cgroup
        var request = LaunchRequest(
            spec: spec, extensions: Extensions(annotations: spec.annotations), cgroup: nil, filter: nil, initPath: "")
        let state = State(id: record.id, status: .creating, bundle: record.bundle, annotations: record.annotations)
        request.runtime = RuntimeOptions(gate: nil, state: state)
        plan = try telling("container \(record.id)") { () throws(LaunchError) in try LaunchPlan(request) }
    }

    /// Gives back what it has open.
    func close() { plan.joined.close() }

    /// The mounts of a container that criu has by their places alone.
    ///
    /// - Throws: `RuntimeError` for one that is not the specification's, and so could not be made again.
    func externals(of pid: pid_t) throws(RuntimeError) -> [CheckpointRecord.External] {
        var found: [CheckpointRecord.External] = []
        let table = try telling("") { () throws(SystemError) in try mountTable(of: String(pid)) }
        if let mount = table.first(where: { $0.point.contains("\n") }) {
            throw RuntimeError("mount \(mount.point): a line end in a name is nothing that criu can read")
        }
        let top = table.last { $0.point == "/" }
        let callers = try telling("") { () throws(SystemError) in try mountTable(of: "self") }
        for mount in table where mount.point != "/" && mount.type != "proc" && isExternal(mount, top) {
            guard source(of: mount.point) != nil else {
                throw RuntimeError(
                    "mount \(mount.point) was made by the container, of what is not its own: it cannot be checkpointed")
            }
            if mount.propagation.contains("unbindable") {
                throw RuntimeError("mount \(mount.point): one that is unbindable cannot be checkpointed")
            }
            if let peers = mount.peers, callers.contains(where: { $0.peers == peers }) {
                throw RuntimeError("mount \(mount.point): one that is shared with the caller's cannot be checkpointed")
            }
            if found.contains(where: { $0.point == mount.point }) {
                throw RuntimeError("mounts \(mount.point): two of the host's at one place cannot be checkpointed")
            }
            let place = try telling("mount") { () throws(SystemError) in
                try status("/proc/\(pid)/root\(mount.point)")
            }
            found.append(
                .init(
                    point: mount.point, isDirectory: place.st_mode & S_IFMT == S_IFDIR, options: mount.options))
        }
        return found
    }

    private func isExternal(_ mount: MountEntry, _ top: MountEntry?) -> Bool {
        if mount.type.hasPrefix("cgroup") { return true }
        if case .mount(let index, _) = source(of: mount.point), plan.mounts[index].isBind { return true }
        // A part of a filesystem that begins elsewhere. Of the root's own, criu has the rest.
        guard mount.root != "/" else { return false }
        guard let top, mount.device == top.device else { return true }
        return !(top.root == "/" || mount.root == top.root || mount.root.hasPrefix("\(top.root)/"))
    }

    private func source(of point: String) -> Source? {
        if plan.spec.linux?.maskedPaths.contains(point) ?? false { return .mask }
        let devices = (plan.spec.linux?.devices ?? []) + (plan.makesDevices ? LinuxDevice.usual : [])
        if let device = devices.first(where: { $0.path == point }) { return .device(device) }
        // The last of those that are nearest above it, in which it is.
        let above = plan.mounts.indices.filter {
            point == plan.mounts[$0].destination || point.hasPrefix("\(plan.mounts[$0].destination)/")
        }
        let length = above.map { plan.mounts[$0].destination.utf8.count }.max() ?? 0
        guard let index = above.last(where: { plan.mounts[$0].destination.utf8.count == length }),
            plan.mounts[index].isBind || plan.mounts[index].isCgroup
        else { return nil }
        return .mount(index, below: String(point.dropFirst(plan.mounts[index].destination.count)))
    }

    // MARK: The stage

    /// The directory that is hidden by the stage, for criu alone: what it makes there itself goes with its mount namespace, however
    /// it ends. Its path can be walked by the root of a container's user namespace.
    static let stage = "/tmp"
    /// Where a mount is staged, for criu to find it.
    static func place(_ index: Int) -> String { "mount-\(index)" }
    /// Where the root is.
    static let root = "root"

    /// Where criu's files are for a container with a user namespace: its root reads them, whose ids they have there.
    static let images = "images"

    /// Makes the root and all that criu takes from outside, each a mount of its own with the options that it had, in a tmpfs: in a
    /// mount namespace of the caller's own, behind everything that it joins.
    ///
    /// - Parameter images: the directory of criu's files.
    func makeStage(_ externals: [CheckpointRecord.External], images: String) throws(LaunchError) {
        var maps = MapNamespaces(container: nil, canMap: true)
        defer { maps.free() }
        // All that has a path first: it can be below the directory that is hidden then.
        var binds = try plan.prepareBinds(&maps)
        if plan.hasUserNamespace {
            let files = try MountPlan(
                Mount(
                    destination: Self.images, type: "bind", source: images, options: ["bind", "ro"],
                    uidMappings: plan.spec.linux?.uidMappings ?? [], gidMappings: plan.spec.linux?.gidMappings ?? []),
                recursing: false)
            let map = try maps.namespace(for: files)
            binds.append(
                try during(.binds, images) { () throws(SystemError) in try files.make(userNamespace: map) })
        }
        let (stage, blank) = try during(.filesystems) { () throws(SystemError) in
            let stage = try makeFilesystem(
                "tmpfs", options: [("mode", "1777")], attributes: [.noSetuid, .noDevices, .noExec])
            let place = try open(Self.stage, O_PATH | O_DIRECTORY)
            defer { Syscalls.close(place) }
            try attachMount(stage, to: place, named: Self.stage)
            return (stage, try RootAssembly.makeBlank(LaunchPlan.mountLabel(plan.spec)))
        }
        defer { for tree in binds + [stage, blank] { Syscalls.close(tree) } }
        try attach(binds[0], as: Self.root, in: stage)
        try attach(blank, as: "blank", in: stage)
        if plan.hasUserNamespace { try stageImages(binds[binds.count - 1], in: stage) }
        var trees: [Int: FileDescriptor] = [:]
        for (index, tree) in zip(plan.mounts.indices.filter { plan.mounts[$0].isBind }, binds[1...]) {
            try attach(tree, as: "tree-\(index)", in: stage)
            trees[index] = tree
        }
        try makeMountPoints(in: binds[0], trees)
        for (index, external) in externals.enumerated() {
            let mount = try during(.binds, "mount \(external.point)") { () throws(SystemError) in
                try make(external, trees, blank)
            }
            defer { Syscalls.close(mount) }
            try attach(mount, as: Self.place(index), in: stage)
        }
    }

    /// The files of criu's directory, as links to where the root of the container's user namespace owns them; but for the one that
    /// is opened there before the namespace has its map, when that root is nobody still: a copy, which holds two offsets of clocks.
    private func stageImages(_ files: FileDescriptor, in stage: FileDescriptor) throws(LaunchError) {
        try attach(files, as: "files", in: stage)
        try during(.binds, Self.images) { () throws(SystemError) in
            try makeDirectory(Self.images, mode: 0o711, orExisting: false, at: stage)
            let links = try open(Self.images, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: stage)
            defer { Syscalls.close(links) }
            try checking("fchmod", Self.images) { fchmod(links.rawValue, 0o711) }
            for name in try list(".", at: files) {
                guard name.hasPrefix("timens-") else {
                    try checking("symlinkat", name) { symlinkat("../files/\(name)", links.rawValue, name) }
                    continue
                }
                try replaceFile(name, with: readFile(name, at: files, limit: 4096), at: links)
                try checking("fchmodat", name) { fchmodat(links.rawValue, name, 0o444, 0) }
            }
        }
    }

    /// Makes what the specification's mounts are mounted on, as `create` does: the root need not be the one that it was.
    private func makeMountPoints(
        in root: FileDescriptor, _ trees: [Int: FileDescriptor]
    ) throws(LaunchError) {
        let places = plan.mounts.map(\.destination)
        for (index, place) in places.enumerated()
        where place != "/" && !places.contains(where: { place.hasPrefix("\($0)/") }) {
            try during(.mounts, "mount \(place)") { () throws(SystemError) in
                let isDirectory = try trees[index].map { tree throws(SystemError) in
                    try status(tree).st_mode & S_IFMT == S_IFDIR
                }
                Syscalls.close(
                    try openOrMake(place, in: root, isDirectory: isDirectory ?? true, throughLinks: true))
            }
        }
    }

    private func make(
        _ external: CheckpointRecord.External, _ trees: [Int: FileDescriptor], _ blank: FileDescriptor
    ) throws(SystemError) -> FileDescriptor {
        let mount: FileDescriptor
        switch source(of: external.point) {
        case nil: throw SystemError("mount", external.point, errno: .noSuchFileOrDirectory)
        case .mask:
            mount = try cloneMount(
                RootAssembly.blankName(isDirectory: external.isDirectory), at: blank, withSubmounts: false)
        case .device(let device):
            let node = try RootAssembly.openDevice(device)
            defer { Syscalls.close(node) }
            mount = try cloneMount("", at: node, withSubmounts: false)
        case .mount(let index, let below):
            guard let tree = trees[index] else {
                mount = try plan.mounts[index].make(userNamespace: nil)
                break
            }
            if below.isEmpty {
                mount = try cloneMount("", at: tree, withSubmounts: false)
                break
            }
            // What is below can be the container's to change: no link leads out of it.
            let place = try open(String(below.dropFirst()), O_PATH, in: tree, [.beneath, .noSymlinks])
            defer { Syscalls.close(place) }
            mount = try cloneMount("", at: place, withSubmounts: false)
        }
        let change = MountPlan.change(to: external.options)
        try setMountAttributes(
            mount, setting: change.setting, clearing: change.clearing, withSubmounts: false, named: external.point)
        return mount
    }

    private func attach(_ mount: FileDescriptor, as name: String, in stage: FileDescriptor) throws(LaunchError) {
        try during(.mounts) { () throws(SystemError) in
            if try status(mount).st_mode & S_IFMT == S_IFDIR {
                try makeDirectory(name, mode: 0o700, orExisting: false, at: stage)
            } else {
                Syscalls.close(try open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, at: stage))
            }
            let target = try open(name, O_PATH | O_NOFOLLOW, at: stage)
            defer { Syscalls.close(target) }
            try attachMount(mount, to: target, named: name)
        }
    }
}

extension MountPlan {
    /// Whether it is a hierarchy of cgroups.
    fileprivate var isCgroup: Bool {
        if case .filesystem(let type, _) = source { type.hasPrefix("cgroup") } else { false }
    }
}
