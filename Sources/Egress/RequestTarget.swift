import EgressPolicy

/// A name (or what was written in its place) and a port, as Host fields, CONNECT targets and absolute URLs carry them.
struct Authority: Equatable {
    let host: HostName
    let port: UInt16?

    /// Reads `name`, `name:port`.
    ///
    /// - Throws: 400 for what has no legal form, 403 for an address in whatever form: an address is no name.
    init(_ text: some StringProtocol) throws(HTTPRefusal) {
        let text = Substring(text)
        var name = text[...]
        port =
            if let colon = text.utf8.lastIndex(of: 0x3A), text.utf8.last != UInt8(ascii: "]") {
                try Self.port(text[colon...].utf8.dropFirst())
            } else {
                nil
            }
        if port != nil, let colon = text.utf8.lastIndex(of: 0x3A) { name = text[..<colon] }
        do throws(EgressPolicyError) {
            host = try HostName(name)
        } catch {
            throw HTTPRefusal(error.kind == .forbidden ? 403 : 400, error.message)
        }
    }

    init(host: HostName, port: UInt16?) {
        self.host = host
        self.port = port
    }

    /// Digits without leading zeros.
    private static func port(_ digits: some Collection<UInt8>) throws(HTTPRefusal) -> UInt16 {
        guard digits.count <= 5, digits.allSatisfy(isDigit), digits.first != 0x30,
            let port = UInt16(String(decoding: digits, as: UTF8.self))
        else { throw .bad("a port that is no number from 1 to 65535") }
        return port
    }
}

/// A request's target in its four forms (RFC 9112, section 3.2).
enum RequestTarget: Equatable {
    case origin(path: String, query: String?)
    case absolute(scheme: String, Authority, path: String, query: String?)
    case authority(Authority)
    case asterisk

    init(method: String, _ text: String) throws(HTTPRefusal) {
        if method == "CONNECT" {
            let authority = try Authority(text)
            if authority.port == nil { throw .bad("CONNECT without a port") }
            self = .authority(authority)
            return
        }
        if text.utf8.contains(0x23) { throw .bad("a target with a fragment") }
        if text == "*" {
            guard method == "OPTIONS" else { throw .bad("the target * with another method than OPTIONS") }
            self = .asterisk
        } else if text.utf8.first == UInt8(ascii: "/") {
            let (path, query) = Self.split(text[...])
            self = .origin(path: path, query: query)
        } else {
            guard let colon = text.range(of: "://") else { throw .bad("a target that is no path and no URL") }
            let scheme = text[..<colon.lowerBound].lowercased()
            guard scheme == "http" || scheme == "https" else { throw .bad("a URL of another scheme than http") }
            let rest = text[colon.upperBound...]
            let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            if rest[..<end].utf8.contains(UInt8(ascii: "@")) { throw .bad("a URL with user information") }
            let authority = try Authority(rest[..<end])
            let (path, query) = Self.split(rest[end...])
            self = .absolute(scheme: scheme, authority, path: path.isEmpty ? "/" : path, query: query)
        }
    }

    private static func split(_ text: Substring) -> (String, String?) {
        guard let mark = text.utf8.firstIndex(of: UInt8(ascii: "?")) else { return (String(text), nil) }
        return (String(text[..<mark]), String(text[text.utf8.index(after: mark)...]))
    }
}

extension String {
    /// Where a shorter ASCII text stands in it first.
    func range(of other: StaticString) -> Range<String.Index>? {
        let wanted = other.withUTF8Buffer { Array($0) }
        var index = utf8.startIndex
        while index != utf8.endIndex {
            if utf8[index...].starts(with: wanted) { return index..<utf8.index(index, offsetBy: wanted.count) }
            index = utf8.index(after: index)
        }
        return nil
    }
}

/// Every percent-encoded byte decoded once; what is no encoding stays.
func percentDecoded(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.contains(UInt8(ascii: "%")) else { return bytes }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var index = 0
    while index < bytes.count {
        if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = hexValue(bytes[index + 1]),
            let low = hexValue(bytes[index + 2])
        {
            result.append(high << 4 | low)
            index += 3
        } else {
            result.append(bytes[index])
            index += 1
        }
    }
    return result
}
