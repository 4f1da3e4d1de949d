extension EgressPolicy {
    /// What each rule for the host of a request says of it, in the order in which they are looked at.
    public func explanations(of request: RequestFacts) -> [(id: String, says: String)] {
        let path: RequestPath
        do throws(EgressPolicyError) {
            path = try RequestPath(request.path)
        } catch { return [] }
        return rules.filter { $0.host.matches(request.host) }.map { rule in
            (rule.id, refusal(of: request, path, by: rule)?.text ?? "allows it")
        }
    }
}

extension RequestFacts {
    /// The request for a URL: `http` or `https`, a host, and what may follow. No user information, and no fragment.
    ///
    /// - Throws: ``EgressPolicyError`` where it is no such URL.
    public init(url: String, method: String) throws(EgressPolicyError) {
        let scheme: EgressRule.Scheme
        var rest = url[...]
        if url.hasPrefix("https://") {
            scheme = .https
            rest = rest.dropFirst(8)
        } else if url.hasPrefix("http://") {
            scheme = .http
            rest = rest.dropFirst(7)
        } else {
            throw EgressPolicyError(.malformed, "expected https://HOST/PATH or http://HOST/PATH, found \(url)")
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if authority.contains("@") { throw EgressPolicyError(.malformed, "expected no user before the host") }
        rest = rest.dropFirst(authority.count)
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }) else {
            throw EgressPolicyError(.malformed, "expected a path and a query of ASCII, without a fragment")
        }
        var name = authority
        var port: UInt16 = scheme == .http ? 80 : 443
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = UInt16(authority[colon...].dropFirst()), number > 0 else {
                throw EgressPolicyError(.malformed, "expected a port, found \(authority[colon...].dropFirst())")
            }
            port = number
            name = authority[..<colon]
        }
        let path = rest.prefix { $0 != "?" }
        let query = rest.dropFirst(path.count)
        self.init(
            host: try HostName(name), port: port, scheme: scheme, method: method,
            path: path.isEmpty ? "/" : String(path), query: query.isEmpty ? nil : String(query.dropFirst()))
    }
}
