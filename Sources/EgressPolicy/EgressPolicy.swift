import Documents

/// The effective policy of one session: what the profile's `egress:` and the rule sets that it names come to.
///
/// It only allows: what no rule means is refused. Of several rules that mean a request the first decides.
public struct EgressPolicy: Sendable, Equatable {
    /// The rules, in the order in which they are looked at: the profile's own first.
    public var rules: [EgressRule] = []
    /// The ports at which connections are caught whose client knows of no proxy.
    public var ports: [UInt16] = [80, 443]
    /// What the session may spend; `nil`: whatever its tenant and its host may.
    public var budget: EgressBudget?
    /// How many requests the session may make in how long; `nil`: any number.
    public var rate: EgressRate?
    /// Whether the request log holds bodies of the Messages API, credentials removed.
    public var logBodies = false
    /// What the session finds in its environment.
    public var environment: [EgressVariable] = []

    /// A policy that refuses everything.
    public init() {}

    /// Whether there is anything that a session could reach.
    public var isEmpty: Bool { rules.isEmpty }

    /// The names of the credentials that the rules give, sorted.
    public var credentials: [String] { Set(rules.compactMap(\.credential)).sorted() }

    /// The API that the relay passes requests on to.
    public static let relayHost = HostName(canonical: "api.anthropic.com")
}

/// What a session may spend on the Messages API.
public struct EgressBudget: Sendable, Equatable {
    /// What happens at the limit, beside the refusal of further requests.
    public enum AtLimit: String, Sendable, CaseIterable {
        /// The session is frozen until the budget is raised.
        case pause
        /// The session ends.
        case end
    }

    /// In millionths of a US dollar; `nil` for no such limit.
    public var microdollars: UInt64?
    /// Tokens of all kinds together; `nil` for no such limit.
    public var tokens: UInt64?
    /// The part of the limit, in percent, from which the agent is asked to come to an end; 100 for never.
    public var softPercent = 60
    /// What happens at the limit.
    public var atLimit = AtLimit.pause

    /// No limit.
    public init() {}
}

/// A rate of requests.
public struct EgressRate: Sendable, Equatable {
    /// How many.
    public var requests: Int
    /// In how many nanoseconds.
    public var interval: Int64

    /// So many in so long.
    public init(requests: Int, interval: Int64) {
        self.requests = requests
        self.interval = interval
    }
}

/// A variable that a rule set puts into a session's environment.
public struct EgressVariable: Sendable, Equatable {
    /// What it is set to.
    public enum Value: Sendable, Equatable {
        /// The session's dummy for the credential of this name.
        case credential(String)
        /// The address of the relay: `http://127.0.0.1:PORT`.
        case relay
        /// Text.
        case text(String)
    }

    /// The variable's name.
    public var name: String
    /// What it is set to.
    public var value: Value

    /// A variable.
    public init(name: String, value: Value) {
        self.name = name
        self.value = value
    }
}
