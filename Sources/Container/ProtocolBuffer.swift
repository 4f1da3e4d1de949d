/// A message in the wire format of Protocol Buffers, as far as criu speaks it: whole numbers, and what has a length
/// (protobuf.dev, "Encoding").
struct ProtocolBuffer {
    /// The message.
    private(set) var bytes: [UInt8] = []

    /// A message without fields.
    init() {}

    /// Adds a whole number or an enumeration's value.
    mutating func add(_ field: UInt64, _ value: Int) {
        add(field << 3)
        add(UInt64(bitPattern: Int64(value)))
    }

    /// Adds a truth value.
    mutating func add(_ field: UInt64, _ value: Bool) { add(field, value ? 1 : 0) }

    /// Adds a message.
    mutating func add(_ field: UInt64, _ message: ProtocolBuffer) { add(field, message.bytes) }

    /// Adds text.
    mutating func add(_ field: UInt64, _ text: String) { add(field, Array(text.utf8)) }

    private mutating func add(_ field: UInt64, _ value: [UInt8]) {
        add(field << 3 | 2)
        add(UInt64(value.count))
        bytes += value
    }

    private mutating func add(_ number: UInt64) {
        var rest = number
        while rest > 0x7f {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    // MARK: Reading

    /// Takes a message that was received; `nil` where it is none.
    init?(_ bytes: [UInt8]) {
        self.bytes = bytes
        var rest = bytes[...]
        while !rest.isEmpty { if Self.next(&rest) == nil { return nil } }
    }

    /// The last whole number of this field.
    func number(_ field: UInt64) -> Int? {
        guard case .number(let value) = last(field) else { return nil }
        return Int(truncatingIfNeeded: Int64(bitPattern: value))
    }

    /// The last text of this field.
    func text(_ field: UInt64) -> String? {
        guard case .bytes(let value) = last(field) else { return nil }
        return String(decoding: value, as: UTF8.self)
    }

    /// The last message of this field.
    func message(_ field: UInt64) -> ProtocolBuffer? {
        guard case .bytes(let value) = last(field) else { return nil }
        return ProtocolBuffer(Array(value))
    }

    private enum Value {
        case number(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    private func last(_ field: UInt64) -> Value? {
        var rest = bytes[...]
        var found: Value?
        while let next = Self.next(&rest) { if next.field == field { found = next.value } }
        return found
    }

    private static func next(_ rest: inout ArraySlice<UInt8>) -> (field: UInt64, value: Value)? {
        guard let key = number(&rest) else { return nil }
        switch key & 7 {
        case 0: return number(&rest).map { (key >> 3, .number($0)) }
        case 2:
            guard let count = number(&rest), count <= UInt64(rest.count) else { return nil }
            let value = rest.prefix(Int(count))
            rest.removeFirst(Int(count))
            return (key >> 3, .bytes(value))
        default: return nil
        }
    }

    private static func number(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }
}
