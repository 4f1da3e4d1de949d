import CLibyaml

/// Builds nodes from libyaml's events, from text that is known to be UTF-8.
struct YAMLReader {
    private(set) var findings: Findings
    /// What libyaml could not read beyond, if it could not.
    private(set) var syntaxError: Problem?
    private let text: UnsafeBufferPointer<UInt8>
    /// At an address of its own, since libyaml keeps a pointer to it in itself; alive while `document()` runs.
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private var anchors: [String: Anchor] = [:]
    /// Nodes made so far, and how many of them repeat others.
    private var count = 0
    private var repeated = 0

    private static let mostRepeated = 100_000

    private struct Anchor {
        let node: Node
        let count: Int
        let height: Int
    }

    private typealias Stop = Findings.Stop
    private typealias YAMLScalar = yaml_event_s.__Unnamed_union_data.__Unnamed_struct_scalar

    init(_ text: UnsafeBufferPointer<UInt8>, file: String) {
        self.text = text
        findings = Findings(file: file)
    }

    /// Reads the one document there must be; to be called once.
    mutating func document() -> Node? {
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else {
            findings.report(nil, "out of memory")
            return nil
        }
        defer { yaml_parser_delete(parser) }
        let empty: StaticString = ""
        yaml_parser_set_input_string(parser, text.baseAddress ?? empty.utf8Start, text.count)
        do throws(Stop) {
            try skip(YAML_STREAM_START_EVENT)
            guard try skip(YAML_DOCUMENT_START_EVENT) else {
                findings.report(Mark(line: 1, column: 1), "expected a document, found none")
                return nil
            }
            let root = try node().node
            try skip(YAML_DOCUMENT_END_EVENT)
            var end = try next()
            defer { yaml_event_delete(&end) }
            if end.type != YAML_STREAM_END_EVENT {
                findings.report(mark(end), "expected one document, found another")
            }
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
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "out of memory"
        if parser.pointee.error == YAML_READER_ERROR {
            // Its reader, which refuses control characters, gives no mark.
            findings.report(Mark(of: parser.pointee.problem_offset, in: text), problem)
        } else {
            let context = parser.pointee.context.map { String(cString: $0) + ": " } ?? ""
            let (place, end) = (mark(parser.pointee.problem_mark), Mark(of: text.count, in: text))
            // Behind a last line without its end libyaml counts another.
            findings.report(place.line > end.line ? end : place, context + problem)
        }
        syntaxError = findings.problems.last
        throw Stop()
    }

    /// The next node and how many levels it has.
    private mutating func node() throws(Stop) -> (node: Node, height: Int) {
        var event = try next()
        defer { yaml_event_delete(&event) }
        return try node(event)
    }

    private mutating func node(_ event: yaml_event_t) throws(Stop) -> (node: Node, height: Int) {
        let before = count
        count += 1
        let place = mark(event)
        let result: (node: Node, height: Int)
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
            anchors[String(cString: anchor)] = Anchor(node: result.node, count: count - before, height: result.height)
        }
        return result
    }

    private mutating func alias(_ name: String, at place: Mark) throws(Stop) -> (node: Node, height: Int) {
        // An anchor inside its own node is not there yet: no node can contain itself.
        guard let anchor = anchors[name] else {
            findings.report(place, "expected an anchor &\(name) that ends before the alias *\(name)")
            return (nil, 0)
        }
        count += anchor.count - 1
        repeated += anchor.count
        guard repeated <= Self.mostRepeated else {
            findings.report(place, "expected aliases that repeat at most \(Self.mostRepeated) nodes, found more")
            throw Stop()
        }
        try findings.check(depth: findings.path.count + anchor.height, at: place)
        return (anchor.node, anchor.height)
    }

    private mutating func sequence(at place: Mark) throws(Stop) -> (node: Node, height: Int) {
        try findings.check(depth: findings.path.count + 1, at: place)
        var elements: [Node] = []
        var height = 0
        while true {
            var event = try next()
            defer { yaml_event_delete(&event) }
            if event.type == YAML_SEQUENCE_END_EVENT { break }
            findings.path.append(.index(elements.count))
            let element = try node(event)
            findings.path.removeLast()
            elements.append(element.node)
            height = max(height, element.height)
        }
        return (Node(.sequence(elements), mark: place), height + 1)
    }

    private mutating func mapping(at place: Mark) throws(Stop) -> (node: Node, height: Int) {
        try findings.check(depth: findings.path.count + 1, at: place)
        var entries: [Node.Entry] = []
        var names = Names()
        var height = 0
        while let (key, keyMark) = try key() {
            findings.enter(key, at: keyMark, of: entries, &names)
            let value = try node()
            findings.path.removeLast()
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
        let place = mark(event)
        guard event.type == YAML_SCALAR_EVENT else {
            let found = event.type == YAML_ALIAS_EVENT ? "an alias" : "a list or mapping"
            findings.report(place, "expected a name, found \(found)")
            throw Stop()
        }
        refuse(tag: event.data.scalar.tag, allowing: "tag:yaml.org,2002:str", at: place)
        return (string(event.data.scalar, at: place), place)
    }

    private mutating func scalar(_ scalar: YAMLScalar, at place: Mark) -> Node.Content {
        let text = string(scalar, at: place)
        refuse(tag: scalar.tag, allowing: "tag:yaml.org,2002:str", at: place)
        guard scalar.tag == nil, scalar.style == YAML_PLAIN_SCALAR_STYLE else { return .string(text) }
        return findings.resolve(text, at: place)
    }

    private mutating func string(_ scalar: YAMLScalar, at place: Mark) -> String {
        let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
        if bytes.contains(0) { findings.reportNUL(place) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func refuse(tag: UnsafeMutablePointer<yaml_char_t>?, allowing: String = "", at place: Mark) {
        guard let tag else { return }
        let name = String(cString: tag)
        if name != allowing { findings.report(place, "expected no tag but !!str on a scalar, found \(name)") }
    }

    private func mark(_ event: yaml_event_t) -> Mark { mark(event.start_mark) }
    private func mark(_ mark: yaml_mark_t) -> Mark { Mark(line: Int(mark.line) + 1, column: Int(mark.column) + 1) }
}
