/// The path of a request, taken apart so that a rule and any server read the same from it.
public struct RequestPath: Sendable {
    /// The steps: escapes of unreserved characters decoded (RFC 3986, 6.2.2.2), all others as they are.
    let steps: [[UInt8]]
    /// Whether a step is empty (`//`): servers differ about what that is, so only a rule for all paths allows it.
    let hasEmptySteps: Bool

    /// Takes a path apart.
    ///
    /// - Throws: ``EgressPolicyError``, `.forbidden` for steps `.` and `..` in any writing, `.malformed` for what is no
    ///   path.
    public init(_ raw: String) throws(EgressPolicyError) {
        let bytes = Array(raw.utf8)
        guard bytes.first == UInt8(ascii: "/"), bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            !bytes.contains(UInt8(ascii: "#")), !bytes.contains(UInt8(ascii: "?"))
        else { throw EgressPolicyError(.malformed, "expected a path that begins with / and is ASCII") }
        var steps: [[UInt8]] = []
        for step in bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            let (canonical, plain) = Self.decoded(step)
            for part in plain.split(omittingEmptySubsequences: false, whereSeparator: { $0 == 0x2f || $0 == 0x5c }) {
                // What comes behind a semicolon is a parameter to some servers: `..;x` is `..` there.
                let name = part.prefix { $0 != UInt8(ascii: ";") }
                if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) {
                    throw EgressPolicyError(.forbidden, "a path with steps . or .. is never allowed")
                }
            }
            steps.append(canonical)
        }
        self.steps = steps
        hasEmptySteps = steps.dropLast().contains { $0.isEmpty }
    }

    /// A step with the escapes of unreserved characters decoded, and one with every escape decoded, twice over where it
    /// was escaped twice: for looking alone.
    private static func decoded(_ step: ArraySlice<UInt8>) -> (canonical: [UInt8], plain: [UInt8]) {
        var canonical: [UInt8] = []
        var rest = step
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = hexByte(rest), isUnreserved(value) {
                canonical.append(value)
                rest = rest.dropFirst(2)
            } else {
                canonical.append(byte)
            }
        }
        var plain = canonical
        for _ in 0..<2 where plain.contains(UInt8(ascii: "%")) { plain = unescaped(plain[...]) }
        return (canonical, plain)
    }

    private static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = hexByte(rest) {
                result.append(value)
                rest = rest.dropFirst(2)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    private static func hexByte(_ text: ArraySlice<UInt8>) -> UInt8? {
        guard text.count >= 2 else { return nil }
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
            default: nil
            }
        }
        guard let high = digit(text[text.startIndex]), let low = digit(text[text.startIndex + 1]) else { return nil }
        return high << 4 | low
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// As the most lenient server could read it: every escape decoded, in lower case, `\` for `/`, no parameters behind a
    /// semicolon, no empty steps.
    var leniently: String {
        let bytes = steps.flatMap { [UInt8(ascii: "/")] + Self.decoded($0[...]).plain }
        let words = bytes.split { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
            .map { $0.prefix { $0 != UInt8(ascii: ";") } }.filter { !$0.isEmpty }
        return words.reduce(into: "") { $0 += "/" + String(decoding: $1, as: UTF8.self).lowercased() }
    }

    /// The canonical text: what is decided on, and what goes out.
    public var text: String { steps.reduce(into: "") { $0 += "/" + String(decoding: $1, as: UTF8.self) } }
}

/// The paths of a rule: `*` in a step stands for any part of that step, a step `**` for any number of steps.
public struct RequestPathPattern: Hashable, Sendable, CustomStringConvertible {
    /// As it is written.
    public let description: String
    private let steps: [[UInt8]]

    /// Reads a pattern.
    ///
    /// - Throws: ``EgressPolicyError`` where it is no path, or `**` is a part of a step.
    public init(_ text: String) throws(EgressPolicyError) {
        description = text
        steps = try RequestPath(text).steps
        for step in steps where step.count > 2 && String(decoding: step, as: UTF8.self).contains("**") {
            throw EgressPolicyError(.malformed, "expected ** as a step of its own, found \(text)")
        }
    }

    /// Whether every path is meant.
    var isEverything: Bool { description == "/**" }

    package func matches(_ path: RequestPath) -> Bool {
        if isEverything { return true }
        guard !path.hasEmptySteps else { return false }
        // At least one step, and not the empty one behind a slash at the end.
        return globMatches(
            path.steps[...], steps[...], isWildcard: { $0.elementsEqual("**".utf8) }, least: 1, begins: { !$0.isEmpty },
            matches: Self.matches)
    }

    /// An escaped slash is one to some servers: no wildcard stands for it.
    private static func matches(_ step: [UInt8], _ pattern: [UInt8]) -> Bool {
        guard pattern.contains(UInt8(ascii: "*")) else { return step == pattern }
        if step.isEmpty { return false }
        if step.contains(UInt8(ascii: "%")) || step.contains(UInt8(ascii: "\\")) {
            let text = String(decoding: step, as: UTF8.self).lowercased()
            if text.contains("%2f") || text.contains("%5c") || text.contains("%25") || text.contains("\\") {
                return false
            }
        }
        return globMatches(step[...], pattern[...], isWildcard: { $0 == UInt8(ascii: "*") }, matches: ==)
    }
}
