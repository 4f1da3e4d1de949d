import Documents

extension Node {
    /// The same value with its text cut to about `budget` bytes in all, so that nothing a session can choose, such as
    /// the length of an argument, makes a record large. Where something is left out, a mark says how much.
    func cut(to budget: Int) -> Node {
        var rest = budget
        return cut(&rest)
    }

    private func cut(_ rest: inout Int) -> Node {
        switch content {
        case .string(let text):
            rest -= text.utf8.count + 4
            if rest >= 0 { return Node(.string(text.withoutNUL)) }
            // What is left over is given up with it: the next text is cut at its beginning.
            let kept = max(0, text.utf8.count + rest)
            rest = 0
            return Node(.string(text.cut(toBytes: kept).withoutNUL))
        case .sequence(let elements):
            var kept: [Node] = []
            for (index, element) in elements.enumerated() {
                if rest <= 0 {
                    kept.append(Node(.string("… [\(elements.count - index) more]")))
                    break
                }
                kept.append(element.cut(&rest))
            }
            return Node(.sequence(kept))
        case .mapping(let entries):
            return Node(.mapping(entries.map { Entry(key: $0.key, value: $0.value.cut(&rest)) }))
        default:
            rest -= 4
            return self
        }
    }
}

extension String {
    /// The same with U+FFFD for each NUL, which no reader of documents accepts.
    var withoutNUL: String {
        utf8.contains(0) ? String(decoding: utf8.flatMap { $0 == 0 ? [0xEF, 0xBF, 0xBD] : [$0] }, as: UTF8.self) : self
    }

    /// The first `count` bytes, whole characters only, and a mark that says how many bytes are left out.
    func cut(toBytes count: Int) -> String {
        if utf8.count <= count { return self }
        var end = utf8.index(startIndex, offsetBy: count)
        while end > startIndex && utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return self[..<end] + "… [\(utf8.distance(from: end, to: endIndex)) bytes more]"
    }
}
