import Documents
import Foundation
import Testing

@testable import Records

@Suite struct AuditTamperTests {
    let scratch = Scratch()
    let log: AuditLog
    let lines: [String]

    init() throws {
        log = AuditLog(scratch.file("audit.jsonl"))
        for number in 1...10 {
            try log.append(.start, ["session": Node(.string("s-\(number)"))], at: Timestamp(seconds: Int64(number)))
        }
        lines = try linesOf(log.path)
        #expect(try log.verify().findings == [])
    }

    private func findings(after change: (inout [String]) -> Void) throws -> [String] {
        var changed = lines
        change(&changed)
        try write(changed, to: log.path)
        return try log.verify().findings.map(\.description)
    }

    /// Writes the records anew from line `index` on, properly chained, as someone would who knows how.
    private static func rechain(_ lines: inout [String], from index: Int, _ change: (String) -> String) {
        lines[index] = change(lines[index])
        for line in index..<lines.count {
            let previous = line == 0 ? AuditHead.start.hash : String(lines[line - 1].dropLast(2).suffix(64))
            let body = lines[line].components(separatedBy: ",\"prev\":")[0] + ",\"prev\":\"\(previous)\""
            lines[line] = body + ",\"hash\":\"\(sha256(Array(body.utf8)))\"}"
        }
    }

    @Test func changed() throws {
        #expect(
            try findings { $0[4] = $0[4].replacingOccurrences(of: "s-5", with: "s-6") }
                == ["line 5: changed: record 5 is not what was written"])
        #expect(
            try findings { $0[9] = $0[9].replacingOccurrences(of: "start", with: "exit") }
                == ["line 10: changed: record 10 is not what was written"])
        #expect(
            try findings { $0[0] = $0[0].replacingOccurrences(of: "\"seq\":1", with: "\"seq\":8") }
                == ["line 1: changed: record 1 is not what was written"])
        #expect(try findings { $0[4] = $0[4].replacingOccurrences(of: ",\"prev\"", with: " ,\"prev\"") }.count == 1)
        #expect(
            try findings { $0[4] = "" } == [
                "line 5: changed: this is not a record", "line 6: dropped: record 5 is missing before this line",
            ])
        #expect(try findings { $0[4] = String($0[4].dropLast()) }.first == "line 5: changed: this is not a record")
    }

    @Test func changedAndHashedAnew() throws {
        #expect(
            try findings {
                var one = [$0[4]]
                let body = one[0].dropLast(75).replacingOccurrences(of: "s-5", with: "s-6")
                one[0] = body + ",\"hash\":\"\(sha256(Array(body.utf8)))\"}"
                $0[4] = one[0]
            } == ["line 6: replaced: record 6 was not written after the record before it"])
    }

    @Test func everythingWrittenAnewIsFoundByTheHead() throws {
        #expect(
            try findings { Self.rechain(&$0, from: 4) { $0.replacingOccurrences(of: "s-5", with: "s-6") } }
                == ["line 10: replaced: record 10 is not the one that was noted"])
    }

    @Test func everythingWrittenAnewWithItsHeadIsFoundByANotedHead() throws {
        let noted = try #require(AuditHead(try log.verify().head.description))
        var forged = lines
        Self.rechain(&forged, from: 4) { $0.replacingOccurrences(of: "s-5", with: "s-6") }
        try write(forged, to: log.path)
        let hash = forged[9].dropLast(2).suffix(64)
        try "10:\(hash)\n".write(toFile: log.path + ".head", atomically: false, encoding: .utf8)
        #expect(try log.verify().findings == [])
        #expect(try log.verify(noted: noted).findings.map(\.kind) == [.replaced])
        try write(lines, to: log.path)
        try log.append(.exit)
        #expect(try log.verify(noted: noted).findings.map(\.kind).contains(.truncated) == false)
    }

    @Test func dropped() throws {
        #expect(
            try findings { $0.removeSubrange(3...5) }
                == ["line 4: dropped: records 4 to 6 are missing before this line"])
        #expect(try findings { $0.remove(at: 0) } == ["line 1: dropped: record 1 is missing before this line"])
    }

    @Test func reordered() throws {
        #expect(try findings { $0.swapAt(4, 5) } == ["line 6: reordered: record 5 stands after record 6"])
        #expect(try findings { $0.append($0.remove(at: 0)) } == ["line 10: reordered: record 1 stands after record 10"])
        #expect(try findings { $0.reverse() }.count == 9)
    }

    @Test func repeated() throws {
        #expect(try findings { $0.insert($0[4], at: 5) } == ["line 6: repeated: record 5 was there before"])
        #expect(try findings { $0.insert($0[2], at: 8) } == ["line 9: repeated: record 3 was there before"])
    }

    @Test func slippedIn() throws {
        #expect(
            try findings {
                var body = $0[4].components(separatedBy: ",\"prev\":")[0]
                body += ",\"prev\":\"\($0[4].dropLast(2).suffix(64))\""
                $0.insert(body + ",\"hash\":\"\(sha256(Array(body.utf8)))\"}", at: 5)
            } == ["line 6: repeated: record 5 was there before"])
    }

    @Test func cutAtTheEnd() throws {
        #expect(
            try findings { $0.removeLast(3) } == ["line 8: truncated: records 8 to 10 are missing at the end"])
        #expect(try findings { $0.removeAll() } == ["line 1: truncated: records 1 to 10 are missing at the end"])
    }

    @Test func cutWithinARecord() throws {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: log.path))
        try bytes.dropLast(20).write(to: URL(fileURLWithPath: log.path))
        #expect(try log.verify().findings.map(\.kind).sorted { $0.rawValue < $1.rawValue } == [.torn, .truncated])
    }

    @Test func aCutIsStillSeenAfterTheNextAppends() throws {
        _ = try findings { $0.removeLast(3) }
        try log.append(.start)
        try log.append(.exit)
        #expect(
            try log.verify().findings.map(\.description)
                == ["line 8: dropped: records 8 to 10 are missing before this line"])
        #expect(try linesOf(log.path)[7].contains("\"event\":\"repair\",\"found\":[\"records 8 to 10 missing\"]"))
    }

    @Test func aRemovedLogIsStillSeenAfterTheNextAppend() throws {
        try FileManager.default.removeItem(atPath: log.path)
        #expect(throws: (any Error).self) { try log.verify() }
        try log.append(.start)
        #expect(
            try log.verify().findings.map(\.description)
                == ["line 1: dropped: records 1 to 10 are missing before this line"])
    }

    @Test func aReplacedLastRecordIsStillSeenAfterTheNextAppend() throws {
        _ = try findings { Self.rechain(&$0, from: 9) { $0.replacingOccurrences(of: "s-10", with: "s-9") } }
        try log.append(.exit)
        #expect(try log.verify().findings.map(\.kind) == [.replaced])
        #expect(try linesOf(log.path)[10].contains("another record 10 than the head tells of"))
    }

    @Test func aChangedLastRecordIsToldOfByTheNextAppend() throws {
        _ = try findings { $0[9] = $0[9].replacingOccurrences(of: "s-10", with: "s-99") }
        try log.append(.exit)
        #expect(try log.verify().findings.map(\.kind) == [.changed])
        #expect(try linesOf(log.path)[10].contains("a last record that is not what was written"))
    }

    @Test func aMissingHeadIsAFinding() throws {
        for head in [nil, "", "garbage", "-1:0\n", "10:\n", "10:\(String(repeating: "0", count: 63))\n"] {
            try? FileManager.default.removeItem(atPath: log.path + ".head")
            if let head { try head.write(toFile: log.path + ".head", atomically: false, encoding: .utf8) }
            #expect(try log.verify().findings.map(\.kind) == [.headless])
        }
        try log.append(.start)
        #expect(try log.verify().findings == [])
        #expect(try linesOf(log.path)[10].contains("\"event\":\"repair\",\"found\":[\"no head file\"]"))
    }

    @Test func garbageAtTheEndDoesNotStopTheLog() throws {
        _ = try findings { $0.append("\u{0}\u{0}\u{0}garbage") }
        try log.append(.start)
        try log.append(.exit)
        #expect(try log.verify().findings.map(\.description) == ["line 11: changed: this is not a record"])
        #expect(try log.verify().records == 13)
        #expect(try linesOf(log.path)[11].contains(#""found":["a last record that is not what was written"],"#))
    }

    @Test(arguments: [
        "", "1", "1:", "x:0", "-1:" + String(repeating: "0", count: 64), "1:" + String(repeating: "G", count: 64),
    ])
    func headsAreReadStrictly(_ text: String) { #expect(AuditHead(text) == nil) }
}
