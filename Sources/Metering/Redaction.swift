/// Takes what looks like a credential out of a body before it is kept.
///
/// Known are the exact credentials that the gateway writes, and the forms of tokens that their makers give a prefix or a
/// frame to be found by. A password without any form is not found: bodies are kept only where a policy asks for it.
enum Redaction {
    /// What a token starts with, how many further characters make it one, and whether dots belong to it.
    private static let prefixes: [(text: [UInt8], least: Int, hasDots: Bool)] = [
        ("sk-ant-", 16, false), ("sk-", 32, false), ("ghp_", 30, false), ("gho_", 30, false), ("ghu_", 30, false),
        ("ghs_", 30, false), ("ghr_", 30, false), ("github_pat_", 30, false), ("glpat-", 16, false),
        ("npm_", 30, false), ("pypi-", 32, false), ("xoxb-", 16, false), ("xoxp-", 16, false), ("xoxa-", 16, false),
        ("xoxs-", 16, false), ("AKIA", 16, false), ("ASIA", 16, false), ("AIza", 32, false), ("ya29.", 20, true),
        ("hf_", 30, false), ("eyJ", 40, true),
    ].map { (Array($0.0.utf8), $0.1, $0.2) }
    private static let keyStart = Array("-----BEGIN ".utf8)
    private static let keyEnd = Array("-----END ".utf8)
    private static let mark = Array("[redacted]".utf8)

    /// The body without credentials, and how many were taken out.
    static func redact(_ body: [UInt8], _ secrets: [[UInt8]]) -> ([UInt8], count: Int) {
        var isFirst = [Bool](repeating: false, count: 256)
        for text in [keyStart] + prefixes.map(\.text) + secrets {
            if let first = text.first { isFirst[Int(first)] = true }
        }
        var result: [UInt8] = []
        result.reserveCapacity(body.count)
        var count = 0
        var index = 0
        /// Up to here the body stands in the result.
        var copied = 0
        while index < body.count {
            guard isFirst[Int(body[index])],
                let length = length(of: body[index...], secrets, isStart: index == 0 || !isToken(body[index - 1]))
            else {
                index += 1
                continue
            }
            result += body[copied..<index]
            result += mark
            count += 1
            index += length
            copied = index
        }
        return (result + body[copied...], count)
    }

    /// How long the credential is that the text starts with, if it does.
    private static func length(of text: ArraySlice<UInt8>, _ secrets: [[UInt8]], isStart: Bool) -> Int? {
        for secret in secrets where !secret.isEmpty && text.starts(with: secret) { return secret.count }
        if text.first == UInt8(ascii: "-"), text.starts(with: keyStart) { return privateKey(text) }
        guard isStart, let first = text.first else { return nil }
        for prefix in prefixes where prefix.text[0] == first && text.starts(with: prefix.text) {
            let body = text.dropFirst(prefix.text.count)
            let run = body.prefix { isToken($0) || prefix.hasDots && $0 == UInt8(ascii: ".") }.count
            if run >= prefix.least { return prefix.text.count + run }
        }
        return nil
    }

    /// The length of `-----BEGIN … PRIVATE KEY-----` … `-----END …-----`, to the end of the text if the end is missing.
    private static func privateKey(_ text: ArraySlice<UInt8>) -> Int? {
        let label = text.dropFirst(keyStart.count).prefix(64)
        guard contains(label, Array("PRIVATE KEY".utf8)) else { return nil }
        var index = text.startIndex + keyStart.count
        while index < text.endIndex {
            if text[index] == UInt8(ascii: "-"), text[index...].starts(with: keyEnd) {
                let tail = text[index...].dropFirst(keyEnd.count).prefix(64)
                let dashes = tail.firstIndex(of: UInt8(ascii: "-")) ?? tail.endIndex
                return min(dashes + 5, text.endIndex) - text.startIndex
            }
            index += 1
        }
        return text.count
    }

    private static func contains(_ text: ArraySlice<UInt8>, _ part: [UInt8]) -> Bool {
        text.indices.contains { text[$0...].starts(with: part) }
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }
}
