import Documents
import Foundation
import Testing

@testable import Records
@testable import Syscalls

@Suite struct LedgerTests {
    let scratch = Scratch()
    var ledger: Ledger { Ledger(scratch.file("ledger.jsonl")) }

    @Test func keepsReportsInOrder() throws {
        #expect(try ledger.read() == [])
        for number in 1...50 { #expect(try ledger.append(sampleReport(session: "s-\(number)")) == 0) }
        #expect(try ledger.read() == (1...50).map { .report(sampleReport(session: "s-\($0)")) })
        var mode = stat()
        stat(ledger.path, &mode)
        #expect(mode.st_mode & 0o777 == 0o600)
    }

    @Test func aTornLineIsToldAndThenRemoved() async throws {
        let path = ledger.path
        try ledger.append(sampleReport(session: "one"))
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            writePartAndDie(String(sampleReport(session: "torn").node.json().prefix(700)), to: path)
        }
        #expect(try ledger.read() == [.report(sampleReport(session: "one")), .torn(line: 2, bytes: 700)])
        #expect(try ledger.append(sampleReport(session: "two")) == 700)
        #expect(try ledger.read() == [.report(sampleReport(session: "one")), .report(sampleReport(session: "two"))])
    }

    @Test func aTornLineLongerThanABlockIsRemoved() throws {
        try ledger.append(sampleReport(session: "one"))
        let whole = try Data(contentsOf: URL(fileURLWithPath: ledger.path))
        for size in [1, 4095, 4096, 4097, 100_000] {
            try (whole + Data(repeating: 0, count: size)).write(to: URL(fileURLWithPath: ledger.path))
            #expect(try ledger.read().last == .torn(line: 2, bytes: size))
            #expect(try ledger.append(sampleReport(session: "two")) == size)
            #expect(try ledger.read().count == 2)
        }
        try Data(repeating: 120, count: 9000).write(to: URL(fileURLWithPath: ledger.path))
        #expect(try ledger.append(sampleReport(session: "one")) == 9000)
        #expect(try Data(contentsOf: URL(fileURLWithPath: ledger.path)) == whole)
    }

    @Test func anUnreadableLineHidesNoOther() throws {
        try ledger.append(sampleReport(session: "one"))
        try write(try linesOf(ledger.path) + ["{\"schema\": 7}", "", "\u{0}\u{0}"], to: ledger.path)
        try ledger.append(sampleReport(session: "two"))
        let entries = try ledger.read()
        #expect(entries.count == 5)
        #expect(entries.first == .report(sampleReport(session: "one")))
        #expect(entries.last == .report(sampleReport(session: "two")))
        guard case .unreadable(let line, let problems) = entries[1] else {
            Issue.record("expected an unreadable line")
            return
        }
        #expect(line == 2 && problems.list.first?.mark?.line == 2)
        #expect(problems.description.contains("schema: expected a string, found a whole number"))
    }

    @Test func aFullFileIsLeftWithoutThePart() async throws {
        let path = ledger.path
        try ledger.append(sampleReport(session: "one"))
        let before = try Data(contentsOf: URL(fileURLWithPath: path))
        await #expect(processExitsWith: .success) { [path = path as String] in
            limitFileSize(4000)
            let ledger = Ledger(path)
            var written = 1
            while (try? ledger.append(sampleReport(session: "s"))) != nil { written += 1 }
            let error = #expect(throws: SystemError.self) { try ledger.append(sampleReport(session: "s")) }
            #expect(error?.errno == .fileTooLarge)
            let (entries, lines) = (try ledger.read(), try linesOf(path))
            #expect(entries.count == written && lines.count == written)
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)).starts(with: before))
        #expect(try ledger.append(sampleReport(session: "two")) == 0)
    }

    @Test func refusesWhatIsNoFile() throws {
        let fifo = scratch.file("fifo")
        mkfifo(fifo, 0o600)
        #expect(throws: SystemError.self) { try Ledger(fifo).append(sampleReport()) }
        symlink(scratch.file("elsewhere"), scratch.file("link"))
        #expect(throws: SystemError.self) { try Ledger(scratch.file("link")).append(sampleReport()) }
        #expect(!FileManager.default.fileExists(atPath: scratch.file("elsewhere")))
        #expect(throws: SystemError.self) { try Ledger(scratch.path).append(sampleReport()) }
        #expect(throws: SystemError.self) { try Ledger(scratch.file("no/ledger")).append(sampleReport()) }
    }

    @Test func readersDoNotHoldUpWriters() throws {
        for number in 1...3 { try ledger.append(sampleReport(session: "s-\(number)")) }
        var seen = 0
        try ledger.forEach { _ in
            seen += 1
            // Would wait for ever if the reader kept its lock.
            _ = try? ledger.append(sampleReport(session: "later"))
        }
        #expect(seen == 3)
        #expect(try ledger.read().count == 6)
    }

    @Test func concurrentWritersLoseNothing() async throws {
        let path = ledger.path
        await withTaskGroup(of: Void.self) { group in
            for writer in 1...4 {
                group.addTask {
                    await #expect(processExitsWith: .success) { [path = path as String, writer = writer as Int] in
                        for number in 1...200 {
                            try Ledger(path).append(sampleReport(session: "s-\(writer)-\(number)"))
                        }
                    }
                }
            }
        }
        var last: [String: Int] = [:]
        for entry in try ledger.read() {
            guard case .report(let report) = entry else {
                Issue.record("\(entry)")
                continue
            }
            let parts = report.session.split(separator: "-").map(String.init)
            #expect(Int(parts[2]) == last[parts[1], default: 0] + 1)
            last[parts[1]] = Int(parts[2])
        }
        #expect(last == ["1": 200, "2": 200, "3": 200, "4": 200])
    }
}
