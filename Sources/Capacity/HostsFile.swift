import Documents

extension HostPin {
    /// Reads `hosts.yaml`.
    ///
    /// ```yaml
    /// version: 1
    /// factor: 1.25
    /// hosts:
    ///   - { name: build-1, berths: 60, sessions: 12 }
    ///   - { name: build-2, berths: 120, draining: true }
    /// ```
    ///
    /// - Parameters:
    ///   - text: what is in the file.
    ///   - file: its name, for the problems.
    /// - Throws: everything that is wrong with it, in the order of the file.
    public init(_ text: [UInt8], file: String) throws(Problems) {
        self.init([])
        let (document, problems) = Node.read(text, file: file)
        var reader = HostsReader(file: file, problems: problems)
        if let document { read(document, &reader) }
        if !reader.problems.isEmpty { throw Problems(inOrder: reader.problems) }
    }

    private mutating func read(_ document: Node, _ reader: inout HostsReader) {
        let fields = reader.members(of: document, "", ["version", "factor", "hosts"])
        if document.entries == nil { return }
        if fields["version"]?.int != 1 { reader.refuse(fields["version"], in: document, "version", "1") }
        if let given = fields["factor"] {
            if let value = given.number, 1...1000 ~= value {
                factor = value
            } else {
                reader.refuse(given, in: document, "factor", "a number from 1 to 1000")
            }
        }
        guard let list = fields["hosts"]?.elements, !list.isEmpty else {
            return reader.refuse(fields["hosts"], in: document, "hosts", "a list of one host or more")
        }
        for (index, entry) in list.enumerated() {
            let host = PinHost(entry, "hosts[\(index)]", beside: hosts, &reader)
            hosts.append(host)
        }
    }
}

extension PinHost {
    fileprivate init(_ node: Node, _ path: String, beside others: [PinHost], _ reader: inout HostsReader) {
        self.init(name: "", berths: 0)
        let fields = reader.members(of: node, path, ["name", "berths", "sessions", "draining"])
        if node.entries == nil { return }
        if let text = fields["name"]?.string, !text.isEmpty {
            name = text
            if others.contains(where: { $0.name == text }) {
                reader.refuse(fields["name"], in: node, path + ".name", "each host once")
            }
        } else {
            reader.refuse(fields["name"], in: node, path + ".name", "a name")
        }
        berths = reader.number(fields["berths"], in: node, path + ".berths") ?? 0
        if let given = fields["sessions"] { sessions = reader.number(given, in: node, path + ".sessions") ?? 0 }
        if let given = fields["draining"] {
            if let value = given.bool {
                isDraining = value
            } else {
                reader.refuse(given, in: node, path + ".draining", "true or false")
            }
        }
    }
}

/// Notes what is wrong with a file of hosts.
private struct HostsReader {
    let file: String
    var problems: [Problem]

    /// The members of a map by their names; one that there is no such field for is refused.
    mutating func members(of node: Node, _ path: String, _ known: [String]) -> [String: Node] {
        guard let entries = node.entries else {
            refuse(node, in: node, path, "a map of \(known.joined(separator: ", "))")
            return [:]
        }
        var members: [String: Node] = [:]
        for entry in entries {
            members[entry.key] = entry.value
            if known.contains(entry.key) { continue }
            let hint = nearest(entry.key, in: known).map { "; did you mean \($0)?" } ?? ""
            let field = path.isEmpty ? entry.key : "\(path).\(entry.key)"
            note(entry.keyMark, field, "unknown; the fields here are \(known.joined(separator: ", "))\(hint)")
        }
        return members
    }

    mutating func number(_ node: Node?, in parent: Node, _ field: String) -> Int? {
        if let value = node?.int, 0...1_000_000 ~= value { return Int(value) }
        refuse(node, in: parent, field, "a whole number from 0 to 1000000")
        return nil
    }

    /// Notes that a value is not what was expected, or is missing in `parent`.
    mutating func refuse(_ node: Node?, in parent: Node, _ field: String, _ expected: String) {
        let found =
            switch node?.content {
            case .string, .integer, .unsigned, .number, .bool: node?.json() ?? ""
            default: node?.kind ?? "nothing"
            }
        note(node?.mark ?? parent.mark, field, "expected \(expected), found \(found)")
    }

    private mutating func note(_ mark: Mark?, _ field: String, _ message: String) {
        // What could not be read is told already.
        if problems.contains(where: { $0.mark == mark && $0.field == field }) { return }
        problems.append(Problem(file: file, mark: mark, field: field, message: message))
    }
}
