import EgressPolicy
import Metering
import NIOCore

/// What the head of a request decides: by which rule it goes out, how, and what its bodies are held to.
struct RequestAdmission {
    let allowed: AllowedRequest
    /// In its one spelling: what was decided on, and what is sent.
    let path: String
    let query: String?
    let credential: Credential?
    /// The dummies that may not be in it.
    let forbidden: SecretText
    /// The most bytes of its body.
    let requestBytes: Int
    /// The most bytes of its response's body.
    let responseBytes: Int

    /// Whether the body is needed whole before it is decided.
    var needsWhole: Bool { allowed.isMessagesAPI || allowed.pushPolicy != nil }

    /// What a client says of itself, and what is written anew.
    private static let dropped: Set<String> = [
        "host", "content-length", "expect", "authorization", "x-api-key", "cookie", "proxy-authorization",
    ]

    /// Fields by which a server behind a proxy is told whom a request was for, and whose it is: some take a request for one of
    /// another host, which the rules have not decided, or of a caller whom they trust.
    private static func isOfAProxy(_ name: String) -> Bool {
        let name = hyphenated(name)
        return name.hasPrefix("x-forwarded-") || proxied.contains(name)
    }
    private static let proxied: Set<String> = [
        "forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "x-host", "x-original-host",
        "x-http-host-override",
    ]

    /// The request's first line and its fields as they go upstream, but for the framing of its body: written anew from
    /// what was read, without what a client says of itself, and with the credential.
    func write(_ head: RequestHead, to destination: Upstream, into message: inout ByteBuffer) {
        var fields = head.fields.forwarded(dropping: Self.dropped)
        fields.remove(Self.isOfAProxy)
        var query = query
        if let credential {
            credential.write(into: &fields, query: &query)
            // What is compressed cannot be searched for the credential.
            fields.remove { $0 == "accept-encoding" || $0 == "sec-websocket-extensions" }
            fields.append("accept-encoding", "identity")
        }
        message.writeString(head.method)
        message.writeStaticString(" ")
        message.writeString(path)
        if let query {
            message.writeStaticString("?")
            message.writeString(query)
        }
        message.writeStaticString(" HTTP/1.1\r\nhost: ")
        message.writeString(destination.host.text)
        if destination.port != (destination.isTLS ? 443 : 80) { message.writeString(":\(destination.port)") }
        message.writeStaticString("\r\n")
        fields.write(into: &message)
        if head.isWebSocket { message.writeStaticString("connection: upgrade\r\nupgrade: websocket\r\n") }
    }
}

extension EgressSession {
    /// The most bytes that the Messages API takes.
    private static let mostOfMessages = 32 << 20

    /// Decides by the head alone. What is known by the time of a refusal stands in `entry`.
    ///
    /// - Throws: what the client is told. A dummy where it does not belong has ended the session then.
    func admit(
        _ head: RequestHead, to destination: Upstream, path raw: String, query: String?, _ entry: inout RequestEntry
    ) throws(HTTPRefusal) -> RequestAdmission {
        entry.path = raw
        let path: RequestPath
        do throws(EgressPolicyError) {
            path = try RequestPath(raw)
        } catch {
            throw HTTPRefusal(error.kind == .malformed ? 400 : 403, error.message)
        }
        entry.path = path.text
        let forbidden = tripwire(at: destination.host)
        try checkTripwire(head, raw, query, forbidden, destination)
        let facts = RequestFacts(
            host: destination.host, port: destination.port, scheme: destination.isTLS ? .https : .http,
            method: head.method, path: raw, query: query, isWebSocket: head.isWebSocket)
        let allowed: AllowedRequest
        switch policy.request(facts, path) {
        case .refuse(let reason): throw HTTPRefusal(403, reason)
        case .allow(let found): allowed = found
        }
        entry.rule = allowed.rule
        try checkCapacity()
        let admission = RequestAdmission(
            allowed: allowed, path: path.text, query: query,
            credential: try credential(for: allowed, head, to: destination, path), forbidden: forbidden,
            requestBytes: allowed.maxRequestBytes
                ?? min(gateway.limits.requestBytes, allowed.isMessagesAPI ? Self.mostOfMessages : .max),
            responseBytes: allowed.maxResponseBytes ?? gateway.limits.responseBytes)
        entry.credential = admission.credential?.definition.name
        try checkBody(head, admission)
        return admission
    }

    /// The dummy where it does not belong is a program that tries out what it found.
    private func checkTripwire(
        _ head: RequestHead, _ path: String, _ query: String?, _ forbidden: SecretText, _ destination: Upstream
    ) throws(HTTPRefusal) {
        guard !forbidden.isEmpty else { return }
        // NUL stands in none of them.
        var places = Array(path.utf8) + [0] + Array((query ?? "").utf8)
        for field in head.fields.list {
            for text in [field.name, field.value] {
                places.append(0)
                places += text.utf8
            }
        }
        if forbidden.isFound(in: places)
            || places.contains(UInt8(ascii: "%")) && forbidden.isFound(in: percentDecoded(places))
        {
            throw trip(destination.host)
        }
    }

    /// Ends the session, whose dummy was in a request where it does not belong; what the client is told.
    func trip(_ host: HostName) -> HTTPRefusal {
        gateway.metrics.tripped()
        let detail = "the session's dummy credential was in a request to \(host)"
        loop.execute { self.stop(GatewayDecision(.end, .tripwire, detail: detail)) }
        return HTTPRefusal(403, "a dummy credential where it does not belong")
    }

    private func checkCapacity() throws(HTTPRefusal) {
        if let stopped {
            throw HTTPRefusal(stopped.reason == .budget ? 402 : 503, "egress is stopped: \(stopped.detail)")
        }
        if requests > gateway.limits.requests {
            throw HTTPRefusal(503, "more than \(gateway.limits.requests) requests at once")
        }
        if let after = gateway.rateExceeded(self) {
            throw HTTPRefusal(429, "more requests than the rate allows; again in \(after / 1_000_000) ms")
        }
    }

    private func credential(
        for allowed: AllowedRequest, _ head: RequestHead, to destination: Upstream, _ path: RequestPath
    ) throws(HTTPRefusal) -> Credential? {
        guard let name = allowed.credential else { return nil }
        guard let credential = gateway.credentials[name] else {
            if allowed.credentialIsOptional { return nil }
            throw HTTPRefusal(503, "the credential \(name) is not in the gateway's configuration")
        }
        guard destination.isTLS,
            credential.definition.isBound(tenant: tenant, host: destination.host, method: head.method, path: path)
        else {
            if allowed.credentialIsOptional { return nil }
            throw HTTPRefusal(403, "the credential \(name) is not bound to this request")
        }
        return credential
    }

    private func checkBody(_ head: RequestHead, _ admission: RequestAdmission) throws(HTTPRefusal) {
        if case .length(let count) = head.framing, count > admission.requestBytes {
            throw HTTPRefusal(413, "a body of more than \(admission.requestBytes) bytes")
        }
        if admission.needsWhole, let coding = head.fields["content-encoding"], coding.lowercased() != "identity" {
            throw HTTPRefusal(415, "a body that has to be read, in the coding \(coding)")
        }
    }
}
