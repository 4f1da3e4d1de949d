import Documents
import Records

// What launcher and gateway say to each other, over a Unix stream socket: one JSON object a line.

/// What a listener in a session's network namespace is for.
public enum ListenerKind: String, Sendable, CaseIterable {
    /// The HTTP proxy, TCP.
    case proxy
    /// A port at which connections to any address arrive, TCP: the local address is the one that was wanted.
    case transparent
    /// DNS over UDP.
    case dnsUDP = "dns-udp"
    /// DNS over TCP.
    case dnsTCP = "dns-tcp"
    /// Plain HTTP that is passed on to ``EgressPolicy/relayHost``, TCP.
    case relay
    /// The HTTP proxy as a Unix socket.
    case unix
}

/// One listener, as a message names it; its descriptor travels beside the message.
public struct Listener: Sendable, Equatable {
    /// What it is for.
    public var kind: ListenerKind
    /// The port; 0 of a Unix socket.
    public var port: UInt16
    /// Whether it is one for IPv6 addresses.
    public var isV6: Bool

    /// A listener.
    public init(_ kind: ListenerKind, port: UInt16 = 0, isV6: Bool = false) {
        self.kind = kind
        self.port = port
        self.isV6 = isV6
    }
}

/// What a supervisor or an operator asks the gateway.
public enum ControlRequest: Sendable, Equatable {
    /// Are you there? With a session's name and policy: what will its environment be?
    case hello(session: String?, policy: Node?)
    /// Serve a session: its listeners come beside this message, and its egress ends with this connection, or with a
    /// process.
    case open(OpenSession)
    /// The session is over.
    case close
    /// How much a session has spent.
    case budget(session: String)
    /// Give a session more: added to its limits.
    case raise(session: String, microdollars: UInt64, tokens: UInt64)
    /// Close what sessions have open, now: of one session, of a tenant, or of all where both are `nil`.
    case closeMatching(session: String?, tenant: String?)
    /// How the gateway is.
    case status

    /// The version of the protocol: another one whenever a message means something else, or has more descriptors beside it.
    public static let version: Int64 = 2

    /// What to do where launcher and gateway are of different builds.
    ///
    /// - Parameter gateway: the gateway's process.
    public static func restart(_ gateway: Int32) -> String {
        "have carrel and carrel-gateway of one build installed, and restart the gateway: kill \(gateway), and the next session "
            + "starts the installed one (of a service: systemctl restart)"
    }
}

/// A session, as the gateway gets to know it.
public struct OpenSession: Sendable, Equatable {
    /// The session's name.
    public var session: String
    /// Whose it is.
    public var tenant: String
    /// The profile's name.
    public var profile: String
    /// Its policy, resolved.
    public var policy: Node
    /// Its listeners, in the order of their descriptors.
    public var listeners: [Listener]
    /// Whether a descriptor of a process (pidfd_open(2)) comes behind the listeners, with which the session ends: a
    /// container has no supervisor that would stay connected. Where the session is to be ended, that is killed.
    public var endsWithProcess = false

    /// A session.
    public init(session: String, tenant: String, profile: String, policy: Node, listeners: [Listener]) {
        self.session = session
        self.tenant = tenant
        self.profile = profile
        self.policy = policy
        self.listeners = listeners
    }
}

/// What the gateway tells.
public enum ControlEvent: Sendable, Equatable {
    /// The answer to `hello`.
    case hello(GatewayHello)
    /// The session is served.
    case ready(dummies: [String: String])
    /// What was asked for is not done.
    case refused(why: String, fix: String?)
    /// There was traffic.
    case activity
    /// The session is to be paused or ended.
    case decision(GatewayDecision)
    /// The session may go on.
    case resume
    /// The session's spending has come to its budget's soft mark; how much is spent, in words.
    case softMark(detail: String)
    /// What the session has used so far.
    case usage(EgressUsage)
    /// How much a session has spent, or how the gateway is.
    case answer(Node)
}

/// What a session needs to know of the gateway before it starts.
public struct GatewayHello: Sendable, Equatable {
    /// The certificate of the gateway's authority, a PEM file of the host.
    public var ca: String
    /// The host's trusted certificates and that one, a PEM file of the host.
    public var bundle: String
    /// The session's dummy credentials, by the name of what they stand for.
    public var dummies: [String: String]

    /// An answer.
    public init(ca: String, bundle: String, dummies: [String: String] = [:]) {
        self.ca = ca
        self.bundle = bundle
        self.dummies = dummies
    }
}

/// What the gateway wants to be done with a session.
public struct GatewayDecision: Sendable, Equatable {
    /// What is to be done.
    public enum Action: String, Sendable, CaseIterable {
        /// Freeze it.
        case pause
        /// End it.
        case end
    }

    /// Why.
    public enum Reason: String, Sendable, CaseIterable {
        /// Its budget is spent.
        case budget
        /// Its dummy credential was seen where it does not belong.
        case tripwire
        /// The request log cannot be written.
        case log
    }

    /// What is to be done.
    public var action: Action
    /// Why.
    public var reason: Reason
    /// In words, for the report.
    public var detail: String

    /// A decision.
    public init(_ action: Action, _ reason: Reason, detail: String) {
        self.action = action
        self.reason = reason
        self.detail = detail
    }
}

/// What a session has used of the network: the part of its report that the gateway counts.
public typealias EgressUsage = Report.Egress
