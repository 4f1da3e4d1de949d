import OCISpec
import SystemPackage

/// The way out of a container's network, where `dev.carrel.egress` asks for one: given by the caller, who knows the gateway.
public protocol ContainerDoor: Sendable {
    /// The sockets that are opened in the container's network namespace.
    var listeners: [ContainerListener] { get }
    /// What is mounted for it, after the specification's own mounts.
    var mounts: [Mount] { get }
    /// Variables of the payload, in the place of the specification's of the same names.
    var environment: [String: String] { get }
    /// Takes the opened sockets in use, in the order of ``listeners``, for as long as the process lives. They stay the
    /// caller's to close.
    func serve(_ opened: [FileDescriptor], process: FileDescriptor) throws
}

extension Spec {
    /// Adds what a door needs inside.
    mutating func add(_ door: any ContainerDoor) {
        mounts += door.mounts
        guard var process else { return }
        let set = door.environment
        process.env.removeAll { variable in set.keys.contains(String(variable.prefix { $0 != "=" })) }
        process.env += set.map { "\($0.key)=\($0.value)" }.sorted()
        self.process = process
    }
}
