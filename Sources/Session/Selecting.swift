import Cgroups
import Syscalls

extension Carrel {
    /// The live sessions of a selection.
    func select(_ selection: Selection) throws(SessionError) -> [SessionRecord] {
        if case .session(let id) = selection { return [try find(id)] }
        sweepAll()
        return try live.all().filter(selection.holds)
    }

    /// The one cgroup that has all of a selection's sessions and no others below it, with their names; `nil` where there is
    /// none. Found by names alone, without opening a record: `carrel kill` has no time while what it is to kill forks.
    func oneCgroup(of selection: Selection) -> (cgroup: Cgroup, sessions: [String])? {
        let host = CgroupHost.detect()
        guard let (path, cgroup) = level(of: selection, host),
            let ours = try? list(state["sessions"])
        else { return nil }
        let claimed = Set(ours.lazy.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) })
        var sessions: [String] = []
        for tenant in path.names.count == 2 ? [path] : below(path, host) {
            let names = (try? Cgroup.names(host, in: tenant)) ?? []
            // Another state directory may have sessions of a tenant with this name, and others have cgroups here too.
            guard exists(state["tenants/\(tenant.names[1])"]), names.allSatisfy(claimed.contains) else { return nil }
            if names.isEmpty, (try? Cgroup.open(host, tenant, for: []).isEmpty()) == false { return nil }
            sessions += names
        }
        return (cgroup, sessions.sorted())
    }

    /// The cgroup that a pause of the selection has frozen as one, or may have: it is thawed as that whoever has made cgroups in
    /// there since.
    func frozenCgroup(of selection: Selection) -> Cgroup? {
        isPaused(selection)
            ? level(of: selection, CgroupHost.detect())?.cgroup : oneCgroup(of: selection)?.cgroup
    }

    /// The cgroup above all of a selection's sessions, whose else are in it or not; `nil` where they have none.
    private func level(of selection: Selection, _ host: CgroupHost) -> (path: CgroupPath, cgroup: Cgroup)? {
        let name: String
        switch selection {
        case .tenant(let tenant): name = "carrel/\(tenant)"
        case .all: name = "carrel"
        case .session, .profile, .image: return nil
        }
        guard let path = try? CgroupPath(name), let cgroup = try? Cgroup.open(host, path) else { return nil }
        return (path, cgroup)
    }

    private func below(_ path: CgroupPath, _ host: CgroupHost) -> [CgroupPath] {
        ((try? Cgroup.names(host, in: path)) ?? []).compactMap { try? CgroupPath("\(path)/\($0)") }
    }
}
