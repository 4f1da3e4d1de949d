/// What cannot be understood in a JSON text, or is not wanted in it.
struct JSONFault: Error {
    let kind: MeteringRefusal.Kind
    let message: String

    init(_ kind: MeteringRefusal.Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    init(_ message: String) { self.init(.malformed, message) }
}

/// Hears what a `JSONTokenizer` reads. Offsets are those of the token's first byte, or of the byte behind its last.
protocol JSONSink {
    mutating func open(_ container: JSONContainer, at offset: Int) throws(JSONFault)
    mutating func close(_ container: JSONContainer, before offset: Int) throws(JSONFault)
    mutating func begin(_ token: JSONToken, at offset: Int) throws(JSONFault)
    /// A part of the token: of a key or a string decoded text, of a number or a word the text as it is.
    mutating func part(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONFault)
    mutating func end(_ token: JSONToken, before offset: Int) throws(JSONFault)
}

enum JSONContainer: UInt8, Sendable {
    case object
    case array
}

enum JSONToken: UInt8, Sendable {
    case key
    case string
    case number
    /// `true`, `false` or `null`.
    case word
}

/// Reads one JSON text (RFC 8259) in parts of any size and keeps nothing of it but its nesting.
///
/// Strings are handed on as they come, so that a text of any size takes the memory of its depth. Whether the text is
/// UTF-8 is not looked at.
struct JSONTokenizer: Sendable {
    private enum Place: UInt8 {
        case value, valueOrClose, key, keyOrClose, colon, commaOrClose, end
        case string, escape, unicode, number, word
    }

    private var place = Place.value
    private var open: [JSONContainer] = []
    private var token = JSONToken.string
    /// The number or word being read, until it is whole.
    private var scalar: [UInt8] = []
    private var codeUnit: UInt16 = 0
    private var digitsLeft = 0
    private var leadSurrogate: UInt16 = 0
    /// How many bytes were read.
    private(set) var offset = 0
    private let deepest: Int
    private let isStrict: Bool

    /// - Parameter isStrict: half a surrogate pair is a fault; otherwise it is read as U+FFFD.
    init(deepest: Int = 256, isStrict: Bool = false) {
        self.deepest = deepest
        self.isStrict = isStrict
    }

    /// Whether one whole value was read. A number at the top is whole after `finish` alone.
    var isComplete: Bool { place == .end }

    /// Whether nothing but blanks was read.
    var isUntouched: Bool { place == .value && open.isEmpty }

    /// Makes ready for another text.
    mutating func reset() {
        place = .value
        open.removeAll(keepingCapacity: true)
        scalar.removeAll(keepingCapacity: true)
        leadSurrogate = 0
        offset = 0
    }

    mutating func read<Sink: JSONSink>(
        _ bytes: UnsafeBufferPointer<UInt8>, to sink: inout Sink
    ) throws(JSONFault) {
        let start = offset
        var index = 0
        while index < bytes.count {
            offset = start + index
            switch place {
            case .string:
                let from = index
                while index < bytes.count, Self.isPlain(bytes[index]) { index += 1 }
                if index > from {
                    if leadSurrogate != 0 { try loneSurrogate(to: &sink) }
                    try sink.part(UnsafeBufferPointer(rebasing: bytes[from..<index]))
                }
                if index < bytes.count {
                    offset = start + index
                    try endOfPlain(bytes[index], to: &sink)
                    index += 1
                }
            case .number:
                if Self.isInNumber(bytes[index]) {
                    try append(bytes[index])
                    index += 1
                } else {
                    try endNumber(to: &sink)
                }
            case .word:
                if 0x61...0x7A ~= bytes[index] {
                    try append(bytes[index])
                    index += 1
                } else {
                    try endWord(to: &sink)
                }
            default:
                try step(bytes[index], to: &sink)
                index += 1
            }
        }
        offset = start + bytes.count
    }

    /// The end of the text.
    mutating func finish<Sink: JSONSink>(to sink: inout Sink) throws(JSONFault) {
        if place == .number { try endNumber(to: &sink) }
        if place == .word { try endWord(to: &sink) }
        if place != .end { throw fault("the text ends in the middle") }
    }

    /// A byte in any place that is not read many bytes at a time.
    private mutating func step<Sink: JSONSink>(_ byte: UInt8, to sink: inout Sink) throws(JSONFault) {
        switch place {
        case .escape: return try escape(byte, to: &sink)
        case .unicode: return try hexDigit(byte, to: &sink)
        default: break
        }
        if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { return }
        switch (place, byte) {
        case (.keyOrClose, UInt8(ascii: "}")), (.valueOrClose, UInt8(ascii: "]")):
            try close(to: &sink)
        case (.commaOrClose, UInt8(ascii: "}")) where open.last == .object,
            (.commaOrClose, UInt8(ascii: "]")) where open.last == .array:
            try close(to: &sink)
        case (.commaOrClose, UInt8(ascii: ",")):
            place = open.last == .object ? .key : .value
        case (.colon, UInt8(ascii: ":")):
            place = .value
        case (.key, UInt8(ascii: "\"")), (.keyOrClose, UInt8(ascii: "\"")):
            try begin(.key, .string, to: &sink)
        case (.value, _), (.valueOrClose, _):
            try value(byte, to: &sink)
        default:
            throw fault("expected \(expected)")
        }
    }

    private mutating func value<Sink: JSONSink>(_ byte: UInt8, to sink: inout Sink) throws(JSONFault) {
        switch byte {
        case UInt8(ascii: "{"):
            try enter(.object, .keyOrClose, to: &sink)
        case UInt8(ascii: "["):
            try enter(.array, .valueOrClose, to: &sink)
        case UInt8(ascii: "\""):
            try begin(.string, .string, to: &sink)
        case UInt8(ascii: "-"), 0x30...0x39:
            try begin(.number, .number, to: &sink)
            scalar.append(byte)
        case 0x61...0x7A:
            try begin(.word, .word, to: &sink)
            scalar.append(byte)
        default:
            throw fault("expected a value")
        }
    }

    private mutating func enter<Sink: JSONSink>(
        _ container: JSONContainer, _ next: Place, to sink: inout Sink
    ) throws(JSONFault) {
        if open.count == deepest { throw fault("expected at most \(deepest) levels") }
        try sink.open(container, at: offset)
        open.append(container)
        place = next
    }

    private mutating func close<Sink: JSONSink>(to sink: inout Sink) throws(JSONFault) {
        let container = open.removeLast()
        place = open.isEmpty ? .end : .commaOrClose
        try sink.close(container, before: offset + 1)
    }

    private mutating func begin<Sink: JSONSink>(
        _ token: JSONToken, _ place: Place, to sink: inout Sink
    ) throws(JSONFault) {
        self.token = token
        self.place = place
        scalar.removeAll(keepingCapacity: true)
        try sink.begin(token, at: offset)
    }

    private mutating func end<Sink: JSONSink>(before offset: Int, to sink: inout Sink) throws(JSONFault) {
        place = token == .key ? .colon : open.isEmpty ? .end : .commaOrClose
        try sink.end(token, before: offset)
    }

    // Strings.

    private mutating func endOfPlain<Sink: JSONSink>(_ byte: UInt8, to sink: inout Sink) throws(JSONFault) {
        if byte == UInt8(ascii: "\\") {
            place = .escape
        } else if byte == UInt8(ascii: "\"") {
            if leadSurrogate != 0 { try loneSurrogate(to: &sink) }
            try end(before: offset + 1, to: &sink)
        } else {
            throw fault("expected no control character in a string")
        }
    }

    private mutating func escape<Sink: JSONSink>(_ byte: UInt8, to sink: inout Sink) throws(JSONFault) {
        if byte == UInt8(ascii: "u") {
            place = .unicode
            codeUnit = 0
            digitsLeft = 4
            return
        }
        if leadSurrogate != 0 { try loneSurrogate(to: &sink) }
        let meant: UInt8
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): meant = byte
        case UInt8(ascii: "b"): meant = 0x08
        case UInt8(ascii: "f"): meant = 0x0C
        case UInt8(ascii: "n"): meant = 0x0A
        case UInt8(ascii: "r"): meant = 0x0D
        case UInt8(ascii: "t"): meant = 0x09
        default: throw fault("expected an escape")
        }
        place = .string
        try emit(Unicode.Scalar(meant), to: &sink)
    }

    private mutating func hexDigit<Sink: JSONSink>(_ byte: UInt8, to sink: inout Sink) throws(JSONFault) {
        let digit: UInt8
        switch byte {
        case 0x30...0x39: digit = byte - 0x30
        case 0x41...0x46: digit = byte - 0x41 + 10
        case 0x61...0x66: digit = byte - 0x61 + 10
        default: throw fault("expected four hexadecimal digits")
        }
        codeUnit = codeUnit << 4 | UInt16(digit)
        digitsLeft -= 1
        guard digitsLeft == 0 else { return }
        place = .string
        if UTF16.isTrailSurrogate(codeUnit), leadSurrogate != 0 {
            let pair = UTF16.EncodedScalar([leadSurrogate, codeUnit])
            leadSurrogate = 0
            return try emit(UTF16.decode(pair), to: &sink)
        }
        if leadSurrogate != 0 { try loneSurrogate(to: &sink) }
        if UTF16.isLeadSurrogate(codeUnit) {
            leadSurrogate = codeUnit
        } else if let scalar = Unicode.Scalar(codeUnit) {
            try emit(scalar, to: &sink)
        } else {
            try loneSurrogate(to: &sink)
        }
    }

    private mutating func loneSurrogate<Sink: JSONSink>(to sink: inout Sink) throws(JSONFault) {
        leadSurrogate = 0
        if isStrict { throw fault("expected a pair of surrogates, found half of one") }
        try emit("\u{FFFD}", to: &sink)
    }

    private func emit<Sink: JSONSink>(_ scalar: Unicode.Scalar, to sink: inout Sink) throws(JSONFault) {
        guard let encoded = UTF8.encode(scalar) else { return }
        var bytes: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
        let failure = withUnsafeMutableBytes(of: &bytes) { place -> JSONFault? in
            var count = 0
            for byte in encoded {
                place[count] = byte
                count += 1
            }
            do throws(JSONFault) {
                try sink.part(UnsafeBufferPointer(rebasing: place.assumingMemoryBound(to: UInt8.self)[..<count]))
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    // Numbers and words.

    private mutating func append(_ byte: UInt8) throws(JSONFault) {
        if scalar.count == 1024 { throw fault("expected a shorter number") }
        scalar.append(byte)
    }

    private mutating func endNumber<Sink: JSONSink>(to sink: inout Sink) throws(JSONFault) {
        guard Self.isNumber(scalar) else { throw fault("expected a number") }
        try endScalar(to: &sink)
    }

    private mutating func endWord<Sink: JSONSink>(to sink: inout Sink) throws(JSONFault) {
        guard scalar == Array("true".utf8) || scalar == Array("false".utf8) || scalar == Array("null".utf8) else {
            throw fault("expected a value")
        }
        try endScalar(to: &sink)
    }

    private mutating func endScalar<Sink: JSONSink>(to sink: inout Sink) throws(JSONFault) {
        let failure = scalar.withUnsafeBufferPointer { text -> JSONFault? in
            do throws(JSONFault) {
                try sink.part(text)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        try end(before: offset, to: &sink)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private static func isInNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"),
            UInt8(ascii: "E"):
            true
        default: false
        }
    }

    /// RFC 8259, section 6.
    private static func isNumber(_ text: [UInt8]) -> Bool {
        var rest = text[...]
        func digits() -> Int {
            let count = rest.prefix { 0x30...0x39 ~= $0 }.count
            rest.removeFirst(count)
            return count
        }
        if rest.first == UInt8(ascii: "-") { rest.removeFirst() }
        let startsWithZero = rest.first == 0x30
        let whole = digits()
        if whole == 0 || startsWithZero && whole > 1 { return false }
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            if digits() == 0 { return false }
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest.removeFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest.removeFirst() }
            if digits() == 0 { return false }
        }
        return rest.isEmpty
    }

    private var expected: String {
        switch place {
        case .key, .keyOrClose: "a name in double quotes"
        case .colon: "':'"
        case .commaOrClose: open.last == .object ? "',' or '}'" : "',' or ']'"
        case .end: "the end of the text"
        default: "a value"
        }
    }

    private func fault(_ message: String) -> JSONFault { JSONFault("\(message), at byte \(offset)") }
}
