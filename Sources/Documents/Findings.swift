/// What a reader keeps beside the nodes: where in the document it is, and what it found wrong.
struct Findings {
    let file: String
    var problems: [Problem] = []
    /// The way from the top to the node being read.
    var path: [Step] = []

    enum Step {
        case name(String)
        case index(Int)
    }

    static let deepest = 64

    /// Ends the reading: the document cannot be understood beyond this point.
    struct Stop: Error {}

    init(file: String) { self.file = file }

    mutating func report(_ mark: Mark?, _ message: String) {
        let field = path.reduce(into: "") { field, step in
            switch step {
            case .name(let name): field += field.isEmpty ? name : ".\(name)"
            case .index(let index): field += "[\(index)]"
            }
        }
        problems.append(Problem(file: file, mark: mark, field: field, message: message))
    }

    mutating func check(depth: Int, at mark: Mark) throws(Stop) {
        guard depth > Self.deepest else { return }
        report(mark, "expected at most \(Self.deepest) levels, found more")
        throw Stop()
    }

    /// Goes down to the member `name`; whoever does so comes up again with `path.removeLast()`.
    mutating func enter(_ name: String, at mark: Mark, of entries: [Node.Entry], _ names: inout Names) {
        path.append(.name(name))
        if let line = names.earlierLine(of: name, line: mark.line, among: entries) {
            report(mark, "expected each name once; it stands in line \(line) already")
        }
    }

    /// A NUL would end the string early wherever it meets a system call.
    mutating func reportNUL(_ mark: Mark) { report(mark, "expected a string without NUL") }

    /// What an unquoted scalar means.
    mutating func resolve(_ scalar: String, at mark: Mark) -> Node.Content {
        do throws(Refusal) {
            return try meaning(of: scalar)
        } catch {
            report(mark, error.message)
            return .null
        }
    }
}

/// The names of a mapping that has many, to find one that stands there twice.
struct Names {
    private var lines: [String: Int]?

    /// Where a name stands in the mapping already; takes it in if it does not.
    mutating func earlierLine(of name: String, line: Int, among entries: [Node.Entry]) -> Int? {
        // Most mappings are so small that looking along them costs less than hashing.
        if entries.count < 12 { return entries.first { $0.key == name }?.keyMark?.line }
        if lines == nil {
            lines = [:]
            for entry in entries { lines?[entry.key] = entry.keyMark?.line ?? 0 }
        }
        return lines?.updateValue(line, forKey: name)
    }
}

extension Mark {
    /// The place of the byte at `offset`.
    init(of offset: Int, in text: UnsafeBufferPointer<UInt8>) {
        let before = text.prefix(offset)
        let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        self.init(
            line: before.count { $0 == UInt8(ascii: "\n") } + 1,
            column: before[start...].count { $0 & 0xC0 != 0x80 } + 1)
    }
}
