import CLibpsl

/// The hosts of a rule: `example.com`, that name alone; or `*.example.com`, every name below it and not itself.
public struct HostPattern: Hashable, Sendable, CustomStringConvertible {
    /// Whether the names below are meant.
    public let isWildcard: Bool
    /// The name, without `*.`.
    public let name: HostName

    /// Reads a pattern.
    ///
    /// - Throws: ``EgressPolicyError`` for what is no name, for a single label, for names of the host itself, and for a
    ///   wildcard over a public suffix: below `co.uk` or `github.io` everyone has a name (publicsuffix.org).
    public init(_ raw: String) throws(EgressPolicyError) {
        isWildcard = raw.hasPrefix("*.")
        name = try HostName(isWildcard ? raw.dropFirst(2) : raw[...])
        guard name.labels > 1 else {
            throw EgressPolicyError(.forbidden, "expected a name of two labels or more, found \(name)")
        }
        guard !Self.isOfTheHost(name) else {
            throw EgressPolicyError(.forbidden, "expected a name of another host, found \(name)")
        }
        if isWildcard, psl_is_public_suffix(psl_builtin(), name.text) != 0 {
            throw EgressPolicyError(
                .forbidden, "\(name) is a public suffix: anyone can have a name below it; name the hosts themselves")
        }
    }

    /// Whether the pattern means `host`.
    public func matches(_ host: HostName) -> Bool {
        guard isWildcard else { return host == name }
        let (text, suffix) = (host.text.utf8, name.text.utf8)
        return text.count > suffix.count + 1 && text.suffix(suffix.count).elementsEqual(suffix)
            && text.dropLast(suffix.count).last == UInt8(ascii: ".")
    }

    /// As it is written.
    public var description: String { isWildcard ? "*.\(name)" : name.text }

    /// Names that resolvers answer without asking (RFC 6761), and those of cloud metadata services.
    static func isOfTheHost(_ name: HostName) -> Bool {
        name.text == "localhost" || name.text.hasSuffix(".localhost") || name.text == "metadata.google.internal"
            || name.text == "localhost.localdomain"
    }
}
