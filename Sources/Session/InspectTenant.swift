import Cgroups
import Documents

/// What the sessions of a tenant use together.
public struct TenantUsage: Sendable, Equatable {
    /// Bytes of memory now; `nil` where the tenant has no cgroup with the memory controller.
    public var memory: Int?
    /// The most bytes since its first session that still runs.
    public var memoryPeak: Int?
    /// Tasks now.
    public var pids: Int?
    /// The most tasks.
    public var pidsPeak: Int?
    /// Sessions now.
    public var sessions = 0

    /// The usage as a document.
    public var node: Node {
        func count(_ value: Int?) -> Node { value.map { Node(.integer(Int64($0))) } ?? nil }
        return [
            "memoryBytes": count(memory), "memoryPeakBytes": count(memoryPeak), "pids": count(pids),
            "pidsPeak": count(pidsPeak), "sessions": count(sessions),
        ]
    }
}

extension Carrel {
    /// What bounds a tenant, and what its live sessions use of it.
    ///
    /// - Throws: ``SessionError`` for a name that is none, and for a file with errors.
    public func tenant(_ name: String) throws(SessionError) -> (TenantBounds, TenantUsage) {
        let bounds = try tenantBounds(name)
        var usage = TenantUsage()
        usage.sessions = try sessions().count { $0.tenant == name }
        if let path = try? CgroupPath("carrel/\(name)"), let cgroup = try? Cgroup.open(CgroupHost.detect(), path) {
            let counted = cgroup.usage()
            func whole(_ value: UInt64?) -> Int? { value.map { Int(clamping: $0) } }
            usage.memory = whole(counted.memory)
            usage.memoryPeak = whole(counted.memoryPeak)
            usage.pids = whole(counted.pids)
            usage.pidsPeak = whole(counted.pidsPeak)
        }
        return (bounds, usage)
    }

    /// The bounds of a tenant, or why they cannot be read.
    func tenantBounds(_ name: String) throws(SessionError) -> TenantBounds {
        try checkName(name, of: "tenant")
        do throws(Problems) {
            return try TenantBounds.load(name, in: state)
        } catch {
            throw SessionError("the bounds of tenant \(name): \(error)", fix: "mend the file, and: carrel tenant check")
        }
    }

    /// The bounds of the host, or why they cannot be read.
    func hostBounds() throws(SessionError) -> HostBounds {
        do throws(Problems) {
            return try HostBounds.load(in: state)
        } catch {
            throw SessionError("the bounds of the host: \(error)", fix: "mend the file")
        }
    }
}
