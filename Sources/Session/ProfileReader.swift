import Documents

/// Reads the values of one document into a profile and notes what is wrong with them and where each came from.
///
/// Field names are written out where they are read, so that reading a profile costs no more than its text.
final class ProfileReader {
    private(set) var problems: [Problem] = []
    private var unread: [Problem] = []
    var trace = ProfileTrace()
    private(set) var file = ""
    /// Whether the document is a command line, which has options for fields.
    private var isCommandLine = false

    /// Turns to the next document.
    func open(file: String) { (self.file, isCommandLine) = (file, false) }

    /// Turns to the command line.
    func openCommandLine() { (file, isCommandLine) = ("command line", true) }

    /// A path that is relative to the document's directory, or on the command line to the working directory.
    func beside(_ path: String) -> String {
        let steps = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        if isCommandLine || steps.hasPrefix("/") || !file.utf8.contains(UInt8(ascii: "/")) { return steps }
        return "\(directory(of: file))/\(steps)"
    }

    func note(_ mark: Mark?, _ field: String, _ message: String) {
        let field = isCommandLine ? ProfileOverrides.option(for: field) : field
        add(Problem(file: file, mark: mark, field: field, message: message))
    }

    func note(_ others: [Problem]) { others.forEach(add) }

    /// Notes what the document's own reader has refused.
    func note(unread others: [Problem]) {
        problems += others
        unread += others
    }

    /// A value that could not be read stands for none, and is not refused for that once more.
    private func add(_ problem: Problem) {
        let isTold = unread.contains { ($0.file, $0.field) == (problem.file, problem.field) && $0.mark == problem.mark }
        if !isTold { problems.append(problem) }
    }

    /// Notes that the value is not what was expected.
    func refuse(_ node: Node, _ field: String, _ expected: String) {
        note(node.mark, field, "expected \(expected), found \(Self.show(node))")
    }

    /// Notes that the value is not what was expected; `nil`, for the value that was not read.
    func refuse<Value>(_ node: Node, _ field: String, _ expected: String) -> Value? {
        refuse(node, field, expected) as Void
        return nil
    }

    func set(_ field: String, _ element: String = "", at mark: Mark?) {
        let origin = isCommandLine ? ProfileOrigin.option(ProfileOverrides.option(for: field)) : .file(file, mark)
        trace.set(field, element, origin)
    }

    /// A value in the words of an error message.
    private static func show(_ node: Node) -> String {
        switch node.content {
        case .string, .integer, .unsigned, .number, .bool: node.json()
        default: node.kind
        }
    }
}

// Maps and lists.
extension ProfileReader {
    /// Hands each member of a map to `body`, which says whether it knows the name.
    func members(_ node: Node, _ field: String, _ names: [String], _ body: (Node.Entry) -> Bool) {
        guard case .mapping(let entries) = node.content else {
            return refuse(node, field, "a map")
        }
        for entry in entries where !body(entry) {
            let hint = nearest(entry.key, in: names).map { "; did you mean \($0)?" } ?? ""
            let path = field.isEmpty ? entry.key : "\(field).\(entry.key)"
            note(entry.keyMark, path, "unknown; the fields here are \(names.joined(separator: ", "))\(hint)")
        }
    }

    /// The elements of a list, each read by `element`.
    func list<Value>(_ entry: Node.Entry, _ field: String, _ element: (Node, String) -> Value?) -> [Value]? {
        guard case .sequence(let nodes) = entry.value.content else { return refuse(entry.value, field, "a list") }
        set(field, at: entry.keyMark)
        return nodes.enumerated().compactMap { index, node in element(node, "\(field)[\(index)]") }
    }

    /// A list that stands in place of what was there before.
    func list<Value>(
        _ entry: Node.Entry, _ field: String, _ values: inout [Value], _ element: (Node, String) -> Value?
    ) {
        if let read = list(entry, field, element) { values = read }
    }
}

// Scalars. Each takes the entry, the field's whole path and the value to replace.
extension ProfileReader {
    func value<Value>(_ entry: Node.Entry, _ field: String, _ value: inout Value, _ read: (Node, String) -> Value?) {
        guard let found = read(entry.value, field) else { return }
        value = found
        set(field, at: entry.keyMark)
    }

    func text(_ node: Node, _ field: String) -> String? {
        if case .string(let text) = node.content { return text }
        let scalar = node.entries == nil && node.elements == nil && !node.isNull
        return refuse(node, field, scalar ? "a string (write it in quotes)" : "a string")
    }

    func flag(_ node: Node, _ field: String) -> Bool? { node.bool ?? refuse(node, field, "true or false") }

    func choice<Value: CaseIterable & RawRepresentable<String>>(_ node: Node, _ field: String) -> Value? {
        if let value = node.string.flatMap(Value.init(rawValue:)) { return value }
        let names = Value.allCases.map(\.rawValue)
        let hint = node.string.flatMap { nearest($0, in: names) }.map { "; did you mean \($0)?" } ?? ""
        note(
            node.mark, field,
            "expected \(names.joined(separator: " or ")), found \(Self.show(node))\(hint)")
        return nil
    }

    /// - Parameter or: what else the field accepts, in the words of the error: `, or none`.
    func whole<Value: FixedWidthInteger>(
        _ entry: Node.Entry, _ field: String, _ value: inout Value, _ range: ClosedRange<Value>, or: String = ""
    ) {
        self.value(entry, field, &value) { node, field in
            node.int.flatMap { Value(exactly: $0) }.flatMap { range.contains($0) ? $0 : nil }
                ?? refuse(node, field, "a whole number from \(range.lowerBound) to \(range.upperBound)\(or)")
        }
    }

    /// A size; a whole number is one in bytes.
    func size(_ entry: Node.Entry, _ field: String, _ value: inout Int, atLeast least: Int, or: String = "") {
        self.value(entry, field, &value) { node, field in
            let bytes = node.int.flatMap { ByteSize.parse("\($0)") } ?? node.string.flatMap(ByteSize.parse)
            guard let bytes else {
                let hint = node.string.flatMap(Self.binary).map { "; did you mean \($0)?" } ?? ""
                note(node.mark, field, "expected a size such as 2GiB\(or), found \(Self.show(node))\(hint)")
                return nil
            }
            return bytes >= least ? bytes : refuse(node, field, "at least \(ByteSize.text(least))")
        }
    }

    /// A size, or `none`.
    func size(_ entry: Node.Entry, _ field: String, _ value: inout Int?, atLeast least: Int) {
        if entry.value.string == "none" {
            value = nil
            return set(field, at: entry.keyMark)
        }
        var found = -1
        size(entry, field, &found, atLeast: least, or: ", or none")
        if found >= 0 { value = found }
    }

    /// `2GiB` for `2G`, `2GB` or `2gib`.
    private static func binary(_ text: String) -> String? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let letter = text.dropFirst(digits.count).first?.uppercased(), "KMGT".contains(letter) else { return nil }
        let size = "\(digits)\(letter)iB"
        return ByteSize.parse(size) == nil ? nil : size
    }

    func duration(_ entry: Node.Entry, _ field: String, _ value: inout Int64, atLeast least: Int64) {
        self.value(entry, field, &value) { node, field in duration(node, field, least, "") }
    }

    /// A duration, or `none`.
    func duration(_ entry: Node.Entry, _ field: String, _ value: inout Int64?, atLeast least: Int64) {
        self.value(entry, field, &value) { node, field in
            node.string == "none" ? .some(nil) : duration(node, field, least, ", or none").map(Optional.some)
        }
    }

    private func duration(_ node: Node, _ field: String, _ least: Int64, _ or: String) -> Int64? {
        guard let span = node.string.flatMap(TimeSpan.parse) else {
            return refuse(node, field, "a duration such as 1h30m, 10s or 500ms, at most 3650d\(or)")
        }
        return span >= least ? span : refuse(node, field, "at least \(TimeSpan.text(least))")
    }
}
