import Cgroups
import OCISpec
import Syscalls

extension RuntimeContainer {
    /// Where the container's cgroup is: what the specification says, or a place of the runtime's own.
    func cgroupPath(_ spec: Spec) -> String? {
        if let path = spec.linux?.cgroupsPath, !path.isEmpty { return path }
        return Self.ownPath(id)
    }

    private static func ownPath(_ id: String) -> String { "/carrel/oci/\(id)" }

    /// Makes the cgroup with the limits of the specification; one that is there already, and empty, is used as it is asked
    /// for and stays behind the container.
    mutating func makeCgroup(_ spec: Spec) throws(RuntimeError) -> Cgroup? {
        guard let path = record.cgroup else { return nil }
        return try telling("cgroup") { () throws(CgroupError) in
            var resources = spec.linux?.resources ?? LinuxResources()
            if !resources.devices.isEmpty { resources.devices += Self.usualRules }
            let limits = try CgroupLimits(resources)
            let host = CgroupHost.detect()
            let place = try CgroupPath(oci: path)
            do throws(CgroupError) {
                return try Cgroup.create(host, place, limits, joining: .every)
            } catch {
                guard case .exists = error else { throw error }
                let cgroup = try Cgroup.open(host, place)
                guard try cgroup.isEmpty() else { throw error }
                record.keepsCgroup = true
                try cgroup.update(limits)
                return cgroup
            }
        }
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
        guard let cgroup = try? cgroup() else { return }
        try cgroup.kill()
        try? cgroup.thaw()
        if record.keepsCgroup { return }
        // The levels above are of whoever asked for a cgroup in them.
        try cgroup.remove(parents: record.cgroup == Self.ownPath(id))
    }
}

extension RuntimeContainer {
    /// Changes the limits that `resources` names.
    public func update(_ resources: LinuxResources) throws(RuntimeError) {
        guard status().state != .stopped else { throw RuntimeError("container not running") }
        try telling("container \(id)") { () throws(CgroupError) in
            try cgroup()?.update(try CgroupLimits(resources))
        }
    }
}
