import CLibyaml

extension Node {
    /// Reads one YAML or JSON document.
    ///
    /// Scalars follow the core schema of YAML 1.2: `yes`, `on` and `1_000` are strings. Refused, each with its place:
    /// a name that occurs twice in a mapping, names that are not scalars, tags other than `!!str`, NUL in a string, a
    /// number that is not finite or wider than 64 bits, more than one document or none, nesting deeper than 64, text
    /// that is not UTF-8, and aliases that repeat more than 100,000 nodes in all (the "billion laughs").
    ///
    /// - Parameters:
    ///   - bytes: the document's text.
    ///   - file: its name, for the problems.
    /// - Throws: everything that is wrong, in the order of the document; after a syntax error nothing more is read.
    public static func parse(_ bytes: [UInt8], file: String) throws(Problems) -> Node {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        var composer = Composer(file: file, parser: parser)
        let root = bytes.withUnsafeBufferPointer { composer.document($0) }
        guard let root, composer.problems.isEmpty else { throw Problems(composer.problems) }
        return root
    }
}

/// Builds nodes from libyaml's events.
private struct Composer {
    let file: String
    var problems: [Problem] = []
    /// At an address of its own: libyaml keeps a pointer to it in itself.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private var text = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    /// The way from the top to the node being read.
    private var path: [String] = []
    private var anchors: [String: Anchor] = [:]
    /// Nodes made so far, those repeated by aliases counted anew.
    private var count = 0
    private var repeated = 0

    private static let deepest = 64
    private static let mostRepeated = 100_000

    private struct Anchor {
        let node: Node
        let count: Int
        let height: Int
    }

    /// Ends the reading: the document cannot be understood beyond this point.
    private struct Stop: Error {}

    init(file: String, parser: UnsafeMutablePointer<yaml_parser_t>) {
        self.file = file
        self.parser = parser
    }

    mutating func document(_ text: UnsafeBufferPointer<UInt8>) -> Node? {
        self.text = text
        guard yaml_parser_initialize(parser) == 1 else {
            report(nil, "out of memory")
            return nil
        }
        defer { yaml_parser_delete(parser) }
        // Without this a BOM of UTF-16 would switch libyaml to another encoding than the one checked here.
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress ?? UnsafePointer(bitPattern: 1), text.count)
        do throws(Stop) {
            try skip(YAML_STREAM_START_EVENT)
            guard try skip(YAML_DOCUMENT_START_EVENT) else {
                report(Mark(line: 1, column: 1), "expected a document, found an empty file")
                return nil
            }
            let root = try node().node
            try skip(YAML_DOCUMENT_END_EVENT)
            var end = try next()
            defer { yaml_event_delete(&end) }
            if end.type != YAML_STREAM_END_EVENT { report(mark(end), "expected one document, found another") }
            return root
        } catch {
            return nil
        }
    }

    /// Reads one event and says whether it was of this type.
    @discardableResult
    private mutating func skip(_ type: yaml_event_type_t) throws(Stop) -> Bool {
        var event = try next()
        defer { yaml_event_delete(&event) }
        return event.type == type
    }

    private mutating func next() throws(Stop) -> yaml_event_t {
        var event = yaml_event_t()
        if yaml_parser_parse(parser, &event) == 1 { return event }
        let what = parser.pointee.problem.map { String(cString: $0) } ?? "out of memory"
        if parser.pointee.error == YAML_READER_ERROR {
            report(place(of: parser.pointee.problem_offset), what)
        } else {
            let context = parser.pointee.context.map { " " + String(cString: $0) } ?? ""
            report(mark(parser.pointee.problem_mark), what + context)
        }
        throw Stop()
    }

    /// The next node and how many levels it has.
    private mutating func node() throws(Stop) -> (node: Node, height: Int) {
        var event = try next()
        defer { yaml_event_delete(&event) }
        return try node(&event)
    }

    private mutating func node(_ event: inout yaml_event_t) throws(Stop) -> (node: Node, height: Int) {
        let before = count
        count += 1
        let place = mark(event)
        var result: (node: Node, height: Int)
        let anchor: UnsafeMutablePointer<yaml_char_t>?
        switch event.type {
        case YAML_ALIAS_EVENT:
            return try alias(String(cString: event.data.alias.anchor), at: place)
        case YAML_SCALAR_EVENT:
            anchor = event.data.scalar.anchor
            result = (Node(scalar(event.data.scalar, at: place), mark: place), 0)
        case YAML_SEQUENCE_START_EVENT:
            anchor = event.data.sequence_start.anchor
            refuse(tag: event.data.sequence_start.tag, at: place)
            result = try sequence(at: place)
        default:
            anchor = event.data.mapping_start.anchor
            refuse(tag: event.data.mapping_start.tag, at: place)
            result = try mapping(at: place)
        }
        if let anchor {
            anchors[String(cString: anchor)] = Anchor(
                node: result.node, count: count - before, height: result.height)
        }
        return result
    }

    private mutating func alias(_ name: String, at place: Mark) throws(Stop) -> (node: Node, height: Int) {
        guard let anchor = anchors[name] else {
            report(place, "expected an anchor &\(name) before the alias *\(name)")
            return (nil, 0)
        }
        count += anchor.count - 1
        repeated += anchor.count
        guard repeated <= Self.mostRepeated else {
            report(place, "expected aliases that repeat at most \(Self.mostRepeated) nodes, found more")
            throw Stop()
        }
        try check(depth: path.count + anchor.height, at: place)
        return (anchor.node, anchor.height)
    }

    private mutating func sequence(at place: Mark) throws(Stop) -> (node: Node, height: Int) {
        try check(depth: path.count + 1, at: place)
        var elements: [Node] = []
        var height = 0
        while true {
            var event = try next()
            defer { yaml_event_delete(&event) }
            if event.type == YAML_SEQUENCE_END_EVENT { break }
            path.append("[\(elements.count)]")
            let element = try node(&event)
            path.removeLast()
            elements.append(element.node)
            height = max(height, element.height)
        }
        return (Node(.sequence(elements), mark: place), height + 1)
    }

    private mutating func mapping(at place: Mark) throws(Stop) -> (node: Node, height: Int) {
        try check(depth: path.count + 1, at: place)
        var entries: [Node.Entry] = []
        var lines: [String: Int] = [:]
        var height = 0
        while let (key, keyMark) = try key() {
            path.append(key)
            if let line = lines.updateValue(keyMark.line, forKey: key) {
                report(keyMark, "expected each name once; it stands in line \(line) already")
            }
            let value = try node()
            path.removeLast()
            entries.append(Node.Entry(key: key, keyMark: keyMark, value: value.node))
            height = max(height, value.height)
        }
        return (Node(.mapping(entries), mark: place), height + 1)
    }

    /// The name of the next member, or `nil` at the mapping's end.
    private mutating func key() throws(Stop) -> (String, Mark)? {
        var event = try next()
        defer { yaml_event_delete(&event) }
        if event.type == YAML_MAPPING_END_EVENT { return nil }
        guard event.type == YAML_SCALAR_EVENT else {
            report(
                mark(event), "expected a name, found \(event.type == YAML_ALIAS_EVENT ? "an alias" : "a collection")")
            throw Stop()
        }
        refuse(tag: event.data.scalar.tag, at: mark(event))
        return (string(event.data.scalar, at: mark(event)), mark(event))
    }

    private typealias YAMLScalar = yaml_event_s.__Unnamed_union_data.__Unnamed_struct_scalar

    private mutating func scalar(_ scalar: YAMLScalar, at place: Mark) -> Node.Content {
        let text = string(scalar, at: place)
        if scalar.tag != nil { refuse(tag: scalar.tag, allowing: "tag:yaml.org,2002:str", at: place) }
        guard scalar.tag == nil, scalar.style == YAML_PLAIN_SCALAR_STYLE else { return .string(text) }
        switch Scalar.resolve(text) {
        case .success(let content): return content
        case .failure(let refusal):
            report(place, refusal.message)
            return .null
        }
    }

    private mutating func string(_ scalar: YAMLScalar, at place: Mark) -> String {
        let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
        // A NUL would end the string early wherever it meets a system call.
        if bytes.contains(0) { report(place, "expected a string without NUL") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func refuse(tag: UnsafeMutablePointer<yaml_char_t>?, allowing: String = "", at place: Mark) {
        guard let tag else { return }
        let name = String(cString: tag)
        if name != allowing { report(place, "expected no tag but !!str on a scalar, found \(name)") }
    }

    private mutating func check(depth: Int, at place: Mark) throws(Stop) {
        guard depth > Self.deepest else { return }
        report(place, "expected at most \(Self.deepest) levels, found more")
        throw Stop()
    }

    private mutating func report(_ place: Mark?, _ message: String) {
        let field = path.reduce("") { $0.isEmpty || $1.hasPrefix("[") ? $0 + $1 : "\($0).\($1)" }
        problems.append(Problem(file: file, mark: place, field: field, message: message))
    }

    private func mark(_ event: yaml_event_t) -> Mark { mark(event.start_mark) }
    private func mark(_ mark: yaml_mark_t) -> Mark { Mark(line: Int(mark.line) + 1, column: Int(mark.column) + 1) }

    /// The place of a byte: libyaml gives no mark with what its reader refuses (bad UTF-8, control characters).
    private func place(of offset: Int) -> Mark {
        let before = text.prefix(offset)
        let line = before.lastIndex(of: UInt8(ascii: "\n")).map { before[($0 + 1)...] } ?? before
        return Mark(
            line: before.count { $0 == UInt8(ascii: "\n") } + 1,
            column: line.count { $0 & 0xC0 != 0x80 } + 1)
    }
}
