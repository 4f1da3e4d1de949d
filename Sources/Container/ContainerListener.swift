import Syscalls
import SystemPackage

/// A socket in a container's network namespace that someone outside accepts from: `tcp-loopback 3128`, `tcp 443`, `tcp6 443`,
/// `udp 53`, `udp6 53`. With a 6 at all IPv6 addresses, without at all IPv4 ones, unless the loopback alone is meant.
public struct ContainerListener: Sendable, Equatable, CustomStringConvertible {
    /// What is listened to.
    public enum Transport: String, Sendable, CaseIterable {
        /// TCP at 127.0.0.1.
        case tcpLoopback = "tcp-loopback"
        /// TCP at every IPv4 address.
        case tcp
        /// TCP at every IPv6 address.
        case tcp6
        /// UDP at every IPv4 address.
        case udp
        /// UDP at every IPv6 address.
        case udp6
    }

    /// What is listened to.
    public let transport: Transport
    /// At which port.
    public let port: UInt16

    /// A listener.
    public init(_ transport: Transport, port: UInt16) {
        self.transport = transport
        self.port = port
    }

    /// Reads a line of the annotation; `nil` where it is none.
    public init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 2, let transport = Transport(rawValue: String(words[0])), let port = UInt16(words[1]),
            port > 0
        else { return nil }
        self.init(transport, port: port)
    }

    /// As the annotation has it.
    public var description: String { "\(transport.rawValue) \(port)" }

    /// Opens it in the caller's network namespace.
    func open() throws(SystemError) -> FileDescriptor {
        switch transport {
        case .tcpLoopback: try listenTCP(.loopbackV4, port: port)
        case .tcp: try listenTCP(.everyV4, port: port)
        case .tcp6: try listenTCP(.everyV6, port: port)
        case .udp: try bindUDP(.everyV4, port: port)
        case .udp6: try bindUDP(.everyV6, port: port)
        }
    }
}

/// Refuses a network that leads anywhere but to the listeners: any device beside the loopback, whatever its name.
func requireNoOtherNetwork() throws(LaunchError) {
    let others = try during(.network) { () throws(SystemError) in try networkDevices() }.filter { $0 != "lo" }
    if others.isEmpty { return }
    throw LaunchError(
        .network, nil,
        "dev.carrel.egress: expected a network of the loopback alone, found \(others.joined(separator: ", ")): what leaves by "
            + "that would not pass the gateway (podman: --network none; where the kernel adds devices of its tunnels to every "
            + "new network: sysctl net.core.fb_tunnels_only_for_init_net=2)")
}

/// Makes every address of the container's network its own, opens the listeners there, and gives them to the parent. None of
/// them stays open in the container.
func openListeners(_ listeners: [ContainerListener], sendingTo parent: FileDescriptor) throws(LaunchError) {
    if listeners.isEmpty { return }
    try during(.network, "a network has one door: is there another container of it that has?") {
        () throws(SystemError) in
        try makeEveryAddressLocal()
        var opened: [FileDescriptor] = []
        defer { for descriptor in opened { close(descriptor) } }
        for listener in listeners { opened.append(try listener.open()) }
        try send([Message.listeners.rawValue], descriptors: opened, over: parent)
    }
}
