/// The fields of a request or a response: names in lower case, values of visible ASCII, in the order received.
struct HeaderFields: Sendable, Equatable {
    struct Field: Sendable, Equatable {
        let name: String
        var value: String
    }

    private(set) var list: [Field] = []

    init() { list.reserveCapacity(16) }

    init(_ list: [(String, String)]) { self.list = list.map { Field(name: $0.0, value: $0.1) } }

    mutating func append(_ name: String, _ value: String) { list.append(Field(name: name, value: value)) }

    /// The first value of a name.
    subscript(name: String) -> String? { list.first { $0.name == name }?.value }

    func count(of name: String) -> Int { list.count { $0.name == name } }

    func contains(_ name: String) -> Bool { list.contains { $0.name == name } }

    mutating func remove(_ drop: (String) -> Bool) { list.removeAll { drop($0.name) } }

    /// The members of a list-valued field (RFC 9110, section 5.6.1), in lower case.
    func members(of name: String) -> [String] {
        list.filter { $0.name == name }.flatMap { field in
            field.value.split(separator: ",").map { $0.trimmed.lowercased() }.filter { !$0.isEmpty }
        }
    }

    mutating func mapValues(_ change: (String) -> String) {
        for index in list.indices { list[index].value = change(list[index].value) }
    }
}

extension Substring {
    /// Without the spaces and tabs around it.
    var trimmed: Substring {
        var text = self
        while let first = text.utf8.first, first == 0x20 || first == 0x09 { text.removeFirst() }
        while let last = text.utf8.last, last == 0x20 || last == 0x09 { text.removeLast() }
        return text
    }
}

/// What a message that cannot be understood safely is refused with.
struct HTTPRefusal: Error, Sendable, Equatable {
    let status: Int
    let reason: String

    init(_ status: Int, _ reason: String) {
        self.status = status
        self.reason = reason
    }

    static func bad(_ reason: String) -> HTTPRefusal { HTTPRefusal(400, reason) }
}
