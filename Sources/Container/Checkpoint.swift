import Cgroups
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// What `checkpoint` is asked for.
public struct CheckpointRequest: Sendable {
    /// The directory that gets the container's processes.
    public var images: String
    /// The directory that gets criu's log; `nil`: the same.
    public var work: String?
    /// An earlier `preDumps` of the container, relative to `images`.
    public var parent: String?
    /// Whether the container goes on.
    public var leavesRunning = false
    /// Whether only memory is written, for a later checkpoint to be quicker; the container goes on.
    public var preDumps = false
    /// What criu is to do beyond.
    public var options = CheckpointOptions()

    /// A request to write to the directory `images`.
    public init(images: String) { self.images = images }
}

extension RuntimeContainer {
    /// Writes the container's processes down, for ``RuntimeRoot/restore(_:detached:)`` to make them again; then they end,
    /// unless they are to go on.
    ///
    /// - Throws: `RuntimeError` where it is a container that could not be restored as it is, by the name of what cannot be, and
    ///   where criu fails; it goes on then.
    public func checkpoint(_ request: CheckpointRequest) throws(RuntimeError) {
        let (state, isPaused) = status()
        guard state == .running, let process = openProcess() else {
            throw RuntimeError("cannot checkpoint a container that is \(state.rawValue)")
        }
        defer { Syscalls.close(process) }
        let spec = try spec()
        try spec.refuseCheckpoint()
        let images = try ImageDirectory(request.images, "--image-path", making: true)
        defer { images.close() }
        let work = try request.work.map { path throws(RuntimeError) in
            try ImageDirectory(path, "--work-path", making: true)
        }
        defer { work?.close() }

        let sources = try MountSources(spec, record)
        defer { sources.close() }
        let externals = try sources.externals(of: record.pid)
        let before = try standingStill(isPaused) { () throws(RuntimeError) in try describe(externals, spec) }
        let name = request.preDumps ? "pre-dump.log" : "dump.log"
        var options = CRIU.Options(
            .descriptor(images.descriptor), work ?? images, log: name, request.options)
        options.setProcess(record.pid)
        options.setRoot("/proc/\(record.pid)/root")
        for external in externals { options.addExternal("mnt[\(external.point)]:\(external.point)") }
        for file in before.outside where file.hasPrefix("file[") { options.addExternal(file) }
        if spec.joinedNetwork != nil {
            let inode = try telling("container \(id)") { () throws(SystemError) in
                try Syscalls.status("/proc/\(record.pid)/ns/net").st_ino
            }
            options.addExternal("net[\(inode)]:\(CRIU.networkKey)")
        }
        if isPaused { options.setFrozen(try ownCgroup().directory) }
        if let parent = request.parent { options.setParent(parent) }
        if request.preDumps { options.trackMemory() } else if request.leavesRunning { options.leaveRunning() }
        let criu = try CRIU(keeping: [images.descriptor] + (work.map { [$0.descriptor] } ?? [])) {
            () throws(LaunchError) in
        }
        try criu.perform(request.preDumps ? .preDump : .dump, options) { stage, _ throws(RuntimeError) in
            // All is written, and all still stands.
            guard stage == "post-dump", !request.preDumps else { return }
            let now = try describe(externals, spec)
            guard before.mounts == now.mounts else {
                throw RuntimeError("container \(id) changed its mounts while it was written down: try again")
            }
            try now.write(to: images.descriptor, images.path)
        }
        if request.preDumps || request.leavesRunning { return }
        // Killed by criu, they may take a moment to be gone.
        try telling("container \(id)") { () throws(SystemError) in
            guard try poll([(process, .readable)], timeout: 10_000)[0].contains(.readable) else {
                throw SystemError("checkpoint", String(record.pid), errno: .timedOut)
            }
        }
    }

    /// Looks at it while nothing moves: a shell that redirects has its files elsewhere from one moment to the next.
    private func standingStill<Result>(
        _ isPaused: Bool, _ look: () throws(RuntimeError) -> Result
    ) throws(RuntimeError) -> Result {
        guard !isPaused, let cgroup = try? ownCgroup() else { return try look() }
        try telling("container \(id)") { () throws(CgroupError) in try cgroup.freeze() }
        defer { try? cgroup.thaw() }
        return try look()
    }

    /// What it is now.
    func describe(
        _ externals: [CheckpointRecord.External], _ spec: Spec
    ) throws(RuntimeError) -> CheckpointRecord {
        let members = try processes()
        return try telling("container \(id)") { () throws(SystemError) in
            try CheckpointRecord(of: record.pid, among: members, externals: externals, spec)
        }
    }
}

extension Spec {
    /// Refuses what criu would lose, or cannot make again, by its name.
    func refuseCheckpoint() throws(RuntimeError) {
        func refusal(_ field: String, _ why: String) -> RuntimeError {
            RuntimeError("\(field): a container with \(why) cannot be checkpointed or restored")
        }
        for name in Extensions.runtimeControls
        where name != "dev.carrel.pinnedPaths" && annotations[name] != nil && annotations[name] != "false" {
            throw refusal("annotations: \(name)", "it")
        }
        if process?.terminal ?? false { throw refusal("process.terminal", "a terminal") }
        if linux?.seccomp?.listenerPath?.isEmpty == false {
            throw refusal("linux.seccomp.listenerPath", "a listener to its filter")
        }
        let namespaces = linux?.namespaces ?? []
        for kind in [LinuxNamespaceType.pid, .mount] where !namespaces.contains(where: { $0.type == kind }) {
            throw refusal("linux.namespaces", "the caller's \(kind.rawValue) namespace")
        }
        for namespace in namespaces where namespace.type != .network && !(namespace.path ?? "").isEmpty {
            throw refusal("linux.namespaces", "a \(namespace.type.rawValue) namespace that it has joined")
        }
        for (index, mount) in mounts.enumerated()
        where !mount.uidMappings.isEmpty || mount.options.contains(where: { $0 == "idmap" || $0 == "ridmap" }) {
            throw refusal("mounts[\(index)]", "an id-mapped mount")
        }
    }

    /// The path of the network namespace that it joins.
    var joinedNetwork: String? {
        let path = linux?.namespaces.first { $0.type == .network }?.path ?? ""
        return path.isEmpty ? nil : path
    }
}

/// A directory of criu's files. They hold a container's memory, and say what is run as root: nobody else may write them.
struct ImageDirectory {
    /// Its absolute path.
    let path: String
    let descriptor: FileDescriptor

    /// - Parameters:
    ///   - option: of the command line, which names it.
    ///   - making: makes it where it is missing, for its owner alone.
    init(_ path: String, _ option: String, making: Bool) throws(RuntimeError) {
        let descriptor = try telling(option) { () throws(SystemError) in
            if making { try makeDirectories(path, mode: 0o700) }
            return try open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        }
        do throws(SystemError) {
            let found = try status(descriptor)
            guard found.st_uid == geteuid(), found.st_mode & 0o022 == 0 else {
                throw SystemError("open", path, errno: .permissionDenied)
            }
            self.path = try readLink("/proc/self/fd/\(descriptor.rawValue)")
            self.descriptor = descriptor
        } catch {
            Syscalls.close(descriptor)
            throw RuntimeError(
                "\(option) \(path): expected a directory that only user \(geteuid()) can write: "
                    + "it holds the memory of containers, and what they run")
        }
    }

    func close() { Syscalls.close(descriptor) }
}
