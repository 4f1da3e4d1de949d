import NIOCore

/// Cuts the head of an HTTP/1 message out of a stream of bytes, and accepts one spelling of it.
///
/// Lenient parsers disagree, and a disagreement between two of them in a row is a request that one did not see (request
/// smuggling, RFC 9112 section 11.2). So: lines end in CR LF and nothing else, single spaces in the first line, no
/// space before a colon, no folded lines, names of token characters, values of visible ASCII, space and tab.
struct HeadParser {
    struct Limits {
        /// Bytes of the first line and all fields together.
        var bytes = 64 << 10
        var fields = 128
    }

    enum Kind {
        case request
        case response
    }

    struct Head {
        /// Three parts: method, target and version; or version, status and reason.
        let start: (String, String, String)
        let fields: HeaderFields
    }

    let kind: Kind
    let limits: Limits
    /// What was looked at already, from the reader index on: a head that comes byte by byte is read once.
    private var scanned = 0
    private var lineStart = 0
    private var start: (String, String, String)?
    private var fields = HeaderFields()

    init(_ kind: Kind, limits: Limits = Limits()) {
        self.kind = kind
        self.limits = limits
    }

    /// Whether a part of a head has been seen.
    var isInside: Bool { scanned > 0 }

    /// Takes a whole head from the front of `buffer`; `nil` when more bytes are needed.
    mutating func next(_ buffer: inout ByteBuffer) throws(HTTPRefusal) -> Head? {
        let result = buffer.withUnsafeReadableBytes { bytes -> Result<Head?, HTTPRefusal> in
            do throws(HTTPRefusal) { return .success(try scan(bytes)) } catch { return .failure(error) }
        }
        guard let head = try result.get() else {
            if scanned > limits.bytes { throw HTTPRefusal(431, "a head of more than \(limits.bytes) bytes") }
            return nil
        }
        buffer.moveReaderIndex(forwardBy: lineStart)
        self = HeadParser(kind, limits: limits)
        return head
    }

    private mutating func scan(_ bytes: UnsafeRawBufferPointer) throws(HTTPRefusal) -> Head? {
        while scanned < bytes.count {
            guard let end = bytes[scanned...].firstIndex(of: 0x0A) else {
                scanned = bytes.count
                // What starts like nothing of HTTP is not waited for.
                if start == nil, kind == .request, let first = bytes.first, !isUpper(first) {
                    throw .bad("the first byte is no method's")
                }
                return nil
            }
            guard end > lineStart, bytes[end - 1] == 0x0D else { throw .bad("a line that ends in LF without CR") }
            let line = UnsafeRawBufferPointer(rebasing: bytes[lineStart..<end - 1])
            scanned = end + 1
            lineStart = end + 1
            if scanned > limits.bytes { throw HTTPRefusal(431, "a head of more than \(limits.bytes) bytes") }
            if line.isEmpty {
                guard let start else { throw .bad("an empty line in place of the first line") }
                return Head(start: start, fields: fields)
            }
            if start == nil {
                start = try firstLine(line)
            } else {
                try field(line)
            }
        }
        return nil
    }

    private func firstLine(_ line: UnsafeRawBufferPointer) throws(HTTPRefusal) -> (String, String, String) {
        guard let first = line.firstIndex(of: 0x20) else { throw .bad("a first line of one word") }
        guard let second = line[(first + 1)...].firstIndex(of: 0x20) else {
            throw .bad("a first line of two words")
        }
        let parts = (line[..<first], line[(first + 1)..<second], line[(second + 1)...])
        switch kind {
        case .request:
            guard !parts.0.isEmpty, parts.0.count <= 24, parts.0.allSatisfy(isMethod) else {
                throw .bad("a method that is no word of capital letters")
            }
            guard !parts.1.isEmpty, parts.1.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw .bad("a target with other bytes than visible ASCII")
            }
        case .response:
            guard parts.1.count == 3, parts.1.allSatisfy(isDigit), parts.2.allSatisfy({ isValue($0) || $0 >= 0x80 })
            else { throw .bad("a status line that is none") }
        }
        return (text(parts.0), text(parts.1), text(parts.2))
    }

    private mutating func field(_ line: UnsafeRawBufferPointer) throws(HTTPRefusal) {
        if line[0] == 0x20 || line[0] == 0x09 { throw .bad("a folded line") }
        guard let colon = line.firstIndex(of: 0x3A), colon > 0 else { throw .bad("a field without a name") }
        var name: [UInt8] = []
        name.reserveCapacity(colon)
        for byte in line[..<colon] {
            guard isToken(byte) else { throw .bad("a field name with other than token characters") }
            name.append(isUpper(byte) ? byte | 0x20 : byte)
        }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
        while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
        guard value.allSatisfy({ isValue($0) || (kind == .response && $0 >= 0x80) }) else {
            // A response's names are not told: they can be the credential that the upstream was given.
            let whose = kind == .request ? ", of \(text(name[...]))" : ""
            throw .bad("a value with control characters or bytes above 0x7E\(whose)")
        }
        if fields.list.count == limits.fields { throw HTTPRefusal(431, "more than \(limits.fields) fields") }
        fields.append(text(name[...]), text(value))
    }

    private func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
    private func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: bytes), as: UTF8.self)
    }
}

@inline(__always) func isUpper(_ byte: UInt8) -> Bool { byte >= 0x41 && byte <= 0x5A }
@inline(__always) func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
@inline(__always) private func isMethod(_ byte: UInt8) -> Bool { isUpper(byte) || byte == 0x2D }
/// field-vchar, space and tab (RFC 9110, section 5.5), without obs-text.
@inline(__always) func isValue(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte < 0x7F) || byte == 0x09 }

/// tchar of RFC 9110, section 5.6.2.
@inline(__always) func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x5E...0x7A, 0x7C, 0x7E, 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E: true
    default: false
    }
}

@inline(__always) func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
}
