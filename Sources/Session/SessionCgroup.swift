import Cgroups
import Documents
import Records
import Syscalls

/// How often the levels above a session had come up against their limits when it started: what they count later tells whose
/// limit a session died of.
struct LevelCounts: Sendable, Equatable {
    /// The tenant's limit.
    var tenant = CgroupEvents()
    /// That of all sessions of the host.
    var host = CgroupEvents()

    /// Counted now.
    init(tenant name: String, _ host: CgroupHost) {
        func counted(_ path: String) -> CgroupEvents {
            guard let path = try? CgroupPath(path), let cgroup = try? Cgroup.open(host, path, for: ["memory"])
            else {
                return CgroupEvents()
            }
            return cgroup.ownEvents() ?? CgroupEvents()
        }
        tenant = counted("carrel/\(name)")
        self.host = counted("carrel")
    }

    /// The counts as a document.
    var node: Node {
        func list(_ events: CgroupEvents) -> Node { [Node(count: events.oom), Node(count: events.high)] }
        return ["tenant": list(tenant), "host": list(host)]
    }

    init?(_ node: Node) {
        func events(_ name: String) -> CgroupEvents? {
            guard let list = node[name]?.elements, list.count == 2, let oom = list[0].uint, let high = list[1].uint
            else { return nil }
            var events = CgroupEvents()
            (events.oom, events.high) = (oom, high)
            return events
        }
        guard let tenant = events("tenant"), let host = events("host") else { return nil }
        (self.tenant, self.host) = (tenant, host)
    }
}

extension SessionRecord {
    /// Its cgroup, wherever the caller itself is; `nil` where it has none, or it is gone.
    func openCgroup() -> Cgroup? {
        guard let path = cgroup.flatMap({ try? CgroupPath($0) }) else { return nil }
        let host = CgroupHost.detect()
        guard let cgroupLocation else { return try? Cgroup.open(host, path) }
        return try? Cgroup.open(host, path, at: cgroupLocation)
    }

    /// Whose limit it was that the kernel killed processes of the session for.
    func culprit(_ cgroup: Cgroup) -> Report.Exit.Level {
        if cgroup.ranIntoItsOwnLimit() { return .session }
        guard let levels else { return .host }
        let host = CgroupHost.detect()
        let tenant = (try? CgroupPath("carrel/\(tenant)")).flatMap { try? Cgroup.open(host, $0) }
        if let now = tenant?.ownEvents() { return now.oom > levels.tenant.oom ? .tenant : .host }
        // A hybrid host counts nothing there, and keeps the peak.
        return tenant?.ranIntoItsOwnLimit() == true ? .tenant : .host
    }

    /// In what the session was slowed down.
    func throttles(_ usage: CgroupUsage) -> [Report.Throttle] {
        var found: [Report.Throttle] = []
        let stalled = usage.memoryPressure.map { Int64(clamping: $0.some) }
        if let times = usage.memoryHighHits, times > 0 {
            found.append(
                Report.Throttle(.memory, by: .session, times: Int64(clamping: times), stalledMicroseconds: stalled))
        } else if let levels, stalled ?? 1 > 0,
            let path = try? CgroupPath("carrel/\(tenant)"),
            let now = (try? Cgroup.open(CgroupHost.detect(), path))?.ownEvents(), now.high > levels.tenant.high
        {
            // The level above is slowed down as a whole: whether this session was is told by its waiting for memory.
            let times = Int64(clamping: now.high - levels.tenant.high)
            found.append(Report.Throttle(.memory, by: .tenant, times: times, stalledMicroseconds: stalled))
        }
        if let periods = usage.cpuThrottledPeriods, periods > 0 {
            found.append(
                Report.Throttle(
                    .cpu, by: .session, times: Int64(clamping: periods),
                    stalledMicroseconds: usage.cpuThrottled.map { Int64(clamping: $0 / 1000) }))
        }
        return found
    }
}

extension Carrel {
    /// Makes the session's cgroup, within what bounds its tenant and the host. A limit that this host cannot hold is a
    /// refusal, or where the profile says that it is optional, an absence that the report tells.
    func makeCgroup(
        _ parts: SessionParts, _ composed: inout ComposedSession
    ) throws(SessionError) -> (Cgroup?, LevelCounts?) {
        let asked = parts.profile.limits
        let tenant = try tenantBounds(parts.tenant.name)
        let all = try hostBounds()
        var limits = CgroupLimits(
            memoryMax: UInt64(asked.memory), pidsMax: UInt64(asked.pids), cpuMax: asked.cpus.map { Double($0) / 1000 })
        limits.memoryHigh = asked.memoryHigh.map { UInt64($0) }
        limits.swapMax = UInt64(asked.swap)
        // A limit of at least the processors that the session could run on at all holds without a cgroup.
        if let cpus = asked.cpus, cpus >= usableProcessors() * 1000 { limits.cpuMax = nil }
        // cgroup v1 refuses a quota above that of the level above.
        if let cpus = [tenant.cpus, all.cpus].compactMap({ $0 }).min(), let own = limits.cpuMax {
            limits.cpuMax = min(own, Double(cpus) / 1000)
        }
        let optional = parts.profile.optionalControls
        let host = CgroupHost.detect()
        while true {
            do throws(CgroupError) {
                var levels: [Cgroup.Level] = []
                if all.file != nil { levels.append(try level("carrel", all.limits, host)) }
                if tenant.file != nil {
                    levels.append(try level("carrel/\(parts.tenant.name)", tenant.limits, host))
                }
                let cgroup = try Cgroup.create(
                    host, CgroupPath("carrel/\(parts.tenant.name)/\(parts.id)"), limits, within: levels)
                return (cgroup, levels.isEmpty ? nil : LevelCounts(tenant: parts.tenant.name, host))
            } catch .controlAbsent(let control, let reason, let fix) {
                let names: [String: Profile.Control] = [
                    "memory": .memory, "memory.high": .memoryHigh, "swap": .swap, "pids": .pids, "cpu": .cpus,
                ]
                let isTenants = control == "memory.high" && limits.memoryHigh == nil
                guard let name = names[control], optional.contains(name), !isTenants else {
                    let whose = isTenants ? " (the tenant's, from \(tenant.file ?? ""))" : ""
                    throw SessionError("control \(control)\(whose) is absent: \(reason)", fix: fix)
                }
                composed.absent.append((control, reason))
                switch name {
                case .memory: (limits.memoryMax, limits.swapMax, limits.memoryHigh) = (nil, nil, nil)
                case .memoryHigh: limits.memoryHigh = nil
                case .swap: limits.swapMax = nil
                case .pids: limits.pidsMax = nil
                default: limits.cpuMax = nil
                }
            } catch .noPlace(let reason, let fix) {
                var controls: [Profile.Control] = [.memory, .pids]
                if asked.cpus != nil { controls.append(.cpus) }
                if asked.memoryHigh != nil { controls.append(.memoryHigh) }
                guard controls.allSatisfy(optional.contains), tenant.file == nil, all.file == nil else {
                    throw SessionError("no place for cgroups, so no limit can be held: \(reason)", fix: fix)
                }
                // Of what a cgroup counts: no profile can do without these, but leave them out.
                let counted = [
                    ("limits.idle", asked.idle), ("limits.cpuTime", asked.cpuTime), ("limits.recycle", asked.recycle),
                ]
                if let (limit, _) = counted.first(where: { $0.1 != nil }) {
                    throw SessionError(
                        "no place for cgroups, so \(limit) cannot be held: \(reason)", fix: "\(fix); or set it to none")
                }
                for control in controls { composed.absent.append((control.rawValue, reason)) }
                return (nil, nil)
            } catch .exists(let path) {
                throw SessionError(
                    "cgroup \(path) exists already",
                    fix: "choose another --session: one of this tenant and name is another state directory's, or is "
                        + "left of one that is gone")
            } catch .system(let error) where error.errno == .resourceTemporarilyUnavailable {
                throw SessionError(
                    "cgroup: \(error)",
                    fix: "raise cgroup.max.descendants or cgroup.max.depth: a cgroup above has all that it may have")
            } catch {
                throw SessionError("cgroup: \(error)")
            }
        }
    }

    /// A level as its file bounds it: what the file no longer says is lifted.
    private func level(
        _ path: String, _ limits: CgroupLimits, _ host: CgroupHost
    ) throws(CgroupError) -> Cgroup.Level {
        let path = try CgroupPath(path)
        let there = try? Cgroup.open(host, path, for: ["memory", "pids", "cpu"])
        return (path, there?.lifting(limits) ?? limits)
    }

    /// The ways into a session's cgroup.
    func entry(_ cgroup: Cgroup?, of id: String, _ tenant: String) throws(SessionError) -> CgroupEntry? {
        do throws(CgroupError) { return try cgroup?.entry() } catch {
            throw whyPaused(id, tenant, cgroup) ?? SessionError("session \(id): \(error)")
        }
    }
}
