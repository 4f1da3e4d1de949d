/// A place in a file: line and column, both from 1, the column counted in characters.
public struct Mark: Sendable, Equatable {
    /// The line, from 1.
    public let line: Int
    /// The column, from 1.
    public let column: Int

    /// A place in a file.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// One value of a YAML or JSON document, with the place it was read from.
///
/// A value made in code (a literal, or `init(_:)`) has no mark. Equality looks at the content alone.
public struct Node: Sendable, Equatable {
    /// What a node holds.
    public enum Content: Sendable, Equatable {
        /// `null`, `~`, or nothing.
        case null
        /// `true` or `false`; `yes` and `on` are strings (YAML 1.2 core).
        case bool(Bool)
        /// A whole number that 64 bits with a sign can hold.
        case integer(Int64)
        /// A whole number above `Int64.max` and within 64 bits; OCI documents write `RLIM_INFINITY` and filter masks so.
        case unsigned(UInt64)
        /// A number with a fraction or an exponent, always finite when read.
        case number(Double)
        /// Text.
        case string(String)
        /// A list.
        case sequence([Node])
        /// Named members, in the order of the document; no name occurs twice when read.
        case mapping([Entry])
    }

    /// One member of a mapping.
    public struct Entry: Sendable, Equatable {
        /// The member's name.
        public var key: String
        /// Where the name stands.
        public var keyMark: Mark?
        /// The member's value.
        public var value: Node

        /// A member of a mapping.
        public init(key: String, keyMark: Mark? = nil, value: Node) {
            self.key = key
            self.keyMark = keyMark
            self.value = value
        }

        /// Whether name and value are the same, wherever they stand.
        public static func == (left: Entry, right: Entry) -> Bool {
            left.key == right.key && left.value == right.value
        }
    }

    /// What the node holds.
    public var content: Content
    /// Where the node starts, when it was read from a file.
    public var mark: Mark?

    /// A node of this content.
    public init(_ content: Content, mark: Mark? = nil) {
        self.content = content
        self.mark = mark
    }

    /// Whether both hold the same, wherever they stand.
    public static func == (left: Node, right: Node) -> Bool {
        left.content == right.content
    }

    /// The mapping's member of this name; `nil` when there is none or the node is no mapping.
    public subscript(key: String) -> Node? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == key }?.value
    }

    /// The text, if the node is a string.
    public var string: String? {
        if case .string(let value) = content { value } else { nil }
    }

    /// The whole number, if the node is one and `Int64` can hold it.
    ///
    /// Inlined into other modules, it crashes the optimizer of Swift 6.3.1 ("Found ownership error", CopyPropagation).
    @inline(never)
    public var int: Int64? {
        if case .integer(let value) = content { value } else { nil }
    }

    /// The whole number, if the node is one of 0 or more; the one way to read the upper half of 64 bits.
    public var uint: UInt64? {
        switch content {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        default: nil
        }
    }

    /// The truth value, if the node is one.
    public var bool: Bool? {
        if case .bool(let value) = content { value } else { nil }
    }

    /// The number, if the node is one, whole or not.
    public var number: Double? {
        switch content {
        case .integer(let value): Double(value)
        case .unsigned(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The elements, if the node is a list.
    public var elements: [Node]? {
        if case .sequence(let value) = content { value } else { nil }
    }

    /// The members, if the node is a mapping.
    public var entries: [Entry]? {
        if case .mapping(let value) = content { value } else { nil }
    }

    /// Whether the node is `null`.
    public var isNull: Bool {
        if case .null = content { true } else { false }
    }

    /// What the node is, in the words of an error message: `a string`, `a list`.
    public var kind: String {
        switch content {
        case .null: "nothing"
        case .bool: "a truth value"
        case .integer, .unsigned: "a whole number"
        case .number: "a number"
        case .string: "a string"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}

extension Node: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self.init(.string(value)) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self.init(.integer(value)) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self.init(.bool(value)) }
    /// A list.
    public init(arrayLiteral elements: Node...) { self.init(.sequence(elements)) }
    /// A mapping, members in the order written.
    public init(dictionaryLiteral members: (String, Node)...) {
        self.init(.mapping(members.map { Entry(key: $0.0, value: $0.1) }))
    }
    /// Null.
    public init(nilLiteral: ()) { self.init(.null) }
}
