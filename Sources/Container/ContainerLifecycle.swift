import Cgroups
import Glibc
import OCISpec
import Syscalls
import SystemPackage

// What is done to a container that is there: start, kill, delete, pause, resume.

extension RuntimeContainer {
    /// Has the payload of a created container executed, and returns when that is done.
    public func start() throws(RuntimeError) {
        let (state, isPaused) = status()
        if state == .created && isPaused { throw RuntimeError("cannot start a paused container") }
        guard state == .created else {
            throw RuntimeError(
                state == .stopped
                    ? "cannot start a container that has stopped" : "cannot start an already running container")
        }
        let hooks = record.hasHooks ? try spec().hooks : nil
        let answer = try telling("container \(id)") { () throws(SystemError) in
            let gate = try connectLocally(ContainerDirectory.gate, in: directory.descriptor)
            defer { Syscalls.close(gate) }
            try send([Message.start.rawValue], over: gate)
            // Closed by execve(2); before that it has told what failed.
            return try receive(from: gate).bytes
        }
        if answer.first == Message.failure.rawValue {
            throw RuntimeError("container \(id): \(LaunchError(bytes: Array(answer.dropFirst())))")
        }
        try telling("container \(id)") { () throws(SystemError) in
            try remove(ContainerDirectory.gate, at: directory.descriptor)
        }
        hasStarted(hooks)
    }

    /// Runs the hooks that follow a start.
    func hasStarted(_ hooks: Hooks?) {
        // The lock goes: a hook may ask for something to be done to the container.
        _ = flock(directory.descriptor.rawValue, LOCK_UN)
        runFollowingHooks(hooks?.poststart ?? [], "poststart", state: hookState(.running, pid: record.pid))
    }

    /// Sends a signal to the container's process, or to all processes of the container.
    public func kill(_ signal: Int32, all: Bool = false) throws(RuntimeError) {
        let process = openProcess()
        defer { if let process { Syscalls.close(process) } }
        // Without a PID namespace of its own the rest lives on when the first process is killed.
        let everything = all || signal == SIGKILL && !hasOwnProcessIDs
        guard let process else {
            if everything, let left = try? cgroup()?.processes(), !left.isEmpty {
                try signalAll(signal)
                return
            }
            // All of none: containerd's shim asks for it behind each end of a container without a PID namespace.
            if all { return }
            throw RuntimeError("container not running")
        }
        if everything, try signalAll(signal) { return }
        if all {
            throw RuntimeError("container \(id) has no cgroup to find its processes by: try without --all")
        }
        do throws(SystemError) {
            try pidfdSendSignal(process, signal)
        } catch {
            if error.errno == .noSuchProcess { throw RuntimeError("container not running") }
            throw RuntimeError("container \(id): \(error)")
        }
    }

    private var hasOwnProcessIDs: Bool {
        guard let namespaces = try? spec().linux?.namespaces else { return true }
        return namespaces.contains { $0.type == .pid && ($0.path ?? "").isEmpty }
    }

    /// - Returns: whether there is a cgroup to find them by.
    @discardableResult
    private func signalAll(_ signal: Int32) throws(RuntimeError) -> Bool {
        try telling("container \(id)") { () throws(CgroupError) in
            guard let cgroup = try cgroup() else { return false }
            if signal == SIGKILL {
                try cgroup.kill()
                return true
            }
            for pid in try cgroup.processes() where pid > 0 {
                // Whatever has the number by then is signalled only if it is still in the container.
                guard let process = try? pidfdOpen(pid) else { continue }
                defer { Syscalls.close(process) }
                if try cgroup.processes().contains(pid) { try? pidfdSendSignal(process, signal) }
            }
            return true
        }
    }

    /// Holds all processes of the container still.
    public func pause() throws(RuntimeError) {
        let (state, isPaused) = status()
        guard state == .running || state == .created, !isPaused else {
            throw RuntimeError("container not running or created: \(isPaused ? "paused" : state.rawValue)")
        }
        let cgroup = try ownCgroup()
        try telling("container \(id)") { () throws(CgroupError) in try cgroup.freeze() }
    }

    /// Lets them go on.
    public func resume() throws(RuntimeError) {
        guard status().isPaused else { throw RuntimeError("container not paused") }
        let cgroup = try ownCgroup()
        try telling("container \(id)") { () throws(CgroupError) in try cgroup.thaw() }
    }

    /// Takes a container away that has stopped, or was never started: its cgroup, its directory; then its hooks run.
    ///
    /// - Parameters:
    ///   - force: ends it first, whatever it does.
    ///   - poststop: its hooks, where the caller knows them; otherwise its configuration is read.
    public func delete(force: Bool, poststop: [Hook]? = nil) throws(RuntimeError) {
        var container = self
        container.opened = try? cgroup()
        try container.takeAway(force: force, poststop)
    }

    private func takeAway(force: Bool, _ poststop: [Hook]?) throws(RuntimeError) {
        let (state, isPaused) = status()
        switch state {
        case .running where !force, .creating where !force:
            throw RuntimeError(
                "cannot delete container \(id) that is not stopped: \(isPaused ? "paused" : state.rawValue)")
        case .running, .creating, .created: try end()
        case .stopped: break
        }
        let hooks = poststop ?? (record.hasHooks ? (try? spec())?.hooks?.poststop : nil) ?? []
        try telling("container \(id)") { () throws(CgroupError) in try removeCgroup() }
        removeMounts()
        try directory.remove()
        runFollowingHooks(hooks, "poststop", state: hookState(.stopped, pid: nil))
    }

    /// Kills the container's process, and waits until it is gone.
    private func end() throws(RuntimeError) {
        guard let process = openProcess() else { return }
        defer { Syscalls.close(process) }
        try telling("container \(id)") { () throws(SystemError) in
            try? pidfdSendSignal(process, SIGKILL)
            // A frozen process of v1 dies only once it is thawed.
            try? cgroup()?.thaw()
            guard try poll([(process, .readable)], timeout: 10_000)[0].contains(.readable) else {
                throw SystemError("kill", String(record.pid), errno: .timedOut)
            }
        }
    }

    /// Unmounts what a container in the host's mount namespace was assembled on.
    func removeMounts() {
        guard let before = record.mountsBelow else { return }
        while mountCount(at: record.rootfs) > before {
            do throws(SystemError) { try detachMount(record.rootfs) } catch { return }
        }
    }
}
