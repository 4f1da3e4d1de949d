import Documents

/// The SHA-256 of a JSON value as compact text: no blanks, members in the order sent, numbers as they are, in strings
/// only the escapes that there must be. Python's `json.dumps(v, separators=(',', ':'), ensure_ascii=False)` writes it so.
struct JSONDigest: JSONSink, Sendable {
    private var hash = SHA256Hash()
    /// What is to be hashed, until it is worth a call.
    private var pending: [UInt8] = []
    private var isInString = false
    private var needsComma = false

    mutating func open(_ container: JSONContainer, at offset: Int) {
        separate()
        put(container == .object ? UInt8(ascii: "{") : UInt8(ascii: "["))
        needsComma = false
    }

    mutating func close(_ container: JSONContainer, before offset: Int) {
        put(container == .object ? UInt8(ascii: "}") : UInt8(ascii: "]"))
        needsComma = true
    }

    mutating func begin(_ token: JSONToken, at offset: Int) {
        separate()
        isInString = token == .key || token == .string
        if isInString { put(UInt8(ascii: "\"")) }
    }

    mutating func part(_ bytes: UnsafeBufferPointer<UInt8>) {
        var start = 0
        for index in bytes.indices where isInString && Self.needsEscape(bytes[index]) {
            put(UnsafeBufferPointer(rebasing: bytes[start..<index]))
            escape(bytes[index])
            start = index + 1
        }
        put(UnsafeBufferPointer(rebasing: bytes[start...]))
    }

    mutating func end(_ token: JSONToken, before offset: Int) {
        if isInString { put(UInt8(ascii: "\"")) }
        if token == .key { put(UInt8(ascii: ":")) }
        needsComma = token != .key
    }

    /// The digest of all that was read so far; more may follow.
    mutating func digest() -> [UInt8] {
        flush()
        var copy = hash
        return copy.finish()
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func escape(_ byte: UInt8) {
        put(UInt8(ascii: "\\"))
        switch byte {
        case 0x08: put(UInt8(ascii: "b"))
        case 0x09: put(UInt8(ascii: "t"))
        case 0x0A: put(UInt8(ascii: "n"))
        case 0x0C: put(UInt8(ascii: "f"))
        case 0x0D: put(UInt8(ascii: "r"))
        case 0..<0x20:
            for byte in "u00\(byte >> 4)\(String(byte & 15, radix: 16))".utf8 { put(byte) }
        default: put(byte)
        }
    }

    private mutating func separate() {
        if needsComma { put(UInt8(ascii: ",")) }
        needsComma = false
    }

    private mutating func put(_ byte: UInt8) { pending.append(byte) }

    private mutating func put(_ bytes: UnsafeBufferPointer<UInt8>) {
        pending.append(contentsOf: bytes)
        if pending.count >= 4096 { flush() }
    }

    private mutating func flush() {
        hash.update(pending)
        pending.removeAll(keepingCapacity: true)
    }
}
