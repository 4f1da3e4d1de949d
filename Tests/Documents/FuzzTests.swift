import Testing

@testable import Documents

/// Random inputs, the same in every run.
private struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {  // SplitMix64
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct FuzzTests {
    private static let samples = [
        #"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00\n"],"b":{"c":{},"d":[]},"e":18446744073709551615}"#,
        "a: &x [1, 'two', \"three\\t\"]\nb:\n  - *x\n  - {c: ~, d: !!str 5}\ne: |\n  text\n  more\nf: >-\n  folded\n",
        "# comment\nlimits:\n  memory: 2GiB\n  pids: 0x40\n  cpus: 1.5\n\"quoted key\": yes\n? k\n: v\n",
    ].map { Array($0.utf8) }
    private static let snippets = [
        "{", "}", "[", "]", ":", ": ", ",", "\"", "'", "\n", "\n  ", "- ", "&x ", "*x", "!", "!!str ", "#", "|", ">",
        "?", "%",
        "---", "...", "\\", "\\u", "\\ud83d", "\t", "\u{0}", "\u{2028}", "\u{FEFF}", "é", "0", "1e999", "~", "0x",
        "0755",
    ].map { Array($0.utf8) }

    private func change(_ bytes: inout [UInt8], _ dice: inout Dice) {
        for _ in 0..<Int.random(in: 1...4, using: &dice) {
            let place = Int.random(in: 0...bytes.count, using: &dice)
            switch Int.random(in: 0..<4, using: &dice) {
            case 0: bytes.insert(contentsOf: Self.snippets.randomElement(using: &dice)!, at: place)
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0...6, using: &dice)))
            case 2: if place < bytes.count { bytes[place] = UInt8.random(in: 0...255, using: &dice) }
            default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 8)], at: place)
            }
        }
    }

    @Test func whateverIsReadIsReadBackAndWhateverIsNotHasAPlace() throws {
        var dice = Dice(state: 1)
        var (good, bad) = (0, 0)
        for round in 0..<12_000 {
            var bytes = Self.samples[round % Self.samples.count]
            change(&bytes, &dice)
            do {
                let node = try Node.parse(bytes, file: "f")
                #expect(try Node.parse(Array(node.json().utf8), file: "f") == node)
                good += 1
            } catch {
                #expect(!error.list.isEmpty && error.list.allSatisfy { $0.mark != nil && !$0.message.isEmpty })
                bad += 1
            }
        }
        #expect(good > 1200 && bad > 1200, "\(good) good, \(bad) bad")
    }

    @Test func bothReadersUnderstandJSONAlike() {
        var dice = Dice(state: 2)
        var both = 0
        for _ in 0..<12_000 {
            var bytes = Self.samples[0]
            // libyaml has no surrogates, and folds what it takes for ends of lines.
            bytes = Array(String(decoding: bytes, as: UTF8.self).replacing("\\ud83d\\ude00", with: "").utf8)
            change(&bytes, &dice)
            let text = String(decoding: bytes, as: UTF8.self)
            if text.unicodeScalars.contains(where: { $0 == "\u{2028}" || $0 == "\u{2029}" || $0 == "\u{85}" }) {
                continue
            }
            Array(text.utf8).withUnsafeBufferPointer { bytes in
                var json = JSONReader(bytes, file: "f")
                var yaml = YAMLReader(bytes, file: "f")
                guard let left = json.document(), let right = yaml.document() else { return }
                #expect(left == right, "\(text)")
                let (here, there) = (json.findings.problems.map(\.mark), yaml.findings.problems.map(\.mark))
                #expect(here == there, "\(text)")
                both += 1
            }
        }
        #expect(both > 500, "\(both)")
    }
}
