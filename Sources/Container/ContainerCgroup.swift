import Cgroups
import Documents
import Glibc
import OCISpec
import Syscalls

/// Who makes the cgroups of containers (`--cgroup-manager`, `--systemd-cgroup`).
public enum CgroupManager: String, Sendable, CaseIterable {
    /// The runtime itself.
    case cgroupfs
    /// systemd, as transient scopes.
    case systemd
    /// Nobody: containers stay in the caller's.
    case disabled
}

extension RuntimeContainer {
    /// Says in the record which cgroup is about to be made: what the specification says, or a place of the runtime's own.
    mutating func placeCgroup(_ spec: Spec, _ manager: CgroupManager) throws(RuntimeError) {
        let path = spec.linux?.cgroupsPath ?? ""
        switch manager {
        case .cgroupfs:
            record.cgroup = path.isEmpty ? Self.ownPath(id) : path
            record.keepsCgroup = (try? foundCgroup()) != nil
        case .disabled:
            if spec.linux?.resources.map({ Self.areLimits($0) }) ?? false {
                throw RuntimeError("linux.resources: limits need a cgroup, and --cgroup-manager is disabled")
            }
        case .systemd:
            record.unit = try telling("linux.cgroupsPath") { () throws(CgroupError) in
                try SystemdScope(path.isEmpty ? ":carrel:\(id)" : path, isSystem: geteuid() == 0)
            }.unit
        }
    }

    private static func ownPath(_ id: String) -> String { "/carrel/oci/\(id)" }

    /// Whether anything is limited but devices, which who is not the host's root has no way to.
    private static func areLimits(_ resources: LinuxResources) -> Bool {
        var resources = resources
        resources.devices = []
        return resources != LinuxResources()
    }

    /// Makes the cgroup with the limits of the specification; one that is there already, and empty, is used as it is asked
    /// for and stays behind the container.
    ///
    /// - Returns: the cgroup, and what keeps it until a process is in it.
    mutating func makeCgroup(_ spec: Spec) throws(RuntimeError) -> (Cgroup?, ScopeSleeper?) {
        do throws(CgroupError) {
            let limits = try Self.limits(spec.linux?.resources ?? LinuxResources())
            let host = CgroupHost.detect()
            if record.unit != nil { return try makeScope(spec, limits, host) }
            guard let path = record.cgroup else { return (nil, nil) }
            let place = try CgroupPath(oci: path)
            do throws(CgroupError) {
                let cgroup = try Cgroup.create(host, place, limits, joining: .every)
                (record.hasCgroup, record.keepsCgroup) = (true, false)
                return (cgroup, nil)
            } catch {
                switch error {
                case .exists:
                    let cgroup = try Cgroup.open(host, place)
                    guard try cgroup.isEmpty() else { throw error }
                    record.keepsCgroup = true
                    try cgroup.update(limits)
                    record.hasCgroup = true
                    return (cgroup, nil)
                case .noPlace where !isHostsRoot() && !(spec.linux?.resources.map { Self.areLimits($0) } ?? false):
                    // Nothing was delegated to this user, and nothing is asked for that would need it.
                    record.cgroup = nil
                    return (nil, nil)
                default: throw error
                }
            }
        } catch {
            if case .controlAbsent = error { throw RuntimeError("linux.resources: \(error)") }
            throw RuntimeError("cgroup: \(error)")
        }
    }

    private mutating func makeScope(
        _ spec: Spec, _ limits: CgroupLimits, _ host: CgroupHost
    ) throws(CgroupError) -> (Cgroup?, ScopeSleeper?) {
        let path = spec.linux?.cgroupsPath ?? ""
        let scope = try SystemdScope(path.isEmpty ? ":carrel:\(id)" : path, isSystem: geteuid() == 0)
        let made: (path: String, sleeper: ScopeSleeper)
        do throws(CgroupError) {
            made = try scope.start(limits, of: host.mode, at: managerSocket, description: "carrel-oci container \(id)")
        } catch {
            // Another's, it may be: not to be stopped.
            record.unit = nil
            throw error
        }
        do throws(CgroupError) {
            record.hasCgroup = true
            let cgroup = try Cgroup.adopt(host, at: made.path, limits)
            record.cgroup = "/\(cgroup.path)"
            return (cgroup, made.sleeper)
        } catch {
            made.sleeper.end()
            throw error
        }
    }

    private var managerSocket: String { SystemdScope.socket(runtimeDirectory: runtimeDirectory) }

    /// What `resources` hold a container to.
    private static func limits(_ resources: LinuxResources) throws(CgroupError) -> CgroupLimits {
        var resources = resources
        if !resources.devices.isEmpty { resources.devices += usualRules }
        return try CgroupLimits(resources)
    }

    /// What every container may use, whatever its rules say before: the devices that it is given (config-linux.md, "Default
    /// Devices"), terminals, and making nodes, which opens none (runc and crun have the same).
    private static let usualRules: [LinuxDeviceCgroup] =
        [
            LinuxDeviceCgroup(allow: true, type: .character, access: "m"),
            LinuxDeviceCgroup(allow: true, type: .block, access: "m"),
            LinuxDeviceCgroup(allow: true, type: .character, major: 136, access: "rwm"),
            LinuxDeviceCgroup(allow: true, type: .character, major: 5, minor: 1, access: "rwm"),
            LinuxDeviceCgroup(allow: true, type: .character, major: 5, minor: 2, access: "rwm"),
        ]
        + usualDevices.map {
            LinuxDeviceCgroup(
                allow: true, type: .character, major: Int64($0.major), minor: Int64($0.minor), access: "rwm")
        }

    /// Kills what is left in the cgroup, thawed, and takes it away.
    func removeCgroup() throws(CgroupError) {
        guard record.hasCgroup else {
            // Made by a call that was killed before it could write that down, it is empty.
            if !record.keepsCgroup, let left = try? foundCgroup(), (try? left.isEmpty()) == true {
                try? left.remove(parents: record.cgroup == Self.ownPath(id))
            }
            return
        }
        defer { if let unit = record.unit { SystemdScope(unit: unit).stop(at: managerSocket) } }
        guard let cgroup = try? cgroup() else { return }
        try cgroup.kill()
        try? cgroup.thaw()
        if record.keepsCgroup { return }
        // The levels above are of whoever asked for a cgroup in them.
        try cgroup.remove(parents: record.cgroup == Self.ownPath(id))
    }

    /// Changes the limits that `resources` names.
    public func update(_ resources: LinuxResources) throws(RuntimeError) {
        guard status().state != .stopped else { throw RuntimeError("container not running") }
        let cgroup = try ownCgroup()
        var resources = resources
        // Both together alone: beside the limit of memory that is in force.
        if resources.memory?.swap ?? 0 > 0, resources.memory?.limit ?? 0 == 0 {
            resources.memory?.limit = cgroup.usage(now: false).memoryMax.map { Int64(clamping: $0) }
        }
        try telling("") { () throws(Problems) in try resources.validate(file: "update") }
        try telling("container \(id)") { () throws(CgroupError) in
            let limits = try Self.limits(resources)
            if let unit = record.unit {
                try SystemdScope(unit: unit).update(limits, of: CgroupHost.detect().mode, at: managerSocket)
            }
            try cgroup.update(limits)
        }
    }

    /// Its cgroup, for what cannot be done without one.
    func ownCgroup() throws(RuntimeError) -> Cgroup {
        let found = try telling("container \(id)") { () throws(CgroupError) in try self.cgroup() }
        guard let found else { throw RuntimeError("container \(id) has no cgroup") }
        return found
    }
}
