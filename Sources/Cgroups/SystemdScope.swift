import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// A transient scope: a cgroup that systemd makes, knows and hands over (`Delegate=`), as the kubelet's default driver and
/// podman's on hosts of systemd want it. systemd.scope(5), org.freedesktop.systemd1(5).
public struct SystemdScope: Sendable, Equatable {
    /// The slice that it is in, for example `machine.slice`.
    public let slice: String
    /// The unit, for example `libpod-0a1b.scope`.
    public let unit: String

    /// Reads `SLICE:PREFIX:NAME`, as runc and crun have it; an empty slice is `system.slice`, or `user.slice` for a user.
    ///
    /// - Throws: ``CgroupError/invalidPath(_:reason:)``.
    public init(_ text: String, isSystem: Bool) throws(CgroupError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, !parts[2].isEmpty else {
            throw .invalidPath(text, reason: "with systemd, expected SLICE:PREFIX:NAME")
        }
        slice = parts[0].isEmpty ? isSystem ? "system.slice" : "user.slice" : parts[0]
        unit = (parts[1].isEmpty ? "" : parts[1] + "-") + parts[2] + ".scope"
        guard slice.hasSuffix(".slice"), Self.isUnitName(slice), Self.isUnitName(unit) else {
            throw .invalidPath(text, reason: "expected names of units of up to 255 of A-Z a-z 0-9 : - _ . \\ @")
        }
    }

    /// A scope that is known by the name of its unit.
    public init(unit: String) {
        slice = ""
        self.unit = unit
    }

    /// systemd.unit(5): the characters of a unit's name.
    private static func isUnitName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || ":-_.\\@".utf8.contains(byte)
            }
    }

    /// The manager's own socket: the system's, or that of the user of this runtime directory.
    public static func socket(runtimeDirectory: String) -> String { "\(runtimeDirectory)/systemd/private" }

    /// Has systemd make the scope around a process that sleeps, and gives where it is.
    ///
    /// A scope cannot be empty when it is made (systemd.scope(5)). The sleeper keeps it until the container's process is in
    /// it, so that this is cloned straight into its place.
    ///
    /// - Parameter socket: the manager's.
    /// - Returns: the path from the top of the v2 tree, or of systemd's own hierarchy; and the sleeper, to be killed.
    public func start(
        _ limits: CgroupLimits, of mode: CgroupMode, at socket: String, description: String
    ) throws(CgroupError) -> (path: String, sleeper: ScopeSleeper) {
        var systemd = try SystemdConnection(socket)
        defer { systemd.close() }
        let sleeper = try ScopeSleeper()
        do throws(CgroupError) {
            var body = BusWriter()
            body.put(unit)
            body.put("fail")
            body.put(
                properties: [
                    ("Description", .text(description)), ("Slice", .text(slice)),
                    ("PIDs", .numbers([UInt32(sleeper.pid)])), ("Delegate", .boolean(true)),
                    ("DefaultDependencies", .boolean(false)), ("CollectMode", .text("inactive-or-failed")),
                    ("CPUAccounting", .boolean(true)), ("MemoryAccounting", .boolean(true)),
                    ("TasksAccounting", .boolean(true)), ("IOAccounting", .boolean(mode == .unified)),
                ] + Self.properties(limits, mode))
            body.array(of: 8) { _ in }
            try systemd.runJob("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
            return (try sleeper.cgroup(), sleeper)
        } catch {
            sleeper.end()
            throw error
        }
    }

    /// Tells systemd of limits that change, which it would else undo when it next writes them.
    public func update(_ limits: CgroupLimits, of mode: CgroupMode, at socket: String) throws(CgroupError) {
        let properties = Self.properties(limits, mode)
        if properties.isEmpty { return }
        var systemd = try SystemdConnection(socket)
        defer { systemd.close() }
        var body = BusWriter()
        body.put(unit)
        body.put(UInt32(1))
        body.put(properties: properties)
        try systemd.call("SetUnitProperties", "sba(sv)", body)
    }

    /// Has systemd take the scope away; one that is gone, as an empty one is, is no error.
    public func stop(at socket: String) {
        guard var systemd = try? SystemdConnection(socket) else { return }
        defer { systemd.close() }
        var body = BusWriter()
        body.put(unit)
        body.put("replace")
        try? systemd.runJob("StopUnit", "ss", body)
    }

    /// The limits that systemd knows itself, by its names for them (systemd.resource-control(5)).
    static func properties(_ limits: CgroupLimits, _ mode: CgroupMode) -> [(String, BusValue)] {
        var found: [(String, BusValue)] = []
        func add(_ name: String, _ value: UInt64?) {
            if let value { found.append((name, .number(value))) }
        }
        // UInt64.max is "infinity" for both.
        add(mode == .unified ? "MemoryMax" : "MemoryLimit", limits.memoryMax)
        if mode == .unified {
            add("MemoryHigh", limits.memoryHigh)
            add("MemoryLow", limits.memoryLow)
            add("MemorySwapMax", limits.swapMax)
            add("CPUWeight", limits.cpuWeight ?? limits.cpuShares.map { weight(ofShares: $0) })
        } else {
            add("CPUShares", limits.cpuShares)
        }
        add("TasksMax", limits.pidsMax)
        if let quota = limits.cpuQuota {
            let period = limits.cpuPeriod ?? 100_000
            // Microseconds in each second, in whole tens of milliseconds, as systemd divides them.
            let (scaled, overflows) = quota.multipliedReportingOverflow(by: 1_000_000)
            let perSecond = scaled / max(period, 1)
            let isUnlimited = quota == CgroupLimits.unlimited || overflows
            add("CPUQuotaPerSecUSec", isUnlimited ? UInt64.max : (perSecond + 9_999) / 10_000 * 10_000)
        }
        return found
    }
}

/// A process that does nothing, for as long as the caller lives.
public struct ScopeSleeper: Sendable {
    let pid: pid_t
    private let process: FileDescriptor

    init() throws(CgroupError) {
        (pid, process) = try kernel { () throws(SystemError) -> (pid_t, FileDescriptor) in
            switch try cloneProcess() {
            case .child:
                try? setParentDeathSignal(SIGKILL)
                while true { pause() }
            case .parent(let pid, let descriptor): return (pid, descriptor)
            }
        }
    }

    /// Where it is in the v2 tree; where systemd does not use that, in systemd's own hierarchy.
    func cgroup() throws(CgroupError) -> String {
        let lines = try read("/proc/\(pid)/cgroup").split(separator: "\n").map { line in
            line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        }
        func path(_ isIt: (Substring) -> Bool) -> String? {
            lines.first { $0.count == 3 && isIt($0[1]) }.map { String($0[2]) }
        }
        let unified = path { $0.isEmpty }
        // Where systemd keeps its own hierarchy on v1, the v2 tree is as it found it.
        if let unified, unified.hasSuffix(".scope") { return unified }
        return path { $0 == "name=systemd" } ?? unified ?? "/"
    }

    /// Ends it.
    public func end() {
        try? pidfdSendSignal(process, SIGKILL)
        _ = try? wait(for: pid)
        Syscalls.close(process)
    }
}
