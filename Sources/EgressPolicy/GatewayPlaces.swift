/// Where the gateway of a state directory has its files, and what sessions find inside.
public struct GatewayPlaces: Sendable {
    /// The gateway's directory, `<state>/gateway`.
    public let directory: String

    /// The places below the state directory at `state`.
    public init(state: String) { directory = state + "/gateway" }

    /// The control socket.
    public var control: String { directory + "/control.sock" }
    /// Locked by whoever starts a gateway.
    public var lock: String { directory + "/lock" }
    /// Locked by the gateway from its first moment to its last.
    public var serving: String { directory + "/serving" }
    /// What the gateway says on standard error.
    public var log: String { directory + "/gateway.log" }
    /// The request log.
    public var requests: String { directory + "/requests.jsonl" }

    /// The port of the HTTP proxy, in the session.
    public static let proxyPort: UInt16 = 3128
    /// The port of the relay, in the session.
    public static let relayPort: UInt16 = 8787
    /// The port of DNS, in the session.
    public static let dnsPort: UInt16 = 53
    /// The Unix socket of the HTTP proxy, in the session.
    public static let sessionSocket = "/run/carrel/gateway.sock"
}
