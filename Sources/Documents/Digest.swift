import CLibmd

/// The SHA-256 (FIPS 180-4) of bytes that come in parts. A copy goes on for itself.
public struct SHA256Hash: Sendable {
    private var context = SHA2_CTX()

    /// The digest of nothing, so far.
    public init() { SHA256Init(&context) }

    /// Takes the next bytes in.
    public mutating func update(_ bytes: [UInt8]) { SHA256Update(&context, bytes, bytes.count) }

    /// The digest of all bytes: 32. Nothing more can be taken in.
    public mutating func finish() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        SHA256Final(&digest, &context)
        return digest
    }
}

/// The SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
public func sha256(_ bytes: [UInt8]) -> String {
    var hash = SHA256Hash()
    hash.update(bytes)
    return hexadecimal(hash.finish())
}

/// `bytes` as lower-case hexadecimal digits.
public func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits: StaticString = "0123456789abcdef"
    var text: [UInt8] = []
    text.reserveCapacity(2 * bytes.count)
    for byte in bytes {
        text.append(digits.utf8Start[Int(byte >> 4)])
        text.append(digits.utf8Start[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}

/// A short name for a text (FNV-1a, 64 bits): for finding again what this host made itself, never for trust.
public func fingerprint(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
