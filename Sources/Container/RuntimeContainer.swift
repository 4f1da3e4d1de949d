import Cgroups
import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// A container of the OCI runtime that is known by its directory.
public struct RuntimeContainer {
    let directory: ContainerDirectory
    var record: ContainerRecord
    /// Its cgroup, where that was looked for already.
    var opened: Cgroup?

    /// Its name.
    public var id: String { record.id }

    /// The container of this name.
    ///
    /// - Parameter locking: keeps other commands from changing it, until `close()`.
    /// - Throws: `RuntimeError` where there is none.
    public static func find(
        _ id: String, in root: RuntimeRoot, locking: Bool = false
    ) throws(RuntimeError) -> RuntimeContainer {
        guard let directory = try root.find(id, locking: locking) else {
            throw RuntimeError("container does not exist: \(id)")
        }
        do throws(RuntimeError) {
            return RuntimeContainer(directory: directory, record: try ContainerRecord.read(directory))
        } catch {
            directory.close()
            throw error
        }
    }

    /// Gives it back.
    public func close() { directory.close() }

    /// Its configuration, as it was when it was made.
    func spec() throws(RuntimeError) -> Spec {
        let bytes = try telling("container \(id)") { () throws(SystemError) in
            try readFile(ContainerDirectory.configuration, at: directory.descriptor)
        }
        return try telling("container \(id)") { () throws(Problems) in
            try Spec(try Node.parse(bytes, file: "config.json"), file: "config.json")
        }
    }

    // MARK: Its process

    /// A descriptor of its PID 1; `nil` where that has ended. The number alone may be another process's by now: the
    /// descriptor is opened first and counts only if the process was started when the container's was.
    func openProcess() -> FileDescriptor? {
        guard record.pid > 0, let process = try? pidfdOpen(record.pid) else { return nil }
        let ended = (try? poll([(process, .readable)], timeout: 0)[0].contains(.readable)) ?? true
        guard !ended, startTime(of: record.pid) == record.pidStarted else {
            Syscalls.close(process)
            return nil
        }
        return process
    }

    /// Where it is in its life, and whether it is held still (`paused`).
    public func status() -> (state: ContainerState, isPaused: Bool) {
        guard let process = openProcess() else { return (isBeingMade ? .creating : .stopped, false) }
        Syscalls.close(process)
        if isWaiting && isBeingMade { return (.creating, false) }
        return (isWaiting ? .created : .running, (try? cgroup()?.isFrozen()) ?? false)
    }

    /// Whether its `create` still runs, and holds the lock.
    private var isBeingMade: Bool {
        guard record.pid == 0 || isWaiting else { return false }
        guard let own = try? open(".", O_RDONLY | O_DIRECTORY, at: directory.descriptor) else { return false }
        defer { Syscalls.close(own) }
        return record.pid == 0 && flock(own.rawValue, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    /// Whether it waits for its start: the socket is there and someone listens. One that connects and says nothing is
    /// nothing to the one who waits.
    private var isWaiting: Bool {
        guard exists(ContainerDirectory.gate, at: directory.descriptor) else { return false }
        do throws(SystemError) {
            Syscalls.close(
                try connectLocally(ContainerDirectory.gate, in: directory.descriptor, waiting: false))
            return true
        } catch {
            // One that is held still takes nobody, and those who asked before wait.
            return error.errno == .resourceTemporarilyUnavailable
        }
    }

    /// Its cgroup; `nil` where it has none.
    func cgroup() throws(CgroupError) -> Cgroup? {
        if let opened { return opened }
        return record.hasCgroup ? try foundCgroup() : nil
    }

    /// What is where its cgroup is to be, whosever it is.
    func foundCgroup() throws(CgroupError) -> Cgroup? {
        guard let path = record.cgroup else { return nil }
        return try Cgroup.open(CgroupHost.detect(), CgroupPath(oci: path))
    }

    /// The state as the specification has it.
    public var state: State {
        let (status, _) = status()
        return State(
            id: id, status: status, pid: status == .stopped ? nil : record.pid, bundle: record.bundle,
            annotations: record.annotations)
    }
}
