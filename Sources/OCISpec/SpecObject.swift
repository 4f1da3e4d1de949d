import Documents

/// An object of the OCI runtime specification: a Swift value whose properties carry the names of its JSON members.
/// Lists, maps and flags that the specification lets be absent are empty or false here.
public protocol SpecObject: Sendable, Equatable {
    /// A value to read the members into.
    static var blank: Self { get }
    /// Hands each member to `members`, which reads or writes it, in the order of the specification.
    mutating func visit(_ members: inout Members)
}

extension SpecObject {
    /// Reads the object. Members that the specification does not know are ignored, as it demands.
    ///
    /// - Parameter file: the document's name, for the problems.
    /// - Throws: every member that is missing or of the wrong type. `Spec.validate` checks the rest.
    public init(_ node: Node, file: String) throws(Problems) {
        let log = Log(file: file, document: node)
        let value = Self.read(node, log)
        try log.finish()
        self = value ?? .blank
    }

    /// The object as a document.
    public var node: Node {
        var members = Members()
        var value = self
        value.visit(&members)
        return Node(.mapping(members.entries))
    }

    static func read(_ node: Node, _ log: Log) -> Self? {
        guard case .mapping(let entries) = node.content else { return log.refuse(node, "a mapping") }
        var members = Members(entries: entries, log: log)
        var value = blank
        value.visit(&members)
        return value
    }
}

/// The members of an object on their way from a document, or to one.
///
/// Reading, a member that is `null` is absent. Writing, one that is absent, empty or false is left out.
public struct Members {
    var entries: [Node.Entry] = []
    /// What the members are read from; `nil` when they are written.
    var log: Log?

    /// A member that must be there.
    package mutating func callAsFunction<Value: SpecScalar>(_ name: String, _ value: inout Value) {
        member(name, &value, Value.read, missing: Value.kind) { $0.node }
    }
    package mutating func callAsFunction<Value: SpecObject>(_ name: String, _ value: inout Value) {
        member(name, &value, Value.read, missing: "a mapping") { $0.node }
    }

    /// A member that can be absent.
    package mutating func callAsFunction<Value: SpecScalar>(_ name: String, _ value: inout Value?) {
        member(name, &value, Value.read) { $0?.node }
    }
    package mutating func callAsFunction<Value: SpecObject>(_ name: String, _ value: inout Value?) {
        member(name, &value, Value.read) { $0?.node }
    }
    package mutating func flag(_ name: String, _ value: inout Bool) {
        member(name, &value, Bool.read) { $0 ? Node(.bool(true)) : .none }
    }

    /// A list.
    package mutating func callAsFunction<Value: SpecScalar>(_ name: String, _ values: inout [Value]) {
        list(name, &values, Value.read) { $0.node }
    }
    package mutating func callAsFunction<Value: SpecObject>(_ name: String, _ values: inout [Value]) {
        list(name, &values, Value.read) { $0.node }
    }

    /// A mapping with names of the author's choice.
    package mutating func callAsFunction<Value: SpecScalar>(_ name: String, _ values: inout [String: Value]) {
        map(name, &values, Value.read) { $0.node }
    }
    package mutating func callAsFunction<Value: SpecObject>(_ name: String, _ values: inout [String: Value]) {
        map(name, &values, Value.read) { $0.node }
    }

    private mutating func list<Value>(
        _ name: String, _ values: inout [Value], _ read: (Node, Log) -> Value?, _ write: (Value) -> Node
    ) {
        member(name, &values) { node, log in
            guard case .sequence(let elements) = node.content else { return log.refuse(node, "a list") }
            return elements.indices.compactMap { index in log.at(.index(index)) { read(elements[index], log) } }
        } _: {
            $0.isEmpty ? .none : Node(.sequence($0.map(write)))
        }
    }

    private mutating func map<Value>(
        _ name: String, _ values: inout [String: Value], _ read: (Node, Log) -> Value?, _ write: (Value) -> Node
    ) {
        member(name, &values) { node, log in
            guard case .mapping(let entries) = node.content else { return log.refuse(node, "a mapping") }
            var result: [String: Value] = [:]
            for entry in entries { result[entry.key] = log.at(.name(entry.key)) { read(entry.value, log) } }
            return result
        } _: { values in
            // Sorted, since the order of a dictionary differs from run to run.
            let entries = values.map { Node.Entry(key: $0, value: write($1)) }.sorted { $0.key < $1.key }
            return entries.isEmpty ? .none : Node(.mapping(entries))
        }
    }

    private mutating func member<Value>(
        _ name: String, _ value: inout Value, _ read: (Node, Log) -> Value?,
        missing: @autoclosure () -> String? = nil, _ write: (Value) -> Node?
    ) {
        guard let log else {
            if let node = write(value) { entries.append(Node.Entry(key: name, value: node)) }
            return
        }
        if let node = entries.first(where: { $0.key == name })?.value, !node.isNull {
            if let found = log.at(.name(name), { read(node, log) }) { value = found }
        } else if let missing = missing() {
            log.at(.name(name)) { log.note("expected \(missing), found nothing") }
        }
    }
}
