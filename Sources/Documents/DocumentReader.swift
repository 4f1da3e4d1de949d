/// Reads the values of a document and notes everything that is wrong with them, so that its author can mend it in one go.
///
/// A value is read with its field's whole path; `nil` stands for one of which it is told what is wrong. What is generic can be inlined:
/// without, reading a profile takes a third longer.
open class DocumentReader {
    /// What is wrong so far.
    public private(set) var problems: [Problem] = []
    /// What the document's own reader has refused.
    private var unread: [Problem] = []
    /// The document's name, for the problems.
    package var file: String

    package init(file: String) { self.file = file }

    /// Reads a document as far as it can be read, for its values to be told of too; `nil` where its syntax is wrong.
    package func document(_ text: [UInt8]) -> Node? {
        let (document, problems) = Node.read(text, file: file)
        unread += problems
        self.problems += problems
        return document
    }

    /// Throws what is wrong, in the order of the document.
    package func finish() throws(Problems) {
        if !problems.isEmpty { throw Problems(inOrder: problems) }
    }

    // MARK: What is wrong

    /// Notes that something is wrong with a field.
    open func note(_ mark: Mark?, _ field: String, _ message: String) {
        note([Problem(file: file, mark: mark, field: field, message: message)])
    }

    /// Notes what others have found. A value that could not be read stands for none, and is not refused for that once more.
    package func note(_ others: [Problem]) {
        for problem in others {
            let isTold = unread.contains {
                ($0.file, $0.field) == (problem.file, problem.field) && $0.mark == problem.mark
            }
            if !isTold { problems.append(problem) }
        }
    }

    /// Notes that the value is not what was expected.
    @usableFromInline
    package func refuse(_ node: Node, _ field: String, _ expected: String, hint: String = "") {
        let found =
            switch node.content {
            case .string, .integer, .unsigned, .number, .bool: node.json()
            default: node.kind
            }
        note(node.mark, field, "expected \(expected), found \(found)\(hint)")
    }

    /// Notes that the value is not what was expected; `nil`, for the value that was not read.
    @inlinable
    package func refuse<Value>(_ node: Node, _ field: String, _ expected: String) -> Value? {
        refuse(node, field, expected) as Void
        return nil
    }

    @usableFromInline
    package static func hint(_ name: String, _ names: [String]) -> String {
        nearest(name, in: names).map { "; did you mean \($0)?" } ?? ""
    }

    // MARK: Maps and lists

    /// Hands each member of a map to `body`, which says whether it knows the name.
    package func members(
        _ node: Node, _ field: String, _ names: [String], _ what: String = "a map", _ body: (Node.Entry) -> Bool
    ) {
        guard case .mapping(let entries) = node.content else { return refuse(node, field, what) }
        for entry in entries where !body(entry) {
            note(
                entry.keyMark, Self.path(field, entry),
                "unknown; the fields here are \(names.joined(separator: ", "))\(Self.hint(entry.key, names))")
        }
    }

    /// The same with each member's own path.
    package func members(_ node: Node, _ field: String, _ names: [String], _ body: (Node.Entry, String) -> Bool) {
        members(node, field, names) { entry in body(entry, Self.path(field, entry)) }
    }

    private static func path(_ field: String, _ entry: Node.Entry) -> String {
        field.isEmpty ? entry.key : "\(field).\(entry.key)"
    }

    /// The elements of a list, each read by `element`.
    @inlinable
    package func elements<Value>(_ node: Node, _ field: String, _ element: (Node, String) -> Value?) -> [Value]? {
        guard case .sequence(let nodes) = node.content else { return refuse(node, field, "a list") }
        return nodes.enumerated().compactMap { index, node in element(node, "\(field)[\(index)]") }
    }

    // MARK: Scalars

    /// Refuses another `version` of the document than 1.
    package func checkVersion(of document: Node) {
        let version = document.member("version")
        if version.int != 1 { refuse(version, "version", "1") }
    }

    /// A string.
    open func text(_ node: Node, _ field: String) -> String? {
        if case .string(let text) = node.content { return text }
        let scalar = node.entries == nil && node.elements == nil && !node.isNull
        return refuse(node, field, scalar ? "a string (write it in quotes)" : "a string")
    }

    package func flag(_ node: Node, _ field: String) -> Bool? { node.bool ?? refuse(node, field, "true or false") }

    @inlinable
    package func choice<Value: CaseIterable & RawRepresentable<String>>(_ node: Node, _ field: String) -> Value? {
        if let value = node.string.flatMap(Value.init(rawValue:)) { return value }
        let names = Value.allCases.map(\.rawValue)
        refuse(node, field, names.joined(separator: " or "), hint: node.string.map { Self.hint($0, names) } ?? "")
        return nil
    }

    /// - Parameter or: what else the field accepts, in the words of the error: `, or none`.
    @inlinable
    package func whole<Value: FixedWidthInteger>(
        _ node: Node, _ field: String, _ range: ClosedRange<Value>, or: String = ""
    ) -> Value? {
        if let value = node.int.flatMap({ Value(exactly: $0) }), range.contains(value) { return value }
        return refuse(node, field, "a whole number from \(range.lowerBound) to \(range.upperBound)\(or)")
    }
}

extension Node {
    /// The mapping's member of this name; where there is none, nothing, at the place of the mapping.
    package func member(_ name: String) -> Node { self[name] ?? Node(.null, mark: mark) }
}
