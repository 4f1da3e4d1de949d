/// What is done with a connection, known by its name alone (a DNS query, CONNECT, SNI).
public enum ConnectionDecision: Sendable, Equatable {
    /// It is refused, for this reason.
    case refuse(reason: String)
    /// Its bytes are passed on, by this rule.
    case splice(rule: String)
    /// Its TLS is ended at the gateway (a port of plain HTTP: it is read), and every request decided; by this rule, the
    /// first that could allow one.
    case inspect(rule: String)
}

/// One parsed request.
public struct RequestFacts: Sendable, Equatable {
    /// Whom it is for.
    public var host: HostName
    /// At which port.
    public var port: UInt16
    /// How it came.
    public var scheme: EgressRule.Scheme
    /// The method, as it was written: methods are case-sensitive.
    public var method: String
    /// The path as it was written, without the query.
    public var path: String
    /// What stands behind the `?`; `nil` where there is none.
    public var query: String?
    /// Whether it asks for a WebSocket.
    public var isWebSocket: Bool

    /// A request.
    public init(
        host: HostName, port: UInt16, scheme: EgressRule.Scheme, method: String, path: String, query: String? = nil,
        isWebSocket: Bool = false
    ) {
        self.host = host
        self.port = port
        self.scheme = scheme
        self.method = method
        self.path = path
        self.query = query
        self.isWebSocket = isWebSocket
    }
}

/// What is done with a request.
public enum RequestDecision: Sendable, Equatable {
    /// It is refused, for this reason.
    case refuse(reason: String)
    /// It goes out.
    case allow(AllowedRequest)
}

/// How an allowed request goes out.
public struct AllowedRequest: Sendable, Equatable {
    /// The rule that allows it, by its id.
    public var rule: String
    /// The credential that it is given, by its name.
    public var credential: String?
    /// Whether it goes out without one where the gateway has none of this name.
    public var credentialIsOptional: Bool
    /// Whether its body is one of the Messages API: to be checked, metered and logged so.
    public var isMessagesAPI: Bool
    /// What such a body may hold.
    public var bodyRules: MessagesBodyRules?
    /// The most bytes of its body; `nil`: the gateway's own bound.
    public var maxRequestBytes: Int?
    /// The most bytes of its response's body; `nil`: the gateway's own bound.
    public var maxResponseBytes: Int?
    /// What the push that it is may change.
    public var pushPolicy: PushPolicy?
}

extension EgressPolicy {
    /// Decides by a name and a port. Where one rule has TLS spliced and another wants to see requests, they are seen.
    public func connection(to host: HostName, port: UInt16) -> ConnectionDecision {
        guard !HostPattern.isOfTheHost(host) else { return .refuse(reason: "\(host) is a name of the host itself") }
        let meant = rules.filter { $0.matches(host, port) }
        guard let first = meant.first else {
            let elsewhere = rules.first { $0.host.matches(host) }
            return .refuse(
                reason: elsewhere.map { "no rule allows port \(port) of \(host); \($0.id) allows \($0.ports)" }
                    ?? "no rule allows \(host)")
        }
        if meant.allSatisfy({ $0.tls == .splice && $0.scheme == .https }) { return .splice(rule: first.id) }
        return .inspect(rule: (meant.first { $0.tls == .inspect } ?? first).id)
    }

    /// Whether a name is answered by the session's DNS: where any rule means it, at whichever port.
    public func resolves(_ host: HostName) -> Bool {
        !HostPattern.isOfTheHost(host) && rules.contains { $0.host.matches(host) }
    }

    /// Decides one request. The first rule that means all of it allows it.
    public func request(_ request: RequestFacts) -> RequestDecision {
        let path: RequestPath
        do throws(EgressPolicyError) {
            path = try RequestPath(request.path)
        } catch {
            return .refuse(reason: error.message)
        }
        return self.request(request, path)
    }

    /// Decides one request whose path was taken apart already.
    package func request(_ request: RequestFacts, _ path: RequestPath) -> RequestDecision {
        guard !HostPattern.isOfTheHost(request.host) else {
            return .refuse(reason: "\(request.host) is a name of the host itself")
        }
        // Told is what came nearest.
        var nearest = (progress: -1, reason: "no rule allows \(request.host)")
        for rule in rules where rule.host.matches(request.host) {
            if let why = refusal(of: request, path, by: rule) {
                if why.progress > nearest.progress { nearest = (why.progress, "\(rule.id): \(why.text)") }
                continue
            }
            return .allow(Self.allow(request, path, by: rule))
        }
        return .refuse(reason: nearest.reason)
    }

    /// Why a rule for the request's host does not allow it, and how far the request came; `nil` where it does.
    func refusal(
        of request: RequestFacts, _ path: RequestPath, by rule: EgressRule
    ) -> (progress: Int, text: String)? {
        if !rule.ports.contains(request.port) { return (0, "no port \(request.port)") }
        if rule.scheme != request.scheme { return (1, "\(rule.scheme.rawValue) alone") }
        if rule.tls == .splice { return (2, "passed on unseen: there is no request to allow") }
        if !rule.paths.contains(where: { $0.matches(path) }) { return (3, "no path \(path.text)") }
        if !rule.methods.contains(request.method) { return (4, "no method \(request.method)") }
        if let query = rule.query, request.query != query { return (5, "no query but \(query)") }
        if request.isWebSocket && !rule.websocket { return (6, "no WebSocket") }
        return nil
    }

    private static func allow(_ request: RequestFacts, _ path: RequestPath, by rule: EgressRule) -> AllowedRequest {
        // The Messages API is metered whichever rule lets it through, and however its path is spelled: of the spellings that
        // only some servers take for it, and of the completions that came before it, metering refuses all.
        let isMessages =
            request.method == "POST"
            && (rule.api == .messages
                || request.host == relayHost
                    && ["/v1/messages", "/v1/complete"].contains { path.leniently.hasPrefix($0) })
        return AllowedRequest(
            rule: rule.id, credential: rule.credential, credentialIsOptional: rule.credentialIsOptional,
            isMessagesAPI: isMessages, bodyRules: isMessages ? rule.messages ?? MessagesBodyRules() : nil,
            maxRequestBytes: rule.maxRequestBytes, maxResponseBytes: rule.maxResponseBytes, pushPolicy: rule.push)
    }
}
