import Cgroups
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// What `restore` is asked for.
public struct RestoreRequest: Sendable {
    /// The container's name.
    public var id: String
    /// The directory of `config.json`.
    public var bundle = "."
    /// The directory that `checkpoint` has written.
    public var images: String
    /// The directory that gets criu's log; `nil`: the same.
    public var work: String?
    /// A file that gets the number of the container's process.
    public var pidFile: String?
    /// Whether the container has a session keyring of its own.
    public var makesKeyring = true
    /// Who makes its cgroup.
    public var cgroupManager = CgroupManager.cgroupfs
    /// What criu is to do beyond.
    public var options = CheckpointOptions()

    /// A request to make the container `id` of the directory `images`.
    public init(id: String, images: String) {
        self.id = id
        self.images = images
    }
}

extension RuntimeRoot {
    /// Makes a container whose processes go on where ``RuntimeContainer/checkpoint(_:)`` has written them down.
    ///
    /// Its mounts, its cgroup and its limits are made by the specification, as for a new one; its processes are made by criu. Before
    /// they run, the container is held against what it was: where a mount, a capability, a filter or a namespace is not as before,
    /// it is killed.
    ///
    /// - Parameter detached: returns when its processes run; otherwise when they have ended.
    /// - Returns: the exit status of its process, or 0.
    public func restore(_ request: RestoreRequest, detached: Bool) throws(RuntimeError) -> Int32 {
        let bundle = try Bundle(request.bundle)
        try Self.check(bundle.spec.annotations)
        try bundle.spec.refuseCheckpoint()
        let images = try ImageDirectory(request.images, "--image-path", making: false)
        defer { images.close() }
        let saved = try CheckpointRecord(in: images.descriptor, images.path)
        if let field = saved.differences(of: bundle.spec).first {
            throw RuntimeError(
                "\(bundle.path)/config.json: \(field) is not what the container of \(images.path) was made with")
        }
        let foreground = detached ? nil : try telling("restore") { () throws(SystemError) in try ForegroundProcess() }
        let (container, process) = try make(request.id, bundle, request.cgroupManager) {
            container, cgroup throws(RuntimeError) in
            // Killed from here on, what it leaves is in the cgroup, and is found by that.
            try container.record.write(container.directory)
            return try container.restore(request, bundle.spec, images, saved, cgroup)
        }
        container.hasStarted(bundle.spec.hooks)
        guard let foreground else {
            container.close()
            return 0
        }
        return try attend(container, process, by: foreground, terminal: nil, hooks: bundle.spec.hooks)
    }
}

extension RuntimeContainer {
    /// Has criu make the processes.
    ///
    /// - Returns: a descriptor of the one at the top.
    fileprivate mutating func restore(
        _ request: RestoreRequest, _ spec: Spec, _ images: ImageDirectory, _ saved: CheckpointRecord, _ cgroup: Cgroup?
    ) throws(RuntimeError) -> FileDescriptor {
        let sources = try MountSources(spec, record)
        defer { sources.close() }
        let work = try request.work.map { path throws(RuntimeError) in
            try ImageDirectory(path, "--work-path", making: true)
        }
        defer { work?.close() }
        let stage = MountSources.stage
        var options = CRIU.Options(
            sources.plan.hasUserNamespace
                ? .path("\(stage)/\(MountSources.images)") : .descriptor(images.descriptor),
            work ?? images, log: "restore.log", request.options)
        options.setRoot("\(stage)/\(MountSources.root)")
        options.prepareRestore()
        for (index, external) in saved.externals.enumerated() {
            options.addExternal("mnt[\(external.point)]:\(stage)/\(MountSources.place(index))")
        }
        let null = try telling("/dev/null") { () throws(SystemError) in try open("/dev/null", O_RDWR) }
        defer { Syscalls.close(null) }
        // Copies, since criu closes what it takes, and sends its own 0 to the helper that it has for threads.
        var passed: [FileDescriptor] = []
        defer { for copy in passed { Syscalls.close(copy) } }
        for (number, key) in saved.descriptors.enumerated()
        where !key.isEmpty && saved.descriptors.firstIndex(of: key) == number {
            // What was nothing stays that: criu takes no file of another kind for it.
            let isOther = saved.nulls.contains(key) && !isNull("/proc/self/fd/\(number)")
            let copy = try telling("descriptor \(number)") { () throws(SystemError) in
                try duplicate(isOther ? null : FileDescriptor(rawValue: Int32(number)))
            }
            passed.append(copy)
            options.inherit(copy, as: key)
        }
        for network in sources.plan.joined.files { options.inherit(network, as: CRIU.networkKey) }

        let entry = try telling("cgroup") { () throws(CgroupError) in try cgroup?.entry() }
        let kept = [images.descriptor] + passed + (work.map { [$0.descriptor] } ?? []) + sources.plan.joined.files
        let criu = try CRIU(in: entry, keeping: kept) { () throws(LaunchError) in
            let plan = sources.plan
            try during(.clone) { () throws(SystemError) in
                try unshareNamespaces(plan.namespaces.intersection(.cgroup).union(.mount))
                let top = try open("/", O_PATH | O_DIRECTORY)
                defer { Syscalls.close(top) }
                try setMountAttributes(top, propagation: .slave, withSubmounts: true, named: "/")
            }
            if request.makesKeyring { try plan.joinKeyring() }
            try plan.setIOPriority()
            try sources.makeStage(saved.externals, images: images.path)
        }
        entry?.close()
        var process: FileDescriptor?
        do throws(RuntimeError) {
            try criu.perform(.restore, options) {
                stage, pid throws(RuntimeError) in
                switch stage {
                case "setup-namespaces":
                    let state = hookState(.creating, pid: pid)
                    try telling("container \(id)") { () throws(LaunchError) in
                        try runHooks(spec.hooks?.prestart ?? [], "prestart", state: state)
                        try runHooks(spec.hooks?.createRuntime ?? [], "createRuntime", state: state)
                    }
                case "post-restore":
                    guard let pid else { throw RuntimeError("criu did not tell which process it has made") }
                    process = try telling("container \(id)") { () throws(SystemError) in try pidfdOpen(pid) }
                    try record.take(pid, directory, pidFile: request.pidFile)
                case CRIU.lastStage:
                    // They have their ids, capabilities and filters back, and have not run yet.
                    do throws(RuntimeError) {
                        if let process { try setSysctls(sources.plan, of: process) }
                        try verify(saved, spec)
                    } catch {
                        killHeld()
                        throw error
                    }
                default: break
                }
            }
            guard let process else { throw RuntimeError("criu did not tell which process it has made") }
            return process
        } catch {
            if let process {
                try? pidfdSendSignal(process, SIGKILL)
                _ = try? poll([(process, .readable)], timeout: 10_000)
                Syscalls.close(process)
            }
            // What criu has begun is this process's child.
            while waitpid(-1, nil, WNOHANG) > 0 {}
            throw error
        }
    }

    /// Kills every process while criu holds it: with criu alone gone, those that are not killed yet would run.
    private func killHeld() {
        for pid in [record.pid] + ((try? processes()) ?? []) {
            guard let process = try? pidfdOpen(pid) else { continue }
            // criu itself is in there. It has to hold them until the last one is killed.
            if (try? readText("/proc/\(pid)/status"))?.contains("\nTracerPid:\t0\n") == false {
                try? pidfdSendSignal(process, SIGKILL)
            }
            Syscalls.close(process)
        }
    }

    /// Sets the specification's values of the kernel again, in the container's namespaces: criu keeps but a few of them.
    private func setSysctls(_ plan: LaunchPlan, of process: FileDescriptor) throws(RuntimeError) {
        if plan.spec.linux?.sysctl.isEmpty ?? true { return }
        let message = try telling("linux.sysctl") { () throws(SystemError) in
            let pair = try socketPair()
            defer { Syscalls.close(pair.0) }
            switch try cloneProcess() {
            case .child:
                do throws(LaunchError) {
                    try during(.network) { () throws(SystemError) in
                        try enterNamespaces([.network, .ipc, .uts], of: process)
                    }
                    try plan.setSysctls()
                    try during(.network) { () throws(SystemError) in try send([0], over: pair.1) }
                } catch {
                    fail(pair.1, error)
                }
                _exit(0)
            case .parent(let pid, let child):
                Syscalls.close(pair.1)
                let bytes = try receive(from: pair.0, limit: 4096).bytes
                _ = try? wait(for: pid)
                Syscalls.close(child)
                return bytes
            }
        }
        if message == [0] { return }
        let why = message.isEmpty ? "it ended by itself" : "\(LaunchError(bytes: Array(message.dropFirst())))"
        throw RuntimeError("linux.sysctl: \(why)")
    }

    /// Holds the container against what it was.
    private func verify(_ saved: CheckpointRecord, _ spec: Spec) throws(RuntimeError) {
        let differences = saved.differences(from: try describe(saved.externals, spec))
        if !differences.isEmpty {
            throw RuntimeError("container \(id) came back with \(differences.joined(separator: "; "))")
        }
        if let network = spec.joinedNetwork {
            let isIt = try telling("container \(id)") { () throws(SystemError) in
                try Syscalls.status(network).st_ino == Syscalls.status("/proc/\(record.pid)/ns/net").st_ino
            }
            if !isIt { throw RuntimeError("container \(id) came back in another network namespace than \(network)") }
        }
        let isInside = try telling("container \(id)") { () throws(CgroupError) in
            try cgroup()?.processes().contains(record.pid) ?? true
        }
        if !isInside {
            throw RuntimeError("container \(id) came back in another cgroup")
        }
    }
}
