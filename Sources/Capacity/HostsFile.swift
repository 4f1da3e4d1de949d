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
        let reader = DocumentReader(file: file)
        if let document = reader.document(text) { read(document, reader) }
        try reader.finish()
    }

    private mutating func read(_ document: Node, _ reader: DocumentReader) {
        guard reader.hasMembers(document, "", ["version", "factor", "hosts"]) else { return }
        reader.checkVersion(of: document)
        if let given = document["factor"] {
            if let value = given.number, 1...1000 ~= value {
                factor = value
            } else {
                reader.refuse(given, "factor", "a number from 1 to 1000")
            }
        }
        let list = document.member("hosts")
        guard let elements = list.elements, !elements.isEmpty else {
            return reader.refuse(list, "hosts", "a list of one host or more")
        }
        for (index, entry) in elements.enumerated() {
            hosts.append(PinHost(entry, "hosts[\(index)]", beside: hosts, reader))
        }
    }
}

extension PinHost {
    fileprivate init(_ node: Node, _ path: String, beside others: [PinHost], _ reader: DocumentReader) {
        self.init(name: "", berths: 0)
        guard reader.hasMembers(node, path, ["name", "berths", "sessions", "draining"]) else { return }
        let given = node.member("name")
        name = given.string ?? ""
        if name.isEmpty {
            reader.refuse(given, path + ".name", "a name")
        } else if others.contains(where: { $0.name == name }) {
            reader.refuse(given, path + ".name", "each host once")
        }
        berths = reader.whole(node.member("berths"), path + ".berths", 0...1_000_000) ?? 0
        if let given = node["sessions"] { sessions = reader.whole(given, path + ".sessions", 0...1_000_000) ?? 0 }
        if let given = node["draining"] { isDraining = reader.flag(given, path + ".draining") ?? false }
    }
}

extension DocumentReader {
    /// Whether the node is a map; members of other names are told.
    fileprivate func hasMembers(_ node: Node, _ path: String, _ names: [String]) -> Bool {
        members(node, path, names, "a map of \(names.joined(separator: ", "))") { names.contains($0.key) }
        return node.entries != nil
    }
}
