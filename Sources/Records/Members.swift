import Documents

/// Gathers what is wrong with a record while it is read.
final class Reader {
    let file: String
    var problems: [Problem] = []

    init(file: String) { self.file = file }
}

/// The members of one mapping of a record. A member that is not as expected is told to the reader, and something
/// harmless stands in for it until the reading ends with all the problems.
struct Members {
    private let node: Node
    private let path: String
    private let reader: Reader

    init(_ node: Node, _ path: String, _ reader: Reader) {
        self.node = node
        self.path = path
        self.reader = reader
        if node.entries == nil { report(node, path, "a mapping") }
    }

    /// A member that must be there; `expected` names what `get` looks for.
    func required<Value>(_ name: String, _ expected: String, _ get: (Node) -> Value?) -> Value? {
        guard node.entries != nil else { return nil }
        guard let member = node[name] else {
            report(node, field(name), expected)
            return nil
        }
        let value = get(member)
        if value == nil { report(member, field(name), expected) }
        return value
    }

    /// A member that may be `null` or missing.
    func optional<Value>(_ name: String, _ expected: String, _ get: (Node) -> Value?) -> Value? {
        guard let member = node[name], !member.isNull else { return nil }
        return required(name, expected, get)
    }

    func text(_ name: String) -> String { required(name, "a string") { $0.string } ?? "" }
    func integer(_ name: String) -> Int64 { required(name, Self.count) { $0.count } ?? 0 }
    func integer(optional name: String) -> Int64? { optional(name, Self.count) { $0.count } }

    func time(_ name: String) -> Timestamp {
        required(name, "a time such as 2026-01-31T12:00:00Z") { $0.string.flatMap { Timestamp($0) } }
            ?? Timestamp(seconds: 0)
    }

    func name<Name: RawRepresentable<String>>(_ name: String, of names: [Name]) -> Name? {
        required(name, "one of \(names.map(\.rawValue).joined(separator: ", "))") {
            $0.string.flatMap { Name(rawValue: $0) }
        }
    }

    func mapping(_ name: String) -> Members {
        let member = required(name, "a mapping") { $0.entries == nil ? nil : $0 }
        return Members(member ?? Node(.mapping([])), field(name), member == nil ? Reader(file: "") : reader)
    }

    func mapping(optional name: String) -> Members? {
        optional(name, "a mapping") { $0.entries == nil ? nil : $0 }.map { Members($0, field(name), reader) }
    }

    func mappings(_ name: String) -> [Members] {
        let elements = required(name, "a list") { $0.elements } ?? []
        return elements.enumerated().map { Members($0.element, "\(field(name))[\($0.offset)]", reader) }
    }

    func list<Element>(_ name: String, of expected: String, _ get: (Node) -> Element?) -> [Element] {
        let elements = required(name, "a list") { $0.elements } ?? []
        return elements.enumerated().compactMap { offset, element in
            let value = get(element)
            if value == nil { report(element, "\(field(name))[\(offset)]", expected) }
            return value
        }
    }

    private static let count = "a whole number from 0 to 2^60"
    private func field(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    private func report(_ found: Node, _ field: String, _ expected: String) {
        let what = found == node && field != path ? "none" : found.kind
        reader.problems.append(
            Problem(file: reader.file, mark: found.mark, field: field, message: "expected \(expected), found \(what)"))
    }
}

extension Node {
    /// A figure of a record: none is below 0, nor so large that sums of some overflow.
    fileprivate var count: Int64? { int.flatMap { 0...1 << 60 ~= $0 ? $0 : nil } }
}
