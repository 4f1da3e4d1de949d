import Container
import Documents
import EgressPolicy
import Glibc
import OCISpec
import Syscalls
import SystemPackage

/// What a session needs for its door, known before the session is: the gateway's certificates and the session's dummies,
/// and the Unix socket that is shown inside. A container's door has no such socket.
struct Door {
    let policy: EgressPolicy
    let hello: GatewayHello
    /// The Unix socket, listening, and its place on the host; it goes to the gateway with the other listeners.
    let socket: (descriptor: FileDescriptor, path: String)?

    /// Gives back what the session has by now.
    func close() {
        if let socket { Syscalls.close(socket.descriptor) }
    }

    /// Asks the gateway what a session is to be composed with, and starts one where none is.
    ///
    /// - Parameter withSocket: whether it has the Unix socket.
    /// - Throws: ``SessionError`` where there is no gateway and none can be started, or it cannot serve this policy, for want
    ///   of a credential: what is not guarded does not start.
    static func open(
        _ policy: EgressPolicy, session: String, in state: StateDirectory, withSocket: Bool = true
    ) throws(SessionError) -> Door {
        let places = GatewayPlaces(state: state.path)
        let hello: GatewayHello
        do throws(SessionError) {
            hello = try Gateway(state).greet(session: session, policy: policy.node)
        } catch {
            guard withSocket else { throw error }
            let fixes = [error.fix, "--network none starts the session, and nothing leaves it"].compactMap { $0 }
            throw SessionError(error.message, fix: fixes.joined(separator: "; "), exitStatus: error.exitStatus)
        }
        guard withSocket else { return Door(policy: policy, hello: hello, socket: nil) }
        return try telling("gateway socket") { () throws(SystemError) in
            try makeDirectory(places.directory + "/sessions", mode: 0o700)
            let path = socketPath(session, in: state)
            try Syscalls.remove(path)
            // Who may connect is decided by where it is mounted: in this session alone.
            let socket = try listenLocal(at: path, mode: 0o666)
            return Door(policy: policy, hello: hello, socket: (socket, path))
        }
    }

    /// Where a session's socket is; by a short name, since a socket's path has 107 bytes at most (unix(7)).
    static func socketPath(_ session: String, in state: StateDirectory) -> String {
        GatewayPlaces(state: state.path).directory + "/sessions/" + shortName(session) + ".sock"
    }

    /// The listeners in the session's network, as the gateway is told of them, and as they are opened there.
    var listeners: [(Listener, ContainerListener)] {
        let hasV6 = exists("/proc/sys/net/ipv6")
        var all = [(Listener(.proxy, port: GatewayPlaces.proxyPort), ContainerListener(.tcpLoopback, port: 3128))]
        if policy.rules.contains(where: { $0.host.matches(EgressPolicy.relayHost) }) {
            all.append((Listener(.relay, port: GatewayPlaces.relayPort), ContainerListener(.tcpLoopback, port: 8787)))
        }
        func add(
            _ kind: ListenerKind, _ port: UInt16, _ v4: ContainerListener.Transport, _ v6: ContainerListener.Transport
        ) {
            all.append((Listener(kind, port: port), ContainerListener(v4, port: port)))
            if hasV6 { all.append((Listener(kind, port: port, isV6: true), ContainerListener(v6, port: port))) }
        }
        add(.dnsUDP, GatewayPlaces.dnsPort, .udp, .udp6)
        add(.dnsTCP, GatewayPlaces.dnsPort, .tcp, .tcp6)
        for port in policy.ports { add(.transparent, port, .tcp, .tcp6) }
        return all
    }

    /// The request by which a gateway serves the session.
    func request(session: String, tenant: String, profile: String) -> OpenSession {
        OpenSession(
            session: session, tenant: tenant, profile: profile, policy: policy.node,
            listeners: listeners.map(\.0) + (socket == nil ? [] : [Listener(.unix)]))
    }

    /// Hands the listeners that were opened in the session's network to the gateway, with the Unix socket.
    func serve(
        _ session: OpenSession, _ opened: [FileDescriptor], in state: StateDirectory
    ) throws(SessionError) -> GatewayLink {
        let socket = try self.socket.map { (socket) throws(SessionError) in
            try telling("gateway socket") { () throws(SystemError) in try duplicate(socket.descriptor) }
        }
        return try GatewayLink(session, opened + [socket].compactMap { $0 }, in: state)
    }

    /// Removes what a session's door has left on the host.
    static func release(session: String, in state: StateDirectory) {
        try? Syscalls.remove(socketPath(session, in: state))
    }

    /// What is mounted for it.
    var mounts: [Mount] {
        let options = ["bind", "ro", "nosuid", "nodev", "noexec"]
        var places = [(hello.bundle, Self.bundle), (hello.ca, Self.certificate)]
        if let socket { places.append((socket.path, GatewayPlaces.sessionSocket)) }
        return places.map { Mount(destination: $0.1, type: "bind", source: $0.0, options: options) }
    }

    private static let bundle = "/etc/ssl/certs/ca-certificates.crt"
    private static let certificate = "/run/carrel/ca.pem"

    /// What clients find in the environment: the proxy, the certificates, and what the rule sets ask for.
    var environment: [String: String] {
        var variables: [String: String] = [:]
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            variables[name] = "http://127.0.0.1:\(GatewayPlaces.proxyPort)"
            variables[name.lowercased()] = variables[name]
        }
        // What the session serves to itself does not go by the gateway, which would refuse it.
        for name in ["NO_PROXY", "no_proxy"] { variables[name] = "localhost,127.0.0.1,::1" }
        for name in [
            "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "npm_config_cafile",
            "CARGO_HTTP_CAINFO", "NIX_SSL_CERT_FILE",
        ] { variables[name] = Self.bundle }
        // Beside Node's own, so the one certificate is enough.
        variables["NODE_EXTRA_CA_CERTS"] = Self.certificate
        for variable in policy.environment {
            switch variable.value {
            // Without a credential there is nothing to stand for.
            case .credential(let name): variables[variable.name] = hello.dummies[name]
            case .relay: variables[variable.name] = "http://127.0.0.1:\(GatewayPlaces.relayPort)"
            case .text(let text): variables[variable.name] = text
            }
        }
        return variables
    }
}
