import EgressPolicy

/// Why a push is not let through; `nil` where its policy allows every reference that it changes.
///
/// The commands stand at the front of the body, each a pkt-line `OLD NEW REFERENCE`, up to a flush
/// (gitprotocol-pack(5), "Reference Update Request").
/// It is read in one go, and the sessions of the same thread wait meanwhile: so commands have an end.
func refusalOfPush(_ body: [UInt8], _ policy: PushPolicy) -> String? {
    var rest = body[...]
    var commands = 0
    while true {
        if body.count - rest.count > mostOfCommands {
            return "a push with commands of more than \(mostOfCommands) bytes"
        }
        guard rest.count >= 4, let digits = Optional(rest.prefix(4)), digits.allSatisfy({ hexValue($0) != nil }),
            let length = Int(String(decoding: digits, as: UTF8.self), radix: 16)
        else { return "a push whose commands cannot be read" }
        if length == 0 { break }
        guard length > 4, rest.count >= length else { return "a push whose commands cannot be read" }
        let line = rest.dropFirst(4).prefix(length - 4)
        rest = rest.dropFirst(length)
        // Capabilities stand behind a NUL in the first line.
        let command = line.prefix { $0 != 0 && $0 != 0x0A }
        let words = command.split(separator: 0x20, maxSplits: 2).map { String(decoding: $0, as: UTF8.self) }
        guard words.count == 3, isObjectName(words[0]), isObjectName(words[1]) else {
            return "a push with a command that is not one (a signed push, a shallow one)"
        }
        commands += 1
        guard policy.allows(reference: words[2]) else { return "a push to \(words[2])" }
        if isZero(words[1]), !policy.delete { return "the deletion of \(words[2])" }
        if !isZero(words[0]), !isZero(words[1]), !policy.force {
            return "a push to \(words[2]), which exists: whether that is a fast-forward cannot be told from outside"
        }
    }
    return commands == 0 && body != Array("0000".utf8) ? "a push without commands" : nil
}

/// Of some ten thousand references.
private let mostOfCommands = 1 << 20

private func isObjectName(_ text: String) -> Bool {
    (text.utf8.count == 40 || text.utf8.count == 64) && text.utf8.allSatisfy { hexValue($0) != nil }
}

private func isZero(_ name: String) -> Bool { name.utf8.allSatisfy { $0 == UInt8(ascii: "0") } }
