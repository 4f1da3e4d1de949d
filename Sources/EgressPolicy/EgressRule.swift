/// One thing that a session may do on the network: who may be asked (host, port), how (scheme, method) and for what
/// (path, query), with whose credential.
public struct EgressRule: Sendable, Equatable {
    /// How requests to the host travel.
    public enum Scheme: String, Sendable, CaseIterable {
        /// Through TLS.
        case https
        /// In the clear; never with a credential.
        case http
    }

    /// What is done with TLS.
    public enum TLS: String, Sendable, CaseIterable {
        /// It is ended at the gateway: every request is seen, and decided by the rules.
        case inspect
        /// It is passed on as it is: the name alone is decided.
        case splice
    }

    /// The API whose bodies are read.
    public enum API: String, Sendable, CaseIterable {
        /// The Messages API of Anthropic: metered, and its bodies checked by ``MessagesBodyRules``.
        case messages
    }

    /// What the rule is called in the log: `anthropic/messages`, or `allow[2]` where its author gave it no name.
    public var id: String
    /// The hosts.
    public var host: HostPattern
    /// The ports.
    public var ports: [UInt16]
    /// How requests travel.
    public var scheme = Scheme.https
    /// What is done with TLS.
    public var tls = TLS.inspect
    /// The methods; of CONNECT and TRACE there is none.
    public var methods: [String] = ["GET", "HEAD"]
    /// The paths.
    public var paths: [RequestPathPattern]
    /// The whole query that a request must have; `nil`: any, or none.
    public var query: String?
    /// The credential of the gateway that requests are given, by its name.
    public var credential: String?
    /// Whether requests go out without a credential where the gateway has none of this name; otherwise it is a refusal to
    /// start.
    public var credentialIsOptional = false
    /// Whether WebSocket connections are allowed.
    public var websocket = false
    /// What bodies are read as.
    public var api: API?
    /// What the bodies of the Messages API may hold.
    public var messages: MessagesBodyRules?
    /// What a git push may change; `nil`: everything that the methods and paths allow.
    public var push: PushPolicy?
    /// The most bytes of a request's body.
    public var maxRequestBytes: Int?
    /// The most bytes of a response's body.
    public var maxResponseBytes: Int?

    func matches(_ host: HostName, _ port: UInt16) -> Bool { ports.contains(port) && self.host.matches(host) }
}

/// What a body of the Messages API may ask of the server beyond a completion. Nothing of it unless granted: each is a way
/// for a session to have something fetched or sent from elsewhere.
public struct MessagesBodyRules: Sendable, Equatable {
    /// The only models, by name or with a `*` at the end; empty: all of the price table.
    public var models: [String] = []
    /// Tools that run at the provider, by their type without the version: `web_search`.
    public var serverTools: [String] = []
    /// Types of `source` beside those whose content is in the body: `url`, `file`.
    public var sources: [String] = []
    /// Members of the body beside those that are known to be harmless.
    public var fields: [String] = []
    /// Whether the provider may connect to MCP servers (`mcp_servers`).
    public var mcpServers = false
    /// The most tokens that may be asked for (`max_tokens`); `nil`: any number.
    public var maxTokens: UInt64?

    /// Nothing granted.
    public init() {}
}

/// What a `git push` may change (`git-receive-pack`, gitprotocol-pack(5)).
public struct PushPolicy: Sendable, Equatable {
    /// The only branches, as globs (`carrel/*`), without `refs/heads/`. Anything that is no branch is refused.
    public var branches: [String]
    /// Whether a branch may be put on a commit that is no child of its old one. It cannot be known from the push alone: where
    /// it is false, an existing branch may not be changed at all unless the gateway can tell.
    public var force = false
    /// Whether a branch may be deleted.
    public var delete = false

    /// Pushes to these branches.
    public init(branches: [String]) { self.branches = branches }

    /// Whether a reference may be pushed to: `refs/heads/` and a name that one of the globs means, `*` standing for
    /// anything, slashes too.
    public func allows(reference: String) -> Bool {
        guard reference.hasPrefix("refs/heads/"), !reference.contains("..") else { return false }
        let name = Array(reference.utf8.dropFirst(11))
        return branches.contains {
            globMatches(name[...], Array($0.utf8)[...], isWildcard: { $0 == UInt8(ascii: "*") }, matches: ==)
        }
    }
}
