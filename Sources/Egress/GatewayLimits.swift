import Glibc
import NIOCore

/// How much one session may hold of the gateway, and for how long.
struct GatewayLimits: Sendable, Equatable {
    /// Connections that clients of one session have open.
    var connections = 512
    /// Connections of all sessions together, of clients and to upstreams.
    var allConnections = Self.mostDescriptors / 4 * 3
    /// Requests of one session under way.
    var requests = 256
    /// TLS handshakes of one session under way.
    var handshakes = 64
    /// Tunnels of one session: spliced TLS and WebSocket.
    var tunnels = 256
    /// Names that have an address in one session.
    var names = 4096
    /// Bytes of request bodies that wait in memory for one session.
    var bufferedBytes = 64 << 20
    /// Bytes of one request's body, where no rule says another number.
    var requestBytes = 4 << 30
    /// Bytes of one response's body, where no rule says another number.
    var responseBytes = 64 << 30
    /// Bytes of one tunnel, both ways together.
    var tunnelBytes = 64 << 30
    /// For the head of a request, from its first byte, and for a client's hello.
    var headTimeout = TimeAmount.seconds(15)
    /// For a next request on a connection.
    var keepAlive = TimeAmount.seconds(120)
    /// Without a byte in the middle of a request's body.
    var bodyTimeout = TimeAmount.seconds(60)
    /// Without a byte of a response. A model may think for minutes.
    var responseTimeout = TimeAmount.seconds(900)
    /// For a connection to an upstream, its TLS included.
    var connectTimeout = TimeAmount.seconds(15)
    /// Without a byte either way in a tunnel.
    var tunnelIdle = TimeAmount.seconds(300)
    /// From a tunnel's first byte to its end.
    var tunnelLifetime = TimeAmount.hours(4)
    /// For an unused connection to an upstream.
    var upstreamIdle = TimeAmount.seconds(30)
    /// For what was resolved.
    var resolvedFor = TimeAmount.seconds(30)

    /// How many descriptors the process may have: of them listeners, the log and the control socket have theirs, too.
    private static var mostDescriptors: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }
}
