import Glibc
import OCISpec
import Syscalls
import SystemPackage

extension LaunchPlan {
    /// Moves the host's network devices that the specification names into the container's network namespace, with the
    /// addresses that they have, and brings them up there (config-linux.md, "Network Devices").
    ///
    /// The parent does all of it, since the devices are the host's; it is back in its own namespace when this returns. With
    /// the container's namespace a physical device comes back and a virtual one ends (network_namespaces(7)).
    ///
    /// - Parameter pid: a process in the container's namespace.
    func moveNetworkDevices(to pid: pid_t) throws(LaunchError) {
        guard let devices = spec.linux?.netDevices, !devices.isEmpty else { return }
        let (own, theirs) = try during(.network, "linux.netDevices") { () throws(SystemError) in
            (try open("/proc/self/ns/net", O_RDONLY), try open("/proc/\(pid)/ns/net", O_RDONLY))
        }
        defer {
            close(own)
            close(theirs)
        }
        let isOwn = try during(.network) { () throws(SystemError) in try isSameFile(own, theirs) }
        if isOwn {
            throw LaunchError(.network, nil, "linux.netDevices: the container has no network namespace of its own")
        }
        for (name, device) in devices.sorted(by: { $0.key < $1.key }) {
            try during(.network, "linux.netDevices: \(name)") { () throws(SystemError) in
                let newName = device.name ?? name
                let addresses = try moveNetworkDevice(name, as: newName, to: theirs)
                try joinNamespace(theirs, .network, named: "network")
                do throws(SystemError) {
                    try bringUpNetworkDevice(newName, with: addresses)
                } catch {
                    try joinNamespace(own, .network, named: "network")
                    throw error
                }
                try joinNamespace(own, .network, named: "network")
            }
        }
    }
}
