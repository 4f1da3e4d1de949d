import Documents
import Foundation
import Testing

@testable import Records
@testable import Syscalls

@Suite struct AuditLogTests {
    let scratch = Scratch()
    var log: AuditLog { AuditLog(scratch.file("audit.jsonl")) }

    private func events() throws -> [String] {
        var events: [String] = []
        try log.forEach { _, record in events.append((try? record.get())?["event"]?.string ?? "unreadable") }
        return events
    }

    @Test func chainsEveryEvent() throws {
        var last: AuditHead?
        for event in AuditLog.Event.allCases { last = try log.append(event, ["session": "s-1"]) }
        let verification = try log.verify()
        #expect(verification.findings == [])
        #expect(verification.records == AuditLog.Event.allCases.count)
        #expect(verification.head == last)
        #expect(try events() == AuditLog.Event.allCases.map(\.rawValue))
    }

    @Test func recordsAreReadable() throws {
        let actor = Report.Actor(uid: 0, pid: 42, comm: "carrel")
        try log.append(.kill, ["session": "s-1", "by": actor.node], at: Timestamp(seconds: 0))
        let line = try #require(try linesOf(log.path).first)
        #expect(
            line.hasPrefix(
                #"{"seq":1,"time":"1970-01-01T00:00:00.000000000Z","event":"kill","session":"s-1","#
                    + #""by":{"uid":0,"pid":42,"comm":"carrel"},"prev":"\#(String(repeating: "0", count: 64))","hash":""#
            ))
        let body = Array(line.utf8.dropLast(75))
        #expect(line.hasSuffix(#","hash":"\#(sha256(body))"}"#))
    }

    @Test func theHashIsThatOfOtherTools() throws {
        try log.append(.start, ["command": "a \"b\" \u{1F600}\n"])
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = [
            "-c",
            #"read -r line < "$1"; printf %s "${line%,\"hash\":*}" | sha256sum | cut -c-64 | tr -d '\n'"#, "sh",
            log.path,
        ]
        let output = Pipe()
        shell.standardOutput = output
        try shell.run()
        let found = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        shell.waitUntilExit()
        #expect(found == (try log.verify().head.hash))
    }

    @Test func nothingASessionChoosesBreaksTheChain() throws {
        let forged = "\"}\n{\"seq\":1,\"prev\":\"\(String(repeating: "0", count: 64))\",\"hash\":\"x\"}"
        try log.append(.start, ["command": Node(.string(forged)), forged: "x"])
        try log.append(.start, ["seq": 9, "hash": "h", "prev": "p", "hash_": "q", "time": "t", "event": "e"])
        try log.append(.start, ["command": Node(.string(String(repeating: "x", count: 5_000_000)))])
        try log.append(.start, ["a": "\u{0}\r\n\u{2028}\u{1B}"])
        try log.append(.start, Node(.string("no mapping")))
        #expect(try log.verify().findings == [])
        #expect(try log.verify().records == 5)
        #expect(try events() == Array(repeating: "start", count: 5))
        let all = try linesOf(log.path)
        #expect(all.allSatisfy { $0.utf8.count < 20_000 })
        let record = try Node.parse(Array(all[1].utf8), file: "t")
        #expect(record["hash_"] == "h" && record["hash__"] == "q" && record["seq_"] == 9 && record["seq"] == 2)
    }

    @Test func concurrentWritersKeepOneChain() async throws {
        let path = log.path
        await withTaskGroup(of: Void.self) { group in
            for writer in 1...8 {
                group.addTask {
                    await #expect(processExitsWith: .success) { [path = path as String, writer = writer as Int] in
                        for number in 1...500 {
                            try AuditLog(path).append(.start, ["session": Node(.string("s-\(writer)-\(number)"))])
                        }
                    }
                }
            }
        }
        let verification = try log.verify()
        #expect(verification.findings == [])
        #expect(verification.records == 4000 && verification.head.sequence == 4000)
        let sessions = Set(try linesOf(path).map { $0.split(separator: "\"session\":\"")[1].prefix { $0 != "\"" } })
        #expect(sessions.count == 4000)
    }

    @Test func writersKilledAnywhereLeaveAChain() async throws {
        let path = log.path
        try log.append(.start)
        for round in 0..<4 {
            await withTaskGroup(of: Void.self) { group in
                for writer in 1...4 {
                    group.addTask {
                        let life = UInt32(5000 + 7137 * round + 1711 * writer)
                        await #expect(processExitsWith: .signal(SIGKILL)) {
                            [path = path as String, life = life as UInt32] in
                            dieAfter(microseconds: life)
                            let text = Node(.string(String(repeating: "x", count: 12_000)))
                            while true { try AuditLog(path).append(.start, ["text": text]) }
                        }
                    }
                }
            }
            // Until the next append the head may be one append behind, and the end torn: neither is tampering.
            #expect(try log.verify().findings.allSatisfy { $0.kind == .torn })
            try log.append(.sweep)
            #expect(try log.verify().findings == [])
        }
        #expect(try log.verify().records > 5)
    }

    @Test func aTornRecordIsRemovedAndToldOf() async throws {
        let path = log.path
        let noted = try log.append(.start)
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            writePartAndDie(#"{"seq":2,"time":"2026-11-21T20:19:03.00"#, to: path)
        }
        #expect(try log.verify().findings.map(\.kind) == [.torn])
        #expect(try log.verify().records == 1)
        try log.append(.exit)
        #expect(try log.verify(noted: noted).findings == [])
        #expect(try events() == ["start", "repair", "exit"])
        #expect(try linesOf(path)[1].contains(#""found":["an unfinished record of 39 bytes, removed"]"#))
    }

    @Test func aHeadOneRecordBehindIsNoFinding() throws {
        try log.append(.start)
        let head = try Data(contentsOf: URL(fileURLWithPath: log.path + ".head"))
        try log.append(.exit)
        try head.write(to: URL(fileURLWithPath: log.path + ".head"))  // as after a kill between the two writes
        #expect(try log.verify().findings == [])
        try log.append(.start)
        #expect(try log.verify().findings == [])
        #expect(try events() == ["start", "exit", "start"])
    }

    @Test func aFullFileIsLeftWithoutThePart() async throws {
        let path = log.path
        try log.append(.start)
        await #expect(processExitsWith: .success) { [path = path as String] in
            limitFileSize(3000)
            let log = AuditLog(path)
            var written = 1
            while (try? log.append(.start)) != nil { written += 1 }
            let error = #expect(throws: SystemError.self) { try log.append(.start) }
            #expect(error?.errno == .fileTooLarge)
            let verification = try log.verify()
            #expect(verification.records == written && verification.findings == [])
        }
        try log.append(.exit)
        #expect(try log.verify().findings == [])
        #expect(try !events().contains("repair"))
    }

    @Test(.enabled(if: geteuid() == 0, "mounting a tmpfs needs root"))
    func aFullDiskIsLeftWithoutThePart() async throws {
        let path = scratch.path
        await #expect(processExitsWith: .success) { [path = path as String] in
            try mountPrivately("tmpfs", at: path, "size=64k", 0)
            let (log, ledger) = (AuditLog(path + "/audit"), Ledger(path + "/ledger"))
            try log.append(.start)
            try ledger.append(sampleReport())
            let filler = path + "/filler"
            try Data(repeating: 1, count: 20_000).write(to: URL(fileURLWithPath: filler))
            let text = Node(.string(String(repeating: "x", count: 3000)))
            var (records, reports) = (1, 1)
            while (try? log.append(.start, ["text": text])) != nil { records += 1 }
            while (try? ledger.append(sampleReport())) != nil { reports += 1 }
            let error = #expect(throws: SystemError.self) { try log.append(.start, ["text": text]) }
            #expect(error?.errno == .noSpace)
            #expect(throws: SystemError.self) { try ledger.append(sampleReport()) }
            #expect(try log.verify().records == records)
            #expect(try log.verify().findings == [])
            #expect(try ledger.read().count == reports)
            // A first append to new files on a full disk leaves nothing half made.
            let rest = try open(filler, O_WRONLY | O_APPEND)
            while (try? writeAll([1], to: rest)) != nil {}
            close(rest)
            #expect(throws: SystemError.self) { try AuditLog(path + "/new").append(.start) }
            try remove(filler)
            try log.append(.exit)
            try ledger.append(sampleReport())
            try AuditLog(path + "/new").append(.start)
            #expect(try log.verify().records == records + 1)
            #expect(try log.verify().findings == [])
            #expect(try ledger.read().count == reports + 1)
            #expect(try AuditLog(path + "/new").verify().findings == [])
        }
    }

    @Test func aLogHasAHeadBeforeItsFirstRecord() async throws {
        let path = log.path
        await #expect(processExitsWith: .success) { [path = path as String] in
            limitFileSize(150)  // enough for a head, not for a record
            #expect(throws: SystemError.self) { try AuditLog(path).append(.start) }
        }
        #expect(try log.verify() == AuditVerification(records: 0, head: .start, findings: []))
    }

    @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
    func aRecordThatTheHeadCannotTellOfIsTakenBack() async throws {
        let path = log.path
        try log.append(.start)
        let before = try linesOf(path)
        await #expect(processExitsWith: .success) { [path = path as String] in
            try mountPrivately("/dev/full", at: path + ".head", nil, MS_BIND)
            let error = #expect(throws: SystemError.self) { try AuditLog(path).append(.exit) }
            #expect(error?.errno == .noSpace)
        }
        #expect(try linesOf(path) == before)
        #expect(try log.verify().findings == [])
    }

    @Test func readersDoNotHoldUpWriters() throws {
        for _ in 1...3 { try log.append(.start) }
        var seen = 0
        try log.forEach { _, _ in
            seen += 1
            // Would wait for ever if the reader kept its lock.
            _ = try? log.append(.exit)
        }
        #expect(seen == 3)
        #expect(try log.verify().records == 6)
    }

    @Test func anAppendToALongLogIsAsCheapAsToAShortOne() throws {
        let log = log
        try log.append(.start)
        func cost() throws -> UInt64 {
            var times: [UInt64] = []
            for _ in 0..<200 {
                let start = monotonicNanoseconds()
                try log.append(.start, ["session": "s-1", "tenant": "acme"])
                times.append(monotonicNanoseconds() - start)
            }
            return times.sorted()[100]
        }
        let short = try cost()
        // A million records' worth of bytes before the last whole lines, none of which an append may look at.
        let end = try Data(contentsOf: URL(fileURLWithPath: log.path)).suffix(20_000).drop { $0 != 10 }
        let file = try open(log.path, O_WRONLY | O_TRUNC)
        try truncate(file, to: 400_000_000)
        try writeAt(file, offset: 400_000_000, Array(end))
        close(file)
        let long = try cost()
        #expect(long < 3 * short + 20_000, "\(short) ns short, \(long) ns long")
        #expect(long < 1_000_000, "\(long) ns in an unoptimised build")
    }
}
