import Documents

/// Reads the values that policies, prices and the gateway's configuration have.
package final class PolicyReader: DocumentReader {
    /// A string with something in it.
    package override func text(_ node: Node, _ field: String) -> String? {
        super.text(node, field).flatMap { $0.isEmpty ? refuse(node, field, "a string") : $0 }
    }

    /// The elements of a list; none where it is no list.
    package func list<Value>(_ node: Node, _ field: String, _ element: (Node, String) -> Value?) -> [Value] {
        elements(node, field, element) ?? []
    }

    /// A list that narrows something: an empty one would be as none, which stands for everything.
    package func some<Value>(_ node: Node, _ field: String, _ element: (Node, String) -> Value?) -> [Value] {
        if node.elements?.isEmpty == true {
            note(node.mark, field, "expected at least one; without \(field) it is all")
        }
        return list(node, field, element)
    }

    /// A word that names a rule, a set or a credential.
    package func name(_ node: Node, _ field: String) -> String? {
        if let name = node.string, Self.isName(name) { return name }
        return refuse(node, field, "a name of letters, digits, ., _, / and -")
    }

    private static func isName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                isAlphanumeric(byte) || "._/-[]".utf8.contains(byte)
            }
    }

    package static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }

    /// What `make` makes of a text; its error is told.
    package func made<Value>(
        _ node: Node, _ field: String, _ make: (String) throws(EgressPolicyError) -> Value
    ) -> Value? {
        guard let text = text(node, field) else { return nil }
        do throws(EgressPolicyError) {
            return try make(text)
        } catch {
            note(node.mark, field, error.message)
            return nil
        }
    }
}

// Amounts.
extension PolicyReader {
    /// Dollars with at most six decimals, in millionths.
    package func dollars(_ node: Node, _ field: String) -> UInt64? {
        if let number = node.number, number >= 0, number <= 1_000_000 {
            let micro = number * 1_000_000
            // A figure of the YAML, so the nearest whole number is what was written.
            if (micro - micro.rounded()).magnitude < 0.001 { return UInt64(micro.rounded()) }
        }
        return refuse(node, field, "dollars from 0 to 1000000 with at most six decimals")
    }

    /// `60%`.
    package func percent(_ node: Node, _ field: String) -> Int? {
        if let text = node.string, text.hasSuffix("%"), let value = Int(text.dropLast()), (1...100).contains(value) {
            return value
        }
        return refuse(node, field, "a part such as 60%")
    }

    private static let intervals: [(String, Int64)] = [
        ("s", 1_000_000_000), ("min", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// `600/min`.
    package func rate(_ node: Node, _ field: String) -> EgressRate? {
        let parts = (node.string ?? "").split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2, let requests = Int(parts[0]), (1...1_000_000).contains(requests),
            let interval = Self.intervals.first(where: { $0.0 == parts[1] })
        {
            return EgressRate(requests: requests, interval: interval.1)
        }
        return refuse(node, field, "a rate such as 600/min, 10/s or 1000/h")
    }

    package static func text(_ rate: EgressRate) -> String {
        "\(rate.requests)/\(intervals.first { $0.1 == rate.interval }?.0 ?? "s")"
    }

    /// `64MiB`, or bytes.
    package func size(_ node: Node, _ field: String) -> Int? {
        if let bytes = node.int, bytes > 0, bytes <= 1 << 50 { return Int(bytes) }
        for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30)] {
            if let text = node.string, text.hasSuffix(unit), let number = Int(text.dropLast(3)),
                (1...(1 << 20)).contains(number)
            {
                return number << shift
            }
        }
        return refuse(node, field, "a size such as 64MiB")
    }
}
