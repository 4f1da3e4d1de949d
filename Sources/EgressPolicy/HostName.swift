/// A name, a target or a policy that is not accepted, and how the gateway answers it.
public struct EgressPolicyError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of refusal it is.
    public enum Kind: Sendable {
        /// No name or target at all: answered with 400.
        case malformed
        /// Understood, and never allowed (an address in the place of a name): answered with 403.
        case forbidden
    }

    /// How it is answered.
    public let kind: Kind
    /// What was expected.
    public let message: String

    /// Describes what is not accepted.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The message.
    public var description: String { message }
}

/// A DNS name in its one canonical form: A-labels (RFC 5890), lower case, no dot at the end, labels of 1 to 63 of
/// `[a-z0-9-]`, 253 octets at most. Never an address, in whichever of its forms (`127.1`, `0x7f.1`, `2130706433`).
///
/// Letters beyond ASCII are refused and not converted: who means such a name writes its `xn--` form, so that no rule and
/// no request depends on a version of Unicode.
public struct HostName: Hashable, Sendable, CustomStringConvertible {
    /// The canonical form.
    public let text: String

    /// Brings a name into the canonical form.
    ///
    /// - Throws: ``EgressPolicyError``, `.forbidden` for an address, `.malformed` for anything else.
    public init(_ raw: some StringProtocol) throws(EgressPolicyError) {
        var bytes = Array(raw.utf8)
        if bytes.contains(where: { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "[") }) {
            throw Self.refuse(bracketed: bytes)
        }
        if bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.count <= 253 else {
            throw EgressPolicyError(.malformed, "expected a host name of 1 to 253 letters, found \(bytes.count)")
        }
        var length = 0
        var last = UInt8(ascii: ".")
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): length += 1
            case UInt8(ascii: "A")...UInt8(ascii: "Z"):
                bytes[index] = byte | 0x20
                length += 1
            case UInt8(ascii: "-") where length > 0: length += 1
            case UInt8(ascii: ".") where length > 0 && last != UInt8(ascii: "-"): length = 0
            default: throw Self.malformed
            }
            if length > 63 { throw Self.malformed }
            last = byte
        }
        if last == UInt8(ascii: "-") || last == UInt8(ascii: ".") { throw Self.malformed }
        let start = bytes.lastIndex(of: UInt8(ascii: ".")).map { $0 + 1 } ?? 0
        if Self.isNumber(bytes[start...]) {
            throw EgressPolicyError(.forbidden, "expected a host name, found an address")
        }
        text = String(decoding: bytes, as: UTF8.self)
    }

    /// For names that are canonical already.
    init(canonical text: String) { self.text = text }

    /// The name.
    public var description: String { text }

    /// How many labels it has.
    var labels: Int { text.utf8.count { $0 == UInt8(ascii: ".") } + 1 }

    private static let malformed = EgressPolicyError(
        .malformed, "expected a host name: labels of 1 to 63 letters, digits and -, with dots between them")

    /// A name whose last label is a number is an address to inet_aton(3) and to every URL parser (URL Standard, "ends in
    /// a number").
    private static func isNumber(_ label: ArraySlice<UInt8>) -> Bool {
        func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
        if label.allSatisfy(isDigit) { return true }
        guard label.starts(with: "0x".utf8) else { return false }
        return label.dropFirst(2).allSatisfy { isDigit($0) || $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "f") }
    }

    /// What is wrong with something that has brackets or colons: an IPv6 address, or nothing at all.
    private static func refuse(bracketed bytes: [UInt8]) -> EgressPolicyError {
        var inner = bytes[...]
        if inner.first == UInt8(ascii: "["), inner.last == UInt8(ascii: "]") { inner = inner.dropFirst().dropLast() }
        let address = IPAddress(String(decoding: inner, as: UTF8.self))
        return address == nil
            ? malformed : EgressPolicyError(.forbidden, "expected a host name, found the address \(address!)")
    }
}
