import EgressPolicy

/// A request whose head has been checked: what it asks for, and how long its body is.
struct RequestHead {
    let method: String
    let target: RequestTarget
    /// The Host field; `:authority` of HTTP/2.
    let host: Authority?
    /// `true` where the Host field is an address: a relay on loopback is reached by one.
    let fields: HeaderFields
    let framing: BodyFraming
    let keepAlive: Bool
    let isWebSocket: Bool
    let expectsContinue: Bool

    /// Checks a head against what no honest client sends (RFC 9112, sections 3.2, 6.1, 11.2).
    ///
    /// - Parameter hostIsLocal: accept `127.0.0.1`, `[::1]` and `localhost` in the Host field, which is then `nil`.
    init(_ head: HeadParser.Head, hostIsLocal: Bool = false) throws(HTTPRefusal) {
        let (method, target, version) = head.start
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else { throw .bad("a version that is not HTTP/1.1") }
        if method == "TRACE" || method == "TRACK" { throw HTTPRefusal(405, "\(method) shows a request's fields") }
        let fields = head.fields
        self.method = method
        self.target = try RequestTarget(method: method, target)
        try checkFields(fields)
        if let host = fields["host"] {
            self.host = hostIsLocal && isLocal(host) ? nil : try Authority(host)
        } else if case .authority = self.target, version == "HTTP/1.0" {
            // Python's http.client asks so for tunnels; the target says all.
            host = nil
        } else {
            throw .bad("no Host field")
        }
        framing = try requestFraming(fields, version: version)
        if case .authority = self.target, framing != .none || fields.contains("content-length") {
            throw .bad("CONNECT with a body")
        }
        let connection = fields.members(of: "connection")
        keepAlive = version == "HTTP/1.1" ? !connection.contains("close") : false
        isWebSocket = try upgradeIsWebSocket(fields, connection, method)
        switch fields["expect"]?.lowercased() {
        case nil: expectsContinue = false
        case "100-continue": expectsContinue = version == "HTTP/1.1"
        default: throw HTTPRefusal(417, "an expectation other than 100-continue")
        }
        self.fields = fields
    }

    init(
        method: String, target: RequestTarget, host: Authority, fields: HeaderFields, framing: BodyFraming
    ) throws(HTTPRefusal) {
        if method == "TRACE" || method == "TRACK" { throw HTTPRefusal(405, "\(method) shows a request's fields") }
        try checkFields(fields)
        self.method = method
        self.target = target
        self.host = host
        self.fields = fields
        self.framing = framing
        keepAlive = true
        isWebSocket = false
        expectsContinue = false
    }
}

extension RequestHead {
    /// Whether a field says where a message goes or where it ends: the gateway writes it, and no credential is one.
    static func isOfTheMessage(_ name: String) -> Bool {
        hopByHop.contains(name) || ["host", "content-length", "expect"].contains(name)
    }
}

private func isLocal(_ host: String) -> Bool {
    guard let colon = host.utf8.lastIndex(of: 0x3A), !host.hasSuffix("]") else {
        return ["127.0.0.1", "localhost", "[::1]"].contains(host.lowercased())
    }
    return ["127.0.0.1", "localhost", "[::1]"].contains(host[..<colon].lowercased())
}

private let once: Set<String> = [
    "host", "content-length", "transfer-encoding", "content-type", "content-encoding", "authorization",
    "proxy-authorization", "x-api-key", "anthropic-version", "upgrade", "expect", "te", "origin", "range",
    "x-forwarded-for", "x-forwarded-host",
]
/// Fields by which some servers take a request for one of another method, or for another path, than its first line says: the
/// rules decide by the first line.
private let overriding: Set<String> = [
    "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
]
private let known: Set<String> = once.union(overriding).union([
    "cookie", "connection", "accept", "accept-encoding", "user-agent", "anthropic-beta", "x-forwarded-proto",
    "x-real-ip", "forwarded", "proxy-connection", "keep-alive", "trailer", "if-match", "if-none-match", "referer",
])
private let hopByHop: Set<String> = [
    "connection", "keep-alive", "proxy-connection", "te", "upgrade", "trailer", "transfer-encoding",
    "proxy-authenticate", "proxy-authentication-info", "http2-settings",
]

/// A field's name with hyphens for underscores: CGI-like servers read both spellings as one variable.
func hyphenated(_ name: String) -> String {
    name.utf8.contains(UInt8(ascii: "_")) ? String(name.map { $0 == "_" ? "-" : $0 }) : name
}

private func checkFields(_ fields: HeaderFields) throws(HTTPRefusal) {
    var seen: Set<String> = []
    for field in fields.list {
        if once.contains(field.name), !seen.insert(field.name).inserted {
            throw .bad("the field \(field.name) twice")
        }
        if overriding.contains(field.name) { throw .bad("the field \(field.name), which asks for another request") }
        if field.name.utf8.contains(UInt8(ascii: "_")), known.contains(hyphenated(field.name)) {
            throw .bad("the field \(field.name), a twin of a known one")
        }
    }
    if fields.contains("trailer") { throw .bad("a Trailer field") }
    if fields.contains("http2-settings") { throw .bad("an upgrade to h2c") }
    for name in fields.members(of: "connection")
    where known.contains(name) && !hopByHop.contains(name) && name != "close" {
        throw .bad("the field \(name) as one of this connection alone")
    }
}

private func requestFraming(_ fields: HeaderFields, version: String) throws(HTTPRefusal) -> BodyFraming {
    if let coding = fields["transfer-encoding"] {
        guard version == "HTTP/1.1" else { throw .bad("Transfer-Encoding in HTTP/1.0") }
        if fields.contains("content-length") { throw .bad("Transfer-Encoding beside Content-Length") }
        guard coding.lowercased() == "chunked" else { throw .bad("a transfer coding other than chunked") }
        return .chunked
    }
    guard let length = fields["content-length"] else { return .none }
    return .length(try contentLength(length))
}

/// Digits alone, at most 15: no sign, no list, no space.
func contentLength(_ text: String) throws(HTTPRefusal) -> Int {
    guard !text.isEmpty, text.utf8.count <= 15, text.utf8.allSatisfy(isDigit), let count = Int(text) else {
        throw .bad("a Content-Length that is no number")
    }
    return count
}

private func upgradeIsWebSocket(
    _ fields: HeaderFields, _ connection: [String], _ method: String
) throws(HTTPRefusal) -> Bool {
    guard let upgrade = fields["upgrade"] else {
        if connection.contains("upgrade") { throw .bad("an upgrade to nothing") }
        return false
    }
    guard upgrade.lowercased() == "websocket", connection.contains("upgrade"), method == "GET",
        fields["sec-websocket-version"] == "13", fields.count(of: "sec-websocket-key") == 1,
        !fields.contains("content-length"), !fields.contains("transfer-encoding")
    else { throw .bad("an upgrade to other than WebSocket") }
    return true
}

extension HeaderFields {
    /// The fields that go on to the other side: none of this connection's own, and none that tells who one is.
    func forwarded(dropping more: Set<String> = []) -> HeaderFields {
        let named = Set(members(of: "connection"))
        var result = self
        result.remove { hopByHop.contains($0) || named.contains($0) || more.contains($0) }
        return result
    }
}
