/// What a TLS client says before anything is encrypted (RFC 8446, section 4.1.2).
struct ClientHello: Equatable {
    /// The name of the server_name extension (RFC 6066, section 3), as sent.
    let serverName: String?
    /// Whether the true hello is hidden inside (encrypted_client_hello): the name above is then a cover.
    let isEncrypted: Bool

    enum Reading: Equatable {
        case needsMore
        /// The first bytes are no TLS handshake, or a malformed one.
        case notTLS
        case hello(ClientHello)
    }

    /// The most bytes that a hello may have, over all its records; post-quantum key shares take two thousand.
    static let limit = 16 << 10

    /// Reads the hello at the start of `bytes`, which may come in several records.
    static func read(_ bytes: some RandomAccessCollection<UInt8>) -> Reading {
        var handshake: [UInt8] = []
        var rest = Cursor(Array(bytes))
        while true {
            // A record: type 22 (handshake), version 3.x, length.
            guard let type = rest.byte() else { return .needsMore }
            if type != 22 { return .notTLS }
            guard let major = rest.byte() else { return .needsMore }
            if major != 3 { return .notTLS }
            guard rest.byte() != nil, let length = rest.uint16() else { return .needsMore }
            if length == 0 || length > 16 << 10 { return .notTLS }
            let part = rest.upTo(length)
            handshake += part
            if let kind = handshake.first, kind != 1 { return .notTLS }
            if handshake.count >= 4 {
                let size = Int(handshake[1]) << 16 | Int(handshake[2]) << 8 | Int(handshake[3])
                if size > limit { return .notTLS }
                if handshake.count >= 4 + size {
                    guard let hello = ClientHello(Cursor(Array(handshake[4..<4 + size]))) else { return .notTLS }
                    return .hello(hello)
                }
            }
            if part.count < length { return .needsMore }
        }
    }

    private init?(_ body: Cursor) {
        var body = body
        // legacy_version, random, legacy_session_id, cipher_suites, legacy_compression_methods
        guard body.skip(34), let session = body.byte(), body.skip(Int(session)), let suites = body.uint16(),
            body.skip(suites), let methods = body.byte(), body.skip(Int(methods))
        else { return nil }
        var name: String?
        var encrypted = false
        if !body.isEmpty {
            guard let length = body.uint16(), var extensions = body.part(length), body.isEmpty else { return nil }
            var seen: Set<Int> = []
            while !extensions.isEmpty {
                guard let type = extensions.uint16(), let length = extensions.uint16(),
                    var content = extensions.part(length), seen.insert(type).inserted
                else { return nil }
                switch type {
                case 0:
                    // One name of type host_name.
                    guard let list = content.uint16(), list == content.count, content.byte() == 0,
                        let size = content.uint16(), let text = content.part(size), content.isEmpty
                    else { return nil }
                    name = String(decoding: text.bytes, as: UTF8.self)
                case 0xFE0D: encrypted = true
                default: break
                }
            }
        }
        serverName = name
        isEncrypted = encrypted
    }

    /// The fatal alert `unrecognized_name` (RFC 8446, section 6.2), for a hello that is turned away.
    static let unrecognizedName: [UInt8] = [21, 3, 3, 0, 2, 2, 112]
}

/// Reads big-endian fields from the front of bytes.
struct Cursor {
    let bytes: ArraySlice<UInt8>
    private var position: Int

    init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    private init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    var count: Int { bytes.endIndex - position }
    var isEmpty: Bool { count == 0 }

    mutating func byte() -> UInt8? {
        guard count > 0 else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func uint16() -> Int? {
        guard count > 1 else { return nil }
        defer { position += 2 }
        return Int(bytes[position]) << 8 | Int(bytes[position + 1])
    }

    mutating func skip(_ number: Int) -> Bool {
        guard count >= number else { return false }
        position += number
        return true
    }

    mutating func part(_ number: Int) -> Cursor? {
        guard count >= number else { return nil }
        defer { position += number }
        return Cursor(bytes[position..<position + number])
    }

    mutating func upTo(_ number: Int) -> ArraySlice<UInt8> {
        let end = min(bytes.endIndex, position + number)
        defer { position = end }
        return bytes[position..<end]
    }
}
