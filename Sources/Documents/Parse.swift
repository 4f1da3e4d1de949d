extension Node {
    /// Reads one YAML or JSON document.
    ///
    /// Scalars follow the core schema of YAML 1.2: `yes`, `on` and `1_000` are strings. Refused, each with its place:
    /// a name that occurs twice in a mapping, names that are not scalars, tags other than `!!str`, NUL in a string,
    /// half a surrogate pair, a number that is not finite, is wider than 64 bits or starts with a zero (`0755`), more
    /// than one document or none, nesting deeper than 64, text that is not UTF-8, and aliases that repeat more than
    /// 100,000 nodes in all (the "billion laughs").
    ///
    /// - Parameters:
    ///   - bytes: the document's text.
    ///   - file: its name, for the problems.
    /// - Throws: everything that is wrong, in the order of the document; after a syntax error nothing more is read.
    public static func parse(_ bytes: [UInt8], file: String) throws(Problems) -> Node {
        let (document, problems) = read(bytes, file: file)
        guard let document, problems.isEmpty else { throw Problems(problems) }
        return document
    }

    /// Reads one document as far as it can be read: for a reader that goes on to tell what is wrong with its values.
    ///
    /// - Returns: the document, in which a value that is refused is `null`; none where its syntax is wrong. With everything
    ///   that is wrong: where that is not empty, the document is not to be used.
    public static func read(_ bytes: [UInt8], file: String) -> (document: Node?, problems: [Problem]) {
        bytes.withUnsafeBufferPointer { text in
            // JSON is read for itself: libyaml takes most of it, but not surrogate pairs, names of 1,024 characters,
            // names and colons on different lines or DEL, and folds U+2028; and it takes six times as long.
            if let offset = firstBadUTF8(text) {
                let message = "expected UTF-8, found the byte 0x\(String(text[offset], radix: 16, uppercase: true))"
                return (nil, [Problem(file: file, mark: Mark(of: offset, in: text), message: message)])
            }
            let first = text.first { $0 > UInt8(ascii: " ") }
            guard first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else {
                var yaml = YAMLReader(text, file: file)
                let root = yaml.document()
                return (root, yaml.findings.problems)
            }
            var json = JSONReader(text, file: file)
            let root = json.document()
            guard let syntaxError = json.syntaxError else { return (root, json.findings.problems) }
            var yaml = YAMLReader(text, file: file)
            let other = yaml.document()
            // Neither JSON nor YAML: whichever reader came further knows more of what was meant, and says it better as JSON.
            if let error = yaml.syntaxError, !precedes(syntaxError.mark, error.mark) {
                return (nil, json.findings.problems)
            }
            return (other, yaml.findings.problems)
        }
    }

    private static func firstBadUTF8(_ text: UnsafeBufferPointer<UInt8>) -> Int? {
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: text.span)
            return nil
        } catch {
            return error.byteOffsets.lowerBound
        }
    }

    private static func precedes(_ left: Mark?, _ right: Mark?) -> Bool {
        guard let left, let right else { return left == nil }
        return (left.line, left.column) < (right.line, right.column)
    }
}
