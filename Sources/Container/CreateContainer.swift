import Cgroups
import Documents
import Glibc
import OCISpec
import Privileges
import Seccomp
import Syscalls
import SystemPackage

/// What `create` and `run` are asked for.
public struct CreateRequest: Sendable {
    /// The container's name.
    public var id: String
    /// The directory of `config.json`.
    public var bundle = "."
    /// A file that gets the number of the container's process.
    public var pidFile: String?
    /// A Unix socket that gets the terminal.
    public var consoleSocket: String?
    /// How many descriptors beyond the standard three the payload keeps.
    public var preservedDescriptors: Int32 = 0
    /// Whether the root is changed by pivot_root(2).
    public var pivots = true
    /// Whether the container has a session keyring of its own.
    public var makesKeyring = true
    /// Who makes its cgroup.
    public var cgroupManager = CgroupManager.cgroupfs
    /// Whether the container waits for `start`; otherwise its payload runs when this returns.
    public var waits = true
    /// Gives the way out of the network that `dev.carrel.egress` asks for, to a container with these annotations.
    public var openDoor:
        @Sendable (_ id: String, _ annotations: [String: String]) throws(RuntimeError) -> any ContainerDoor =
            { (_, _) throws(RuntimeError) in
                throw RuntimeError("annotations: dev.carrel.egress: there is no gateway here")
            }
    /// Whether the caller gets the terminal, where there is no `consoleSocket`.
    public var takesTerminal = false

    /// A request for the container `id`.
    public init(id: String) { self.id = id }
}

extension RuntimeRoot {
    /// Makes a container from a bundle: everything but the start of its payload.
    ///
    /// When it throws, nothing is left. When its process is killed, the container's process ends itself, and what is left
    /// is a directory that `delete` takes away with all that the record names.
    ///
    /// - Returns: the container, with its terminal where `takesTerminal` asks for it, and its hooks.
    @discardableResult
    public func create(
        _ request: CreateRequest
    ) throws(RuntimeError) -> (
        container: RuntimeContainer, process: FileDescriptor, terminal: FileDescriptor?, hooks: Hooks?
    ) {
        let bundle = try Bundle(request.bundle)
        let spec = bundle.spec
        try Self.check(request, spec.process?.terminal ?? false)
        try Self.check(spec.annotations)
        let filter = try Self.explained(
            spec, try spec.linux?.seccomp.map { seccomp throws(RuntimeError) in try bundle.filter(seccomp) })
        let door =
            spec.annotations["dev.carrel.egress"] == nil ? nil : try request.openDoor(request.id, spec.annotations)
        let (container, running) = try make(request.id, bundle, request.cgroupManager) {
            container, cgroup throws(RuntimeError) in
            try container.launch(request, bundle, filter, cgroup, door)
        }
        return (container, running.process, running.terminal, spec.hooks)
    }

    /// Makes what is there of a container beside its processes: its directory with the record, and its cgroup; then `body`
    /// makes those. When that throws, nothing is left.
    func make<Result>(
        _ id: String, _ bundle: Bundle, _ manager: CgroupManager,
        _ body: (inout RuntimeContainer, Cgroup?) throws(RuntimeError) -> Result
    ) throws(RuntimeError) -> (RuntimeContainer, Result) {
        let spec = bundle.spec
        let directory = try claim(id)
        var container = RuntimeContainer(
            directory: directory,
            record: ContainerRecord(
                id: id, bundle: bundle.path, rootfs: spec.root?.path ?? "", annotations: spec.annotations))
        do throws(RuntimeError) {
            try container.placeCgroup(spec, manager)
            if spec.sharesCallersMounts {
                container.record.mountsBelow = mountCount(at: container.record.rootfs)
            }
            container.record.hasHooks = !(spec.hooks?.poststart ?? []).isEmpty || !(spec.hooks?.poststop ?? []).isEmpty
            try container.record.write(directory)
            try telling("container \(id)") { () throws(SystemError) in
                try replaceFile(ContainerDirectory.configuration, with: bundle.bytes, at: directory.descriptor)
            }
            let (cgroup, sleeper) = try container.makeCgroup(spec)
            container.opened = cgroup
            // It keeps a scope of systemd's, until the container's own process is in there.
            defer { sleeper?.end() }
            let result = try body(&container, cgroup)
            return (container, result)
        } catch {
            container.abandon(spec)
            throw error
        }
    }

    /// Refuses what begins as Carrel's own annotations do and is none of them: a control that is misspelt would hold nothing.
    static func check(_ annotations: [String: String]) throws(RuntimeError) {
        let known = Extensions.runtimeControls + Extensions.labels
        for key in annotations.keys.sorted() where key.hasPrefix("dev.carrel.") && !known.contains(key) {
            throw RuntimeError("annotations: \(key): expected one of \(known.joined(separator: ", "))")
        }
    }

    /// The filter with its refusals put to the agent, where `dev.carrel.explain` asks for it.
    private static func explained(_ spec: Spec, _ filter: FilterProgram?) throws(RuntimeError) -> FilterProgram? {
        guard try spec.explains() else { return filter }
        func refusal(_ why: String) -> RuntimeError { RuntimeError("annotations: dev.carrel.explain: \(why)") }
        guard let filter else { throw refusal("expected a filter, linux.seccomp, found none") }
        guard !filter.flags.contains(.listener) else {
            throw refusal("linux.seccomp.listenerPath has the filter's one listener already")
        }
        return filter.asking(.refused)
    }

    private static func check(_ request: CreateRequest, _ wantsTerminal: Bool) throws(RuntimeError) {
        if wantsTerminal && request.consoleSocket == nil && !request.takesTerminal {
            throw RuntimeError("cannot allocate tty if carrel-oci will detach without setting console socket")
        }
        try requireTerminal(wantsTerminal, for: request.consoleSocket)
        try requireOpen(request.preservedDescriptors)
    }

    /// Throws where a terminal that is not made is to be sent.
    static func requireTerminal(_ wantsTerminal: Bool, for consoleSocket: String?) throws(RuntimeError) {
        if !wantsTerminal && consoleSocket != nil {
            throw RuntimeError("cannot use console socket if carrel-oci will not detach or allocate tty")
        }
    }

    /// Throws where one of the `count` descriptors after the standard three is not there to be handed on.
    static func requireOpen(_ count: Int32) throws(RuntimeError) {
        for number in 0..<count where fcntl(3 + number, F_GETFD) < 0 {
            throw RuntimeError("--preserve-fds \(count): descriptor \(3 + number) is not open")
        }
    }
}

extension Spec {
    /// Whether what is mounted for it is mounted where the caller is: without a mount namespace, and in the caller's own by its
    /// path.
    fileprivate var sharesCallersMounts: Bool {
        guard let namespace = linux?.namespaces.first(where: { $0.type == .mount }) else { return true }
        guard let path = namespace.path, !path.isEmpty else { return false }
        var joined = JoinedNamespaces()
        defer { joined.close() }
        return (try? joined.add(.mount, path)) != nil && (try? joined.isOwn(.mount)) ?? false
    }

    /// Whether refused calls are to be explained (`dev.carrel.explain`).
    fileprivate func explains() throws(RuntimeError) -> Bool {
        try telling("annotations") { () throws(ControlError) in
            try isSet(annotations["dev.carrel.explain"], "dev.carrel.explain")
        }
    }
}

extension RuntimeContainer {
    /// Starts the container's process, and returns when that waits for its start, or runs.
    fileprivate mutating func launch(
        _ request: CreateRequest, _ bundle: Bundle, _ filter: FilterProgram?, _ cgroup: Cgroup?,
        _ door: (any ContainerDoor)?
    ) throws(RuntimeError) -> RunningContainer {
        var spec = bundle.spec
        if let door { spec.add(door) }
        spec.linux?.cgroupsPath = record.cgroup
        let console = try request.consoleSocket.map { path throws(RuntimeError) in
            try telling("--console-socket") { () throws(SystemError) in try connectLocal(to: path) }
        }
        let gate =
            request.waits
            ? try telling("container \(id)") { () throws(SystemError) in
                try listenLocally(ContainerDirectory.gate, in: directory.descriptor, backlog: 16)
            } : nil
        let state = State(
            ociVersion: spec.ociVersion, id: id, status: .creating, bundle: bundle.path, annotations: spec.annotations)
        var options = RuntimeOptions(gate: gate, state: state)
        options.pivots = request.pivots
        options.makesKeyring = request.makesKeyring
        if try spec.explains() {
            options.listener = try telling("annotations: dev.carrel.explain: start carrel seccomp agent first") {
                () throws(SystemError) in try connectLocal(to: explainSocket)
            }
        } else if let path = spec.linux?.seccomp?.listenerPath, !path.isEmpty {
            options.listener = try telling("linux.seccomp.listenerPath") { () throws(SystemError) in
                try connectLocal(to: path)
            }
        }
        let entry = try telling("cgroup") { () throws(CgroupError) in try cgroup?.entry() }
        var launch = LaunchRequest(
            spec: spec, extensions: Extensions(annotations: spec.annotations), cgroup: entry, filter: filter,
            initPath: "",
            passedDescriptors: (0..<request.preservedDescriptors).map { FileDescriptor(rawValue: 3 + $0) })
        launch.extensions.listeners = door?.listeners ?? []
        launch.runtime = options
        var record = record
        let place = directory
        let running: RunningContainer
        do {
            running = try Container.launch(
                launch,
                serving: { opened in
                    defer { for listener in opened { Syscalls.close(listener) } }
                    let process = try pidfdOpen(record.pid)
                    defer { Syscalls.close(process) }
                    try door?.serve(opened, process: process)
                },
                meanwhile: { pid in
                    try record.take(pid, place, pidFile: request.pidFile)
                })
        } catch let error as RuntimeError {
            throw error
        } catch let error as LaunchError {
            // Where the cgroup was there before, so may the kills have been.
            let isShort = !record.keepsCgroup && cgroup?.oomKills() ?? 0 > 0
            let advice = isShort ? ": the memory limit is too low for its start" : ""
            throw RuntimeError("container \(id): \(error)\(advice)")
        } catch {
            throw RuntimeError("container \(id): \(error)")
        }
        self.record = record
        entry?.close()
        if let console, let terminal = running.terminal {
            do throws(SystemError) {
                try send(Array("/dev/ptmx".utf8), descriptors: [terminal], over: console)
            } catch {
                try? pidfdSendSignal(running.process, SIGKILL)
                throw RuntimeError("--console-socket: \(error)")
            }
        }
        for descriptor in [console, gate, options.listener].compactMap({ $0 }) { Syscalls.close(descriptor) }
        return running
    }

    /// Takes away what a failed `create` made, and runs the hooks that follow a container's end.
    fileprivate func abandon(_ spec: Spec) {
        try? removeCgroup()
        removeMounts()
        try? directory.remove()
        directory.close()
        runFollowingHooks(spec.hooks?.poststop ?? [], "poststop", state: hookState(.stopped, pid: nil))
    }

    /// The state that hooks are told.
    func hookState(_ status: ContainerState, pid: pid_t?) -> [UInt8] {
        State(id: id, status: status, bundle: record.bundle, annotations: record.annotations).json(status, pid: pid)
    }
}
