import Documents

/// Reads the members of a document and gathers all that is wrong with them.
final class DocumentReader {
    let file: String
    private(set) var problems: [Problem] = []

    init(file: String) { self.file = file }

    func report(_ node: Node, _ field: String, _ message: String) {
        problems.append(Problem(file: file, mark: node.mark, field: field, message: message))
    }

    /// The node must be a mapping with no other members than these.
    func check(_ node: Node, _ path: String, members: [String]) {
        guard let entries = node.entries else { return report(node, path, "expected a mapping, found \(node.kind)") }
        for entry in entries where !members.contains(entry.key) {
            let field = path.isEmpty ? entry.key : "\(path).\(entry.key)"
            let hint = nearest(entry.key, in: members).map { "; did you mean \($0)?" } ?? ""
            report(entry.value, field, "there is no such member" + hint)
        }
    }

    func text(_ node: Node, _ name: String) -> String {
        guard let text = node[name]?.string, !text.isEmpty else {
            report(node[name] ?? node, name, "expected a string")
            return ""
        }
        return text
    }

    func mapping(_ node: Node, _ name: String) -> [Node.Entry] {
        guard let entries = node[name]?.entries else {
            report(node[name] ?? node, name, "expected a mapping")
            return []
        }
        return entries
    }

    /// A list of strings that are not empty; none if the member is missing.
    func names(_ node: Node, _ name: String, _ path: String) -> [String] {
        guard let found = node[name] else { return [] }
        guard let elements = found.elements else {
            report(found, path + name, "expected a list of names, found \(found.kind)")
            return []
        }
        return elements.enumerated().compactMap { index, element in
            if let text = element.string, !text.isEmpty { return text }
            report(element, "\(path)\(name)[\(index)]", "expected a name, found \(element.kind)")
            return nil
        }
    }

    func oneOf<Name: RawRepresentable<String> & CaseIterable>(_ node: Node, _ name: String, _ path: String) -> Name? {
        guard let found = node[name] else { return nil }
        let value = found.string.flatMap { Name(rawValue: $0) }
        if value == nil {
            let names = Name.allCases.map(\.rawValue).joined(separator: ", ")
            report(found, path + name, "expected one of \(names)")
        }
        return value
    }

    /// A number of up to six decimals in millionths: dollars per million tokens are picodollars a token.
    func millionths(_ node: Node, _ name: String, _ path: String) -> UInt64? {
        guard let found = node[name], let number = found.number, number >= 0, number <= 1_000_000 else {
            report(node[name] ?? node, path + name, "expected a number from 0 to 1000000")
            return nil
        }
        let scaled = (number * 1_000_000).rounded()
        // The nearest double of a number of six decimals is off by far less than a thousandth of the last.
        guard abs(number * 1_000_000 - scaled) < 0.001 else {
            report(found, path + name, "expected at most six decimals")
            return nil
        }
        return UInt64(scaled)
    }

    /// A whole number above 0.
    func count(_ node: Node, _ name: String, _ path: String) -> UInt64 {
        guard let count = node[name]?.uint, count > 0, count < 1 << 40 else {
            report(node[name] ?? node, path + name, "expected a whole number above 0")
            return 0
        }
        return count
    }
}
