import Glibc
import NIOCore

/// Texts that must not be seen, and where they stand in bytes.
struct SecretText: Sendable {
    let patterns: [[UInt8]]
    /// The length of the longest.
    let longest: Int

    /// - Parameter patterns: the texts; those of fewer than eight bytes are left out, since they would be found anywhere.
    init(_ patterns: [[UInt8]]) {
        self.patterns = patterns.filter { $0.count >= 8 }
        longest = self.patterns.map(\.count).max() ?? 0
    }

    /// A secret in every spelling in which a server echoes it, or a client hides it: as it is, percent-encoded in either
    /// case, in JSON with its slashes escaped, and in base64, whatever stands before it.
    init(spellingsOf secrets: [String]) {
        var all: [[UInt8]] = []
        for secret in secrets {
            let bytes = Array(secret.utf8)
            all.append(bytes)
            let escaped = bytes.flatMap { $0 == UInt8(ascii: "/") ? [UInt8(ascii: "\\"), $0] : [$0] }
            for other in [percentEncoded(bytes), percentEncoded(bytes, inCapitals: false), escaped]
            where !all.contains(other) { all.append(other) }
            for shift in 0..<3 { all += Self.base64(bytes, shift: shift) }
        }
        self.init(all)
    }

    var isEmpty: Bool { patterns.isEmpty }

    /// The part of the base64 text that is the same whatever stands around, for bytes at `shift` modulo three; in both
    /// alphabets where they differ.
    private static func base64(_ bytes: [UInt8], shift: Int) -> [[UInt8]] {
        let text = base64Encoded([UInt8](repeating: 0, count: shift) + bytes)
        let start = shift == 0 ? 0 : shift + 1
        let whole = (shift + bytes.count) * 8 / 6
        guard whole > start else { return [] }
        let standard = Array(text[start..<whole])
        let other = standard.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: "-") : $0 == UInt8(ascii: "/") ? 0x5F : $0 }
        return standard == other ? [standard] : [standard, other]
    }

    func isFound(in bytes: UnsafeRawBufferPointer) -> Bool {
        patterns.contains { Self.find($0, bytes) != nil }
    }

    func isFound(in bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { isFound(in: $0) } }

    func isFound(in text: some StringProtocol) -> Bool {
        guard !isEmpty else { return false }
        return Array(text.utf8).withUnsafeBytes { isFound(in: $0) }
    }

    /// Stars in the place of every occurrence, so that the length stays.
    func cover(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
        var found = false
        for pattern in patterns {
            var start = 0
            while let at = Self.find(pattern, UnsafeRawBufferPointer(rebasing: bytes[start...])) {
                memset(bytes.baseAddress! + start + at, 0x2A, pattern.count)
                start += at + pattern.count
                found = true
            }
        }
        return found
    }

    func covered(_ text: String) -> String {
        guard isFound(in: text) else { return text }
        var bytes = Array(text.utf8)
        _ = bytes.withUnsafeMutableBytes { cover($0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// How many of the last bytes may be the start of one of the texts.
    func openEnd(_ bytes: UnsafeRawBufferPointer) -> Int {
        var longest = 0
        for pattern in patterns {
            var length = min(pattern.count - 1, bytes.count)
            while length > longest {
                if memcmp(bytes.baseAddress! + bytes.count - length, pattern, length) == 0 { longest = length }
                length -= 1
            }
        }
        return longest
    }

    private static func find(_ pattern: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress, bytes.count >= pattern.count else { return nil }
        var start = 0
        let last = bytes.count - pattern.count
        while start <= last, let found = memchr(base + start, Int32(pattern[0]), last - start + 1) {
            let offset = UnsafeRawPointer(found) - base
            if memcmp(found, pattern, pattern.count) == 0 { return offset }
            start = offset + 1
        }
        return nil
    }
}

/// Covers secrets in a stream of bytes, also where one is split between two reads. It holds back only bytes that may
/// be the start of one.
struct Scrubber {
    let secrets: SecretText
    private(set) var hasCovered = false
    private var held: [UInt8] = []

    init(_ secrets: SecretText) { self.secrets = secrets }

    mutating func scrub(_ buffer: ByteBuffer) -> ByteBuffer {
        guard !secrets.isEmpty else { return buffer }
        var buffer = buffer
        if !held.isEmpty {
            var joined = ByteBuffer(bytes: held)
            joined.writeBuffer(&buffer)
            buffer = joined
            held = []
        }
        if buffer.withUnsafeReadableBytes({ secrets.isFound(in: $0) }) {
            hasCovered = true
            buffer.withUnsafeMutableReadableBytes { _ = secrets.cover($0) }
        }
        let open = buffer.withUnsafeReadableBytes { secrets.openEnd($0) }
        if open > 0 {
            held = Array(buffer.readableBytesView.suffix(open))
            buffer.moveWriterIndex(to: buffer.writerIndex - open)
        }
        return buffer
    }

    /// What was held back, when nothing follows.
    mutating func finish() -> ByteBuffer? {
        guard !held.isEmpty else { return nil }
        defer { held = [] }
        return ByteBuffer(bytes: held)
    }
}

/// Looks for secrets in a stream of bytes that passes unchanged.
struct Tripwire {
    let secrets: SecretText
    private var tail: [UInt8] = []

    init(_ secrets: SecretText) { self.secrets = secrets }

    mutating func isTouched(by buffer: ByteBuffer) -> Bool {
        guard !secrets.isEmpty else { return false }
        if buffer.withUnsafeReadableBytes({ secrets.isFound(in: $0) }) { return true }
        // Across the border between this and what came before.
        let joined = tail + buffer.readableBytesView.prefix(secrets.longest)
        if joined.withUnsafeBytes({ secrets.isFound(in: $0) }) { return true }
        tail = Array((tail + buffer.readableBytesView.suffix(secrets.longest)).suffix(secrets.longest))
        return false
    }
}

func base64Encoded(_ bytes: [UInt8]) -> [UInt8] {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = (0..<3).map { start + $0 < bytes.count ? Int(bytes[start + $0]) : 0 }
        let value = group[0] << 16 | group[1] << 8 | group[2]
        for digit in 0..<4 {
            text.append(start + digit <= bytes.count ? letters[value >> (18 - 6 * digit) & 63] : UInt8(ascii: "="))
        }
    }
    return text
}

func percentEncoded(_ bytes: [UInt8], inCapitals: Bool = true) -> [UInt8] {
    let letter: UInt8 = inCapitals ? 0x37 : 0x57
    var text: [UInt8] = []
    for byte in bytes {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: text.append(byte)
        default: text += Array("%".utf8) + [byte >> 4, byte & 15].map { $0 < 10 ? $0 + 0x30 : $0 + letter }
        }
    }
    return text
}
