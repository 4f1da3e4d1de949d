import Documents
import Foundation
import Testing

@testable import Records
@testable import Syscalls

/// A log that is put aside stays one chain with the log that goes on.
@Suite struct AuditRotationTests {
    let scratch = Scratch()
    var log: AuditLog { AuditLog(scratch.file("audit.jsonl")) }

    private func append(_ count: Int) throws {
        for number in 0..<count { try log.append(.start, ["session": Node(.string("s-\(number)"))]) }
    }

    private func events() throws -> [String] {
        var events: [String] = []
        try log.forEach { _, record in events.append((try? record.get())?["event"]?.string ?? "unreadable") }
        return events
    }

    @Test func archivesAndLogAreOneChain() throws {
        try append(3)
        #expect(try log.rotate() == scratch.file("audit.jsonl.3"))
        #expect(try log.verify().findings == [] && log.verify().records == 3, "before anyone goes on")
        try append(2)
        #expect(try log.rotate() == scratch.file("audit.jsonl.6"))
        try append(1)
        let result = try log.verify()
        #expect(result.findings == [] && result.records == 8 && result.archivedElsewhere == 0)
        #expect(try events() == ["start", "start", "start", "rotate", "start", "start", "rotate", "start"])
        let first = try #require(try linesOf(log.path).first)
        #expect(first.contains(#""seq":7,"#) && first.contains(#""archive":"audit.jsonl.6""#))
        #expect(try log.archives() == [scratch.file("audit.jsonl.3"), scratch.file("audit.jsonl.6")])
    }

    @Test func oldArchivesMayBeTakenAwayAndThatIsTold() throws {
        try append(3)
        let noted = try log.verify().head
        try log.rotate()
        try append(2)
        try log.rotate(keeping: 1)
        try append(1)
        #expect(try log.archives() == [scratch.file("audit.jsonl.6")])
        let result = try log.verify()
        #expect(result.findings == [] && result.records == 5 && result.archivedElsewhere == 3)
        // The last record of what is gone is known by the one after it.
        #expect(try log.verify(noted: noted).findings == [])
        let other = AuditHead(sequence: 3, hash: String(repeating: "a", count: 64))
        #expect(try log.verify(noted: other).findings.map(\.kind) == [.replaced])
        let earlier = AuditHead(sequence: 2, hash: String(repeating: "a", count: 64))
        #expect(try log.verify(noted: earlier).findings.map(\.kind) == [.dropped])
    }

    @Test func anArchiveFromTheMiddleIsMissed() throws {
        for _ in 0..<3 {
            try append(2)
            try log.rotate()
        }
        try append(1)
        try FileManager.default.removeItem(atPath: log.archives()[1])
        #expect(try log.verify().findings.map(\.kind) == [.dropped])
    }

    @Test func aRecordChangedInAnArchiveIsFound() throws {
        try append(3)
        let archive = try #require(try log.rotate())
        try append(1)
        var lines = try linesOf(archive)
        lines[1] = lines[1].replacing("s-1", with: "s-9")
        try write(lines, to: archive)
        #expect(try log.verify().findings.contains { $0.kind == .changed && $0.line == 2 })
        // Its end cut off: the next file knows what it was.
        try write(Array(lines[..<2]), to: archive)
        #expect(try log.verify().findings.contains { $0.kind == .dropped })
    }

    /// Only a record that says so may be the first of a chain that does not begin at 1.
    @Test func aLogWithoutItsBeginningIsNoArchive() throws {
        try append(4)
        try write(Array(try linesOf(log.path)[2...]), to: log.path)
        #expect(try log.verify().findings.contains { $0.kind == .dropped })
    }

    @Test func aLogThatWasEmptiedIsNotTakenForOneThatWasPutAside() throws {
        try append(3)
        try write([], to: log.path)
        try append(1)
        #expect(try events() == ["repair", "start"])
        #expect(try log.verify().findings.contains { $0.kind == .dropped })
    }

    @Test func whatIsNotSoundIsNotPutAside() throws {
        #expect(try log.rotate() == nil, "there is nothing")
        try append(2)
        try (try String(contentsOfFile: log.path, encoding: .utf8) + "{\"seq\":3").write(
            toFile: log.path, atomically: false, encoding: .utf8)
        #expect(try log.rotate() == nil, "its end is torn")
        try append(1)
        #expect(try log.rotate() != nil)
        #expect(try log.rotate() == nil, "it is empty")
    }

    @Test func writersGoOnWhileItIsPutAside() throws {
        let log = log
        DispatchQueue.concurrentPerform(iterations: 4) { writer in
            for number in 0..<100 {
                _ = try? log.append(.start, ["session": Node(.string("\(writer)-\(number)"))])
                if writer == 0, number % 10 == 9 { _ = try? log.rotate() }
            }
        }
        let result = try log.verify()
        #expect(result.findings == [])
        let archives = try log.archives().count
        #expect(archives >= 5)
        #expect(try events().count { $0 == "start" } == 400)
    }
}
