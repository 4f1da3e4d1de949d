import Documents
import Foundation
import Testing

@testable import Records

@Suite struct ReportTests {
    @Test func comesBackFromItsDocument() throws {
        let report = sampleReport()
        #expect(try Report(report.node, file: "r") == report)
        let text = Array(report.node.json(pretty: true).utf8)
        #expect(try Report(Node.parse(text, file: "r"), file: "r") == report)
    }

    @Test func comesBackWithNothingKnown() throws {
        var report = sampleReport()
        report.exit = .init(how: .lost, status: nil, why: "")
        report.limitsAsked = .init()
        report.usage = .init()
        report.pressure = nil
        report.launch = []
        #expect(try Report(report.node, file: "r") == report)
        #expect(report.node["pressure"]?.isNull == true && report.node["usage"]?["memoryPeakBytes"]?.isNull == true)
    }

    @Test func isReadableByOthers() throws {
        let data = Data(sampleReport().node.json().utf8)
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        #expect(object?["schema"] as? String == "carrel.report/1")
        #expect((object?["usage"] as? [String: Any])?["memoryPeakBytes"] as? Int == 123_456_789)
    }

    @Test func theDocumentedExampleIsComplete() throws {
        let docs = #filePath.components(separatedBy: "/Tests/")[0] + "/Docs/Reports.md"
        let text = try String(contentsOfFile: docs, encoding: .utf8)
        let example = text.components(separatedBy: "```json\n")[1].components(separatedBy: "```")[0]
        let node = try Node.parse(Array(example.utf8), file: docs)
        #expect(try Report(node, file: docs).node == node)
        for how in Report.Exit.How.allCases { #expect(text.contains("| `\(how.rawValue)` |")) }
        for event in AuditLog.Event.allCases { #expect(text.contains("`\(event.rawValue)`")) }
    }

    @Test func tellsAllThatIsWrong() throws {
        let text = sampleReport().node.json()
            .replacingOccurrences(of: "\"tenant\":\"acme\"", with: "\"tenant\":5")
            .replacingOccurrences(of: "\"how\":\"killed\"", with: "\"how\":\"eaten\"")
            .replacingOccurrences(of: "\"image\":\"host\",", with: "")
            .replacingOccurrences(of: "\"sizeBytes\":67108864", with: "\"sizeBytes\":\"64M\"")
            .replacingOccurrences(of: "\"memoryPeakBytes\":123456789", with: "\"memoryPeakBytes\":-1")
            .replacingOccurrences(of: "\"pidsPeak\":17", with: "\"pidsPeak\":1152921504606846977")
            .replacingOccurrences(of: "2026-11-21T", with: "21.11.2026T")
            .replacingOccurrences(of: "\"host\":{\"name\":\"vm\"", with: "\"host\":[],\"host_\":{\"name\":\"vm\"")
        let error = #expect(throws: Problems.self) {
            try Report(Node.parse(Array(text.utf8), file: "r"), file: "r")
        }
        let fields = Set((error?.list ?? []).map(\.field))
        #expect(
            fields == [
                "tenant", "exit.how", "image", "limits.asked.tmpfs[0].sizeBytes", "limits.inForce.tmpfs[0].sizeBytes",
                "started", "ended", "host", "usage.memoryPeakBytes", "usage.pidsPeak",
            ])
        #expect(error?.list.first { $0.field == "tenant" }?.description.contains("expected a string, found") == true)
    }

    /// A session's memory can shrink, but by no more than there is.
    @Test(arguments: [(-(1 << 60), true), (1 << 60, true), (.min, false), (.max, false)] as [(Int64, Bool)])
    func growthIsWhatMemoryCanDo(growth: Int64, isTaken: Bool) {
        var report = sampleReport()
        report.curve = Report.Curve(file: "curves/s.jsonl", intervalNanoseconds: 1_000_000_000)
        report.curve?.growthBytesPerHour = growth
        let text = report.node.json()
        let read = Result { try Report(Node.parse(Array(text.utf8), file: "r"), file: "r") }
        #expect(((try? read.get()) != nil) == isTaken, "\(read)")
    }

    @Test func refusesAnotherVersion() {
        let text = sampleReport().node.json().replacingOccurrences(of: "carrel.report/1", with: "carrel.report/2")
        let error = #expect(throws: Problems.self) {
            try Report(Node.parse(Array(text.utf8), file: "r"), file: "r")
        }
        #expect(error?.description == "r:1:11: schema: expected carrel.report/1, found carrel.report/2")
    }

    @Test func readsMembersOfLaterVersionsPast() throws {
        let text = sampleReport().node.json().replacingOccurrences(of: "{\"schema\"", with: "{\"later\":[1],\"schema\"")
        #expect(try Report(Node.parse(Array(text.utf8), file: "r"), file: "r") == sampleReport())
    }

    @Test func aHugeCommandIsCutWithAMark() throws {
        var report = sampleReport()
        report.command = ["claude", String(repeating: "é", count: 1_000_000), "-x"] + Array(repeating: "y", count: 9)
        let back = try Report(report.node, file: "r")
        #expect(back.command.count == 3)
        #expect(back.command[1].utf8.count < 17 << 10)
        #expect(back.command[1].hasSuffix(" bytes more]"))
        #expect(back.command[1].hasPrefix("éé") && !back.command[1].contains("\u{FFFD}"))
        #expect(back.command[2] == "… [10 more]")
        report.command = Array(repeating: "", count: 2_000_000)
        #expect(report.node.json().utf8.count < 64 << 10)
    }

    @Test func noTextBreaksTheLine() throws {
        var report = sampleReport()
        let nasty = String(decoding: [0x0A, 0x0D, 0xFF, 0xC3, 0x00, 0x1B, 0x22, 0x5C, 0xE2, 0x80, 0xA8], as: UTF8.self)
        report.command = [nasty, "\n{\"schema\":1}\n"]
        report.notes = [nasty]
        report.session = nasty
        let text = report.node.json()
        #expect(!text.utf8.contains { $0 < 0x20 })
        let back = try Report(Node.parse(Array(text.utf8), file: "r"), file: "r")
        #expect(back.command[0] == nasty.replacingOccurrences(of: "\0", with: "\u{FFFD}"))
        #expect(back.command[1] == report.command[1])
    }

    @Test func digestsAreThoseOfTheStandard() {
        #expect(sha256([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(sha256(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }
}
