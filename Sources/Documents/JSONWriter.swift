extension Node {
    /// The node as JSON text: members in the order given, raw UTF-8, the same bytes for the same content everywhere.
    ///
    /// Control characters (C0, DEL, C1) and the line separators U+2028 and U+2029 are escaped, so that compact text is
    /// always one line and harmless to a terminal. JSON has no infinities: such a number is written as `null`.
    ///
    /// - Parameter pretty: one member a line, indented by two, for people.
    public func json(pretty: Bool = false) -> String {
        var writer = Writer(pretty: pretty)
        writer.write(self, depth: 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

private struct Writer {
    let pretty: Bool
    var bytes: [UInt8] = []

    init(pretty: Bool) {
        self.pretty = pretty
        bytes.reserveCapacity(1024)
    }

    mutating func write(_ node: Node, depth: Int) {
        switch node.content {
        case .null: put("null")
        case .bool(let value): put(value ? "true" : "false")
        case .integer(let value): put(String(value))
        case .unsigned(let value): put(String(value))
        case .number(let value): put(value.isFinite ? value.description : "null")
        case .string(let value): quote(value)
        case .sequence(let elements):
            list("[", elements, "]", depth) { writer, element in writer.write(element, depth: depth + 1) }
        case .mapping(let entries):
            list("{", entries, "}", depth) { writer, entry in
                writer.quote(entry.key)
                writer.put(writer.pretty ? ": " : ":")
                writer.write(entry.value, depth: depth + 1)
            }
        }
    }

    private mutating func list<Item>(
        _ open: String, _ items: [Item], _ close: String, _ depth: Int, _ item: (inout Writer, Item) -> Void
    ) {
        put(open)
        for index in items.indices {
            if index > 0 { put(",") }
            line(depth + 1)
            item(&self, items[index])
        }
        if !items.isEmpty { line(depth) }
        put(close)
    }

    private mutating func line(_ depth: Int) {
        guard pretty else { return }
        put("\n")
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    private mutating func put(_ text: String) {
        var text = text
        text.withUTF8 { bytes.append(contentsOf: $0) }
    }

    private mutating func quote(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            var start = 0
            var index = 0
            while index < utf8.count {
                guard Self.mayNeedEscape(utf8[index]), let (escape, length) = Self.escape(utf8, index) else {
                    index += 1
                    continue
                }
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start..<index]))
                put(escape)
                index += length
                start = index
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start...]))
        }
        bytes.append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private static func mayNeedEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7F || byte == 0xC2
            || byte == 0xE2
    }

    /// How the character at `index` is escaped and how many bytes it has, or `nil` if it stands for itself.
    private static func escape(_ utf8: UnsafeBufferPointer<UInt8>, _ index: Int) -> (String, Int)? {
        switch utf8[index] {
        case UInt8(ascii: "\""): ("\\\"", 1)
        case UInt8(ascii: "\\"): ("\\\\", 1)
        case 0x08: ("\\b", 1)
        case 0x09: ("\\t", 1)
        case 0x0A: ("\\n", 1)
        case 0x0C: ("\\f", 1)
        case 0x0D: ("\\r", 1)
        case 0..<0x20, 0x7F: ("\\u00" + hex(utf8[index]), 1)
        // U+0080...U+009F are C2 80...C2 9F; U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
        case 0xC2 where utf8[index + 1] < 0xA0: ("\\u00" + hex(utf8[index + 1]), 2)
        case 0xE2 where utf8[index + 1] == 0x80 && utf8[index + 2] & 0xFE == 0xA8:
            (utf8[index + 2] == 0xA8 ? "\\u2028" : "\\u2029", 3)
        default: nil
        }
    }

    private static func hex(_ byte: UInt8) -> String {
        (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
    }
}
