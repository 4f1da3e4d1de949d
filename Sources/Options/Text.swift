/// `text` with every control character written out, so that somebody else's words do nothing to a terminal but show.
public func printable(_ text: String) -> String {
    func isControl(_ value: UInt32) -> Bool { value < 0x20 || 0x7f...0x9f ~= value }
    guard text.unicodeScalars.contains(where: { isControl($0.value) }) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\n": result.append(contentsOf: "\\n".unicodeScalars)
        case "\t": result.append(contentsOf: "\\t".unicodeScalars)
        case _ where isControl(scalar.value):
            let digits = String(scalar.value, radix: 16)
            result.append(contentsOf: "\\x\(digits.count < 2 ? "0" : "")\(digits)".unicodeScalars)
        default: result.append(scalar)
        }
    }
    return String(result)
}

/// Breaks `text` between words, so that lines have at most `width` characters where the words let them.
public func wrapped(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    var length = 0
    for word in text.split(separator: " ") {
        let size = word.unicodeScalars.count
        if length > 0 && length + 1 + size > width {
            lines.append(line)
            (line, length) = ("", 0)
        }
        if length > 0 {
            line += " "
            length += 1
        }
        line += word
        length += size
    }
    return length > 0 ? lines + [line] : lines
}

/// The pieces of a text between backquotes, each with whether it is literal: every second one is.
func pieces(of text: String) -> [(text: Substring, isLiteral: Bool)] {
    text.split(separator: "`", omittingEmptySubsequences: false).enumerated().map { ($1, $0 % 2 == 1) }
}

/// A text for a terminal, where literal words look like all others.
func plain(_ text: StaticString) -> String { plain(text.description) }

func plain(_ text: String) -> String { String(text.filter { $0 != "`" }) }
