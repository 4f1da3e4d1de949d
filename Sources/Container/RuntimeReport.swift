import Cgroups
import Documents
import Glibc
import OCISpec
import Syscalls
import SystemPackage

// What the commands that only look print.

extension RuntimeContainer {
    /// The state of the specification, with what runc adds to it.
    public var report: Node {
        let (state, isPaused) = status()
        let hasProcess = state == .created || state == .running
        return [
            "ociVersion": Node(.string(Spec.version)), "id": Node(.string(id)),
            "pid": Node(.integer(hasProcess ? Int64(record.pid) : 0)),
            "status": Node(.string(isPaused ? "paused" : state.rawValue)), "bundle": Node(.string(record.bundle)),
            "rootfs": Node(.string(record.rootfs)), "created": Node(.string(record.created)),
            "annotations": Node(texts: record.annotations),
            "owner": Node(.string(userName(record.owner))),
        ]
    }

    /// The numbers of its processes, as the caller's PID namespace has them.
    public func processes() throws(RuntimeError) -> [pid_t] {
        try telling("container \(id)") { () throws(CgroupError) in try cgroup()?.processes() ?? [] }.sorted()
    }

    /// What it uses, in the words of `runc events --stats`.
    public func statistics() throws(RuntimeError) -> Node {
        guard status().state == .running, let cgroup = try? cgroup() else {
            throw RuntimeError("container with id \(id) is not running")
        }
        let usage = cgroup.usage()
        func members(_ values: KeyValuePairs<String, Node?>) -> Node {
            Node(.mapping(values.compactMap { key, value in value.map { .init(key: key, value: $0) } }))
        }
        func numbers(_ values: KeyValuePairs<String, UInt64?>) -> Node {
            Node(
                .mapping(values.compactMap { key, value in value.map { .init(key: key, value: Node(.unsigned($0))) } }))
        }
        func pressure(_ pressure: CgroupUsage.Pressure?) -> Node? {
            pressure.map { ["some": numbers(["total": $0.some]), "full": numbers(["total": $0.full])] }
        }
        // What the kernel does not tell is left out: a zero would say that nothing was used.
        return [
            "type": "stats", "id": Node(.string(id)),
            "data": members([
                "cpu": members([
                    "usage": numbers(["total": usage.cpu, "kernel": usage.cpuSystem, "user": usage.cpuUser]),
                    "throttling": numbers([
                        "throttledPeriods": usage.cpuThrottledPeriods, "throttledTime": usage.cpuThrottled,
                    ]), "psi": pressure(usage.cpuPressure),
                ]),
                "memory": members([
                    "cache": cgroup.pageCache().map { Node(.unsigned($0)) },
                    "usage": numbers([
                        "limit": usage.memoryMax ?? UInt64(Int64.max), "usage": usage.memory, "max": usage.memoryPeak,
                        "failcnt": usage.memoryLimitHits,
                    ]), "psi": pressure(usage.memoryPressure),
                ]), "pids": numbers(["current": usage.pids, "limit": usage.pidsMax]),
                "blkio": pressure(usage.ioPressure).map { ["psi": $0] },
            ]),
        ]
    }

    /// Calls `print` with what is used every `interval` seconds, and with each time that the kernel kills for want of
    /// memory, until the container has ended.
    public func follow(interval: Int, _ print: (Node) -> Void) throws(RuntimeError) {
        guard let process = openProcess() else { throw RuntimeError("container with id \(id) is not running") }
        defer { Syscalls.close(process) }
        var watch = try? cgroup()?.watchOutOfMemory()
        while true {
            do throws(RuntimeError) { print(try statistics()) } catch {
                // It may have ended since.
                if (try? poll([(process, .readable)], timeout: 0)[0].contains(.readable)) == true { return }
                throw error
            }
            var waited: [(FileDescriptor, Readiness)] = [(process, .readable)]
            if let watch { waited.append((watch.descriptor, watch.readiness)) }
            let ready = try telling("events") { () throws(SystemError) in try poll(waited, timeout: interval * 1000) }
            // First: it may be what the container has ended of.
            if ready.count > 1, !ready[1].isEmpty, (try? watch?.happened()) ?? false {
                print(["type": "oom", "id": Node(.string(id))])
            }
            if ready[0].contains(.readable) { return }
        }
    }
}

extension RuntimeRoot {
    /// Takes the container `id` away.
    ///
    /// - Parameter force: kills it first; one that there is not is no error.
    public func delete(_ id: String, force: Bool) throws(RuntimeError) {
        if force {
            guard let directory = try find(id) else { return }
            // Killed before the lock is waited for: who holds that may be waiting for a hook.
            if let record = try? ContainerRecord.read(directory) {
                let container = RuntimeContainer(directory: directory, record: record)
                if let process = container.openProcess() {
                    try? pidfdSendSignal(process, SIGKILL)
                    close(process)
                }
            }
            directory.close()
        }
        guard let directory = try find(id, locking: true) else {
            if force { return }
            throw RuntimeError("container does not exist: \(id)")
        }
        defer { directory.close() }
        // Killed before it had written anything: there is nothing else.
        guard exists(ContainerDirectory.record, at: directory.descriptor) else { return try directory.remove() }
        try RuntimeContainer(directory: directory, record: try ContainerRecord.read(directory)).delete(force: force)
    }
}

/// The name of a user, or the number where there is none.
private func userName(_ id: uid_t) -> String {
    guard let text = try? readText("/etc/passwd") else { return String(id) }
    for line in text.split(separator: "\n") {
        let fields = line.split(separator: ":", omittingEmptySubsequences: false)
        if fields.count > 2, fields[2] == String(id) { return String(fields[0]) }
    }
    return String(id)
}

/// The number of a signal by its name, with or without `SIG`, or by its number; `nil` for none.
public func signalNumber(_ text: String) -> Int32? {
    if let number = Int32(text) { return (0...64).contains(number) ? number : nil }
    let name = text.uppercased()
    let bare = name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name
    let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ]
    if let index = names.firstIndex(of: bare) { return Int32(index) + 1 }
    for (prefix, base, sign) in [("RTMIN+", Int32(34), Int32(1)), ("RTMAX-", 64, -1)] where bare.hasPrefix(prefix) {
        if let offset = Int32(bare.dropFirst(6)), (0...30).contains(offset) { return base + sign * offset }
    }
    return ["RTMIN": 34, "RTMAX": 64][bare]
}
