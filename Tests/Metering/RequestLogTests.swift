import Documents
import Foundation
import Records
import Testing

@testable import Metering

@Suite struct RequestLogTests {
    let scratch = Scratch()
    private var log: RequestLog { RequestLog(scratch.file("requests.jsonl"), bodies: scratch.file("bodies")) }

    private func entry(_ phase: RequestEntry.Phase, _ id: String) -> RequestEntry {
        RequestEntry(
            phase: phase, id: id, session: "s-1", tenant: "acme", rule: "anthropic/messages", method: "POST",
            host: "api.anthropic.com", port: 443, path: "/v1/messages")
    }

    private func records() throws -> [Node] {
        var records: [Node] = []
        try AuditLog(log.path).forEach { _, record in if let node = try? record.get() { records.append(node) } }
        return records
    }

    @Test("a request is told of when it is let out and when it is over, on one chain")
    func chain() throws {
        var over = entry(.response, "r-1")
        over.status = 200
        over.bytesUp = 10
        over.bytesDown = 20
        over.timings = [("connected", 5), ("end", 7)]
        over.credential = "anthropic"
        over.messages = MessagesOutcome(
            charge: Charge(
                nanodollars: 125, tokens: 3, usage: Usage(input: 1, output: 2), model: "m", isEstimated: true,
                priceDigest: "d"), model: "m", stopReason: "tool_use",
            toolCalls: [.init(name: "Bash", inputDigest: "abc"), .init(name: "Read", inputDigest: nil)],
            errorType: nil, isComplete: false, answersNote: false)
        var refused = entry(.request, "r-2")
        refused.refusal = "no rule"
        try log.append([entry(.request, "r-1"), refused])
        try log.append([over])
        let records = try records()
        #expect(records.map { $0["event"]?.string } == ["request", "request", "response"])
        #expect(records.map { $0["decision"]?.string } == ["allow", "refuse", "allow"])
        #expect(records[1]["why"]?.string == "no rule" && records[0]["status"] == nil)
        let messages = try #require(records[2]["messages"])
        #expect(messages["nanodollars"]?.uint == 125 && messages["prices"]?.string == "d")
        #expect(messages["estimated"]?.bool == true && messages["tools"]?.elements?.count == 2)
        #expect(messages["tools"]?.elements?[0] == ["name": "Bash", "inputSHA256": "abc"])
        #expect(records[2].at("nanoseconds", "end")?.uint == 7 && records[2]["credential"]?.string == "anthropic")
        #expect(try AuditLog(log.path).verify().findings == [])
        #expect(try AuditLog(log.path).verify().records == 3)
    }

    @Test("a log that is long is put aside, and what is kept is one chain")
    func rotation() throws {
        var rotation = LogRotation()
        rotation.bytes = 4096
        rotation.keep = 3
        let log = RequestLog(
            scratch.file("requests.jsonl"), bodies: scratch.file("bodies"), rotation: rotation)
        for number in 0..<100 { try log.append([entry(.request, "r-\(number)"), entry(.response, "r-\(number)")]) }
        let chain = AuditLog(log.path)
        #expect(try chain.archives().count == 3)
        for archive in try chain.archives() {
            #expect(try 4096..<6000 ~= Data(contentsOf: URL(fileURLWithPath: archive)).count)
        }
        let result = try chain.verify()
        #expect(result.findings == [] && result.archivedElsewhere > 0)
        #expect(Int64(result.records) + result.archivedElsewhere == result.head.sequence)
        #expect(try records().last?["id"]?.string == "r-99")
    }

    @Test("bodies are kept without credentials, and the chain names them by digest")
    func bodies() throws {
        var over = entry(.response, "r-1")
        over.requestBody = Array(#"{"key":"sk-ant-api03-abcdefghijklmnop","own":"hunter2-of-the-operator"}"#.utf8)
        try log.keepBodies(of: &over, secrets: [Array("hunter2-of-the-operator".utf8)])
        #expect(!over.hasBodies)
        try log.append([over])
        let digest = try #require(try records()[0].at("requestBody", "sha256")?.string)
        let kept = try String(contentsOfFile: scratch.file("bodies/" + digest), encoding: .utf8)
        #expect(kept == #"{"key":"[redacted]","own":"[redacted]"}"#)
        #expect(sha256(Array(kept.utf8)) == digest)
        #expect(try records()[0].at("requestBody", "redactions")?.int == 2)
    }

    @Test("credentials are known by their forms, and text is left alone")
    func redaction() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
        for (text, expected) in [
            ("ghp_" + String(repeating: "a", count: 36), "[redacted]"),
            ("token=github_pat_" + String(repeating: "B", count: 40) + ".", "token=[redacted]."),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted]"), ("a \(key) b", "a [redacted] b"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "[redacted]"),
            ("sk-ant-short", "sk-ant-short"),
            ("task-antique-abcdefghijklmnopqrstu", "task-antique-abcdefghijklmnopqrstu"),
            ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
            ("-----BEGIN PRIVATE KEY-----\nMII", "[redacted]"), ("", ""),
        ] { #expect(String(decoding: Redaction.redact(Array(text.utf8), []).0, as: UTF8.self) == expected) }
    }

    @Test("a log that cannot be written says so")
    func failure() throws {
        let broken = RequestLog(scratch.file("missing/requests.jsonl"), bodies: scratch.file("b"))
        #expect(throws: (any Error).self) { try broken.append([entry(.request, "r")]) }
    }
}
