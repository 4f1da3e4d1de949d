/// Builds nodes from JSON text (RFC 8259) that is known to be UTF-8.
struct JSONReader {
    private(set) var findings: Findings
    /// Where the text stops being JSON, if it does; it may be YAML all the same.
    private(set) var syntaxError: Problem?
    private let text: UnsafeBufferPointer<UInt8>
    private var index = 0
    /// The place of `markedIndex`, from which the next is counted: marks are asked for in ascending order.
    private var marked = Mark(line: 1, column: 1)
    private var markedIndex = 0

    private typealias Stop = Findings.Stop

    init(_ text: UnsafeBufferPointer<UInt8>, file: String) {
        self.text = text
        findings = Findings(file: file)
    }

    /// Reads the one document there must be.
    mutating func document() -> Node? {
        do throws(Stop) {
            let root = try node()
            skipSpace()
            if index < text.count { throw fail("expected the end of the document") }
            return root
        } catch {
            return nil
        }
    }

    private mutating func node() throws(Stop) -> Node {
        skipSpace()
        let mark = mark()
        switch peek {
        case UInt8(ascii: "{"): return Node(.mapping(try mapping(at: mark)), mark: mark)
        case UInt8(ascii: "["): return Node(.sequence(try sequence(at: mark)), mark: mark)
        case UInt8(ascii: "\""): return Node(.string(try string(at: mark)), mark: mark)
        default: return Node(try scalar(at: mark), mark: mark)
        }
    }

    private mutating func mapping(at mark: Mark) throws(Stop) -> [Node.Entry] {
        try findings.check(depth: findings.path.count + 1, at: mark)
        index += 1
        var entries: [Node.Entry] = []
        var names = Names()
        skipSpace()
        if skip("}") { return entries }
        repeat {
            skipSpace()
            let keyMark = self.mark()
            guard peek == UInt8(ascii: "\"") else { throw fail("expected a name in double quotes") }
            let key = try string(at: keyMark)
            findings.enter(key, at: keyMark, of: entries, &names)
            skipSpace()
            guard skip(":") else { throw fail("expected ':'") }
            entries.append(Node.Entry(key: key, keyMark: keyMark, value: try node()))
            findings.path.removeLast()
            skipSpace()
        } while skip(",")
        guard skip("}") else { throw fail("expected ',' or '}'") }
        return entries
    }

    private mutating func sequence(at mark: Mark) throws(Stop) -> [Node] {
        try findings.check(depth: findings.path.count + 1, at: mark)
        index += 1
        var elements: [Node] = []
        skipSpace()
        if skip("]") { return elements }
        repeat {
            findings.path.append(.index(elements.count))
            elements.append(try node())
            findings.path.removeLast()
            skipSpace()
        } while skip(",")
        guard skip("]") else { throw fail("expected ',' or ']'") }
        return elements
    }

    /// A number, `true`, `false` or `null`. What YAML alone calls so means the same there, so it does no harm here.
    private mutating func scalar(at mark: Mark) throws(Stop) -> Node.Content {
        let start = index
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "E"),
                UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
                index += 1
                continue
            default: break
            }
            break
        }
        let found = String(decoding: text[start..<index], as: UTF8.self)
        let content = found.isEmpty ? .string("") : findings.resolve(found, at: mark)
        if case .string = content {
            index = start
            throw fail("expected a value")
        }
        return content
    }

    private mutating func string(at mark: Mark) throws(Stop) -> String {
        index += 1
        var start = index
        var unescaped: [UInt8] = []
        while let byte = peek, byte >= 0x20 {
            switch byte {
            case UInt8(ascii: "\""):
                let rest = UnsafeBufferPointer(rebasing: text[start..<index])
                index += 1
                if unescaped.isEmpty { return String(decoding: rest, as: UTF8.self) }
                unescaped.append(contentsOf: rest)
                return String(decoding: unescaped, as: UTF8.self)
            case UInt8(ascii: "\\"):
                unescaped.append(contentsOf: text[start..<index])
                index += 1
                let scalar = try escape(at: mark)
                unescaped.append(contentsOf: Array(String(scalar).utf8))
                start = index
            default: index += 1
            }
        }
        throw fail("expected '\"' at the end of the string")
    }

    /// The character that an escape stands for; the backslash is behind.
    private mutating func escape(at mark: Mark) throws(Stop) -> Unicode.Scalar {
        guard let letter = peek else { throw fail("expected an escape") }
        index += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default:
            index -= 1
            throw fail("expected one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u")
        }
        let first = try codeUnit()
        if first == 0 { findings.reportNUL(mark) }
        if let scalar = Unicode.Scalar(first) { return scalar }
        if UTF16.isLeadSurrogate(first), skip("\\"), skip("u") {
            let second = try codeUnit()
            if UTF16.isTrailSurrogate(second) {
                return UTF16.decode(UTF16.EncodedScalar([first, second]))
            }
        }
        findings.report(mark, "expected a pair of surrogates, found half of one")
        return "\u{FFFD}"
    }

    /// The four hexadecimal digits behind `\u`.
    private mutating func codeUnit() throws(Stop) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fail("expected four hexadecimal digits")
            }
            value = value << 4 | UInt16(digit)
            index += 1
        }
        return value
    }

    private var peek: UInt8? { index < text.count ? text[index] : nil }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    /// Where the reader is.
    private mutating func mark() -> Mark {
        var (line, column) = (marked.line, marked.column)
        for byte in text[markedIndex..<index] {
            if byte == UInt8(ascii: "\n") {
                (line, column) = (line + 1, 1)
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        markedIndex = index
        marked = Mark(line: line, column: column)
        return marked
    }

    private mutating func fail(_ message: String) -> Stop {
        findings.report(mark(), message)
        syntaxError = findings.problems.last
        return Stop()
    }
}
