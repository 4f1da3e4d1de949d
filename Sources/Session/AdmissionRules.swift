import Capacity

/// What admission goes by on this host: `host.yaml`.
struct AdmissionRules {
    /// Memory for all berths, in bytes; `nil` where the operator has turned admission off.
    var capacity: UInt64?
    /// From how much memory pressure on a start is refused while memory is short, in percent of the last ten seconds.
    var pressure: Double
}

extension Carrel {
    func admissionRules() throws(SessionError) -> AdmissionRules {
        let host = try hostBounds()
        var rules = AdmissionRules(capacity: nil, pressure: Double(host.pressure))
        if host.admits {
            let memory = host.memory.map { UInt64($0) } ?? UInt64(hostMemory())
            let reserve = host.reserve.map { UInt64($0) } ?? HostMemory.reserve(of: memory)
            rules.capacity = memory - min(reserve, memory)
        }
        return rules
    }

    /// What berths are given out of for a session of this tenant.
    func berthBounds(_ capacity: UInt64, tenant: String) throws(SessionError) -> BerthBounds {
        let bounds = try tenantBounds(tenant)
        return BerthBounds(
            capacity: capacity, tenantMemory: bounds.memory.map { UInt64($0) }, tenantSessions: bounds.sessions)
    }
}
