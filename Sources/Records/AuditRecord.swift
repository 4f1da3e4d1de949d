import Documents
import Syscalls
import SystemPackage

/// A place in the chain: a record's number and its hash, which stands for the record and for all before it.
public struct AuditHead: Sendable, Equatable, CustomStringConvertible {
    /// The record's number, from 1; 0 is the place before the first.
    public let sequence: Int64
    /// SHA-256 as 64 hexadecimal digits; all zeros before the first record.
    public let hash: String

    /// A place in the chain.
    public init(sequence: Int64, hash: String) {
        self.sequence = sequence
        self.hash = hash
    }

    /// Where every chain starts.
    static let start = AuditHead(sequence: 0, hash: String(repeating: "0", count: 64))

    /// For example `1042:9f86…`, as `init(_:)` reads it: to be noted down where nobody who can write the log can.
    public var description: String { "\(sequence):\(hash)" }

    /// Reads what `description` writes.
    public init?(_ text: String) { self.init(Array(text.utf8)[...]) }

    /// Reads what `description` writes, as bytes.
    init?(_ text: ArraySlice<UInt8>) {
        var sequence: Int64 = 0
        var rest = text
        // Eighteen digits fit Int64; a host that audits a million decisions a second gets there in 30,000 years.
        while let digit = rest.first, UInt8(ascii: "0")...UInt8(ascii: "9") ~= digit, text.count - rest.count < 18 {
            sequence = sequence * 10 + Int64(digit - UInt8(ascii: "0"))
            rest.removeFirst()
        }
        guard rest.count < text.count, rest.first == UInt8(ascii: ":"), rest.count == 65,
            rest.dropFirst().allSatisfy(isHexDigit)
        else { return nil }
        self.init(sequence: sequence, hash: String(decoding: rest.dropFirst(), as: UTF8.self))
    }
}

/// The line of one record, as bytes: `{"seq":N,` … `,"prev":"P","hash":"H"}`, where H is the SHA-256 of all bytes
/// before `,"hash":`. The ends of the line have fixed shapes, so that the chain can be followed without reading JSON.
struct AuditRecord {
    let place: AuditHead
    let previous: String
    /// Whether the hash is that of the record's bytes.
    let isGenuine: Bool

    private static let hashMember = Array(",\"hash\":\"".utf8)
    private static let previousMember = Array(",\"prev\":\"".utf8)
    private static let sequenceMember = Array("{\"seq\":".utf8)
    private static let end = Array("\"}".utf8)
    private static let digits = 64

    /// Takes a line apart; `nil` when it is no record at all.
    init?(_ line: ArraySlice<UInt8>) {
        var rest = line
        func dropLast(_ expected: [UInt8]) -> Bool {
            guard rest.count >= expected.count, rest.suffix(expected.count).elementsEqual(expected) else {
                return false
            }
            rest.removeLast(expected.count)
            return true
        }
        func dropHash() -> String? {
            let hash = rest.suffix(Self.digits)
            guard hash.count == Self.digits, hash.allSatisfy(isHexDigit) else { return nil }
            rest.removeLast(Self.digits)
            return String(decoding: hash, as: UTF8.self)
        }
        guard dropLast(Self.end), let hash = dropHash(), dropLast(Self.hashMember) else { return nil }
        let body = rest
        guard dropLast([UInt8(ascii: "\"")]), let previous = dropHash(), dropLast(Self.previousMember),
            rest.starts(with: Self.sequenceMember)
        else { return nil }
        let number = rest.dropFirst(Self.sequenceMember.count).prefix { $0 != UInt8(ascii: ",") }
        guard let sequence = Int64(String(decoding: number, as: UTF8.self)), sequence > 0 else { return nil }
        place = AuditHead(sequence: sequence, hash: hash)
        self.previous = previous
        isGenuine = sha256(Array(body)) == hash
    }

    /// Writes the record that follows `previous`, its newline included, and says where the chain then is.
    static func write(
        _ event: String, _ fields: Node, at time: Timestamp, after previous: AuditHead, to lines: inout [UInt8]
    ) -> AuditHead {
        var entries: [Node.Entry] = [
            .init(key: "seq", value: Node(.integer(previous.sequence + 1))),
            .init(key: "time", value: Node(.string(time.description))),
            .init(key: "event", value: Node(.string(event))),
        ]
        for field in fields.cut(to: 16 << 10).entries ?? [] {
            var key = field.key.withoutNUL
            // A field may not pass for one of the chain's own, nor for another field.
            while key == "prev" || key == "hash" || entries.contains(where: { $0.key == key }) { key += "_" }
            entries.append(.init(key: key, value: field.value))
        }
        entries.append(.init(key: "prev", value: Node(.string(previous.hash))))
        var body = Array(Node(.mapping(entries)).json().utf8)
        body.removeLast()
        let hash = sha256(body)
        lines += body + hashMember + Array(hash.utf8) + end + [UInt8(ascii: "\n")]
        return AuditHead(sequence: previous.sequence + 1, hash: hash)
    }
}

private func isHexDigit(_ byte: UInt8) -> Bool {
    UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || UInt8(ascii: "a")...UInt8(ascii: "f") ~= byte
}
