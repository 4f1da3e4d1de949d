import Documents
import Foundation
import Glibc
import Syscalls
import Testing

@testable import Session

@Suite struct BoundsTests {
    /// A directory of its own with one tenant's file, removed afterwards.
    private func withFile(_ text: String, mode: mode_t = 0o644, _ body: (String) throws -> Void) throws {
        let directory = "/tmp/carrel-bounds-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try makeDirectory(directory)
        defer { try? removeTree(directory) }
        try replaceFile("\(directory)/acme.yaml", with: text.utf8, mode: mode)
        chmod("\(directory)/acme.yaml", mode)
        try body(directory)
    }

    private func problems(_ text: String) throws -> [String] {
        var found: [String] = []
        try withFile(text) { directory in
            do throws(Problems) {
                _ = try TenantBounds.load("acme", places: [directory])
            } catch {
                found = error.list.map { String($0.description.dropFirst(directory.utf8.count + 1)) }
            }
        }
        return found
    }

    @Test func everyFieldIsRead() throws {
        let text = "version: 1\nmemory: 8GiB\nmemoryHigh: 7GiB\npids: 4096\ncpus: 1.5\nsessions: 20\n"
        try withFile(text) { directory in
            let bounds = try TenantBounds.load("acme", places: ["/nonexistent", directory])
            #expect(bounds.memory == 8 << 30 && bounds.memoryHigh == 7 << 30)
            #expect(bounds.pids == 4096 && bounds.cpus == 1500 && bounds.sessions == 20)
            #expect(bounds.file == "\(directory)/acme.yaml")
            let limits = bounds.limits
            #expect(limits.memoryMax == 8 << 30 && limits.memoryHigh == 7 << 30 && limits.pidsMax == 4096)
            #expect(limits.cpuMax == 1.5 && limits.swapMax == nil && !limits.oomGroup)
        }
    }

    @Test func aTenantWithoutAFileHasNoBounds() throws {
        try withFile("version: 1") { directory in
            let none = try TenantBounds.load("other", places: [directory])
            let empty = try TenantBounds.load("acme", places: [directory])
            #expect(none == TenantBounds())
            #expect(empty.memory == nil && empty.file != nil)
        }
        try withFile("version: 1\nmemory: none\ncpus: none\nsessions: 0") { directory in
            let bounds = try TenantBounds.load("acme", places: [directory])
            #expect(bounds.memory == nil && bounds.cpus == nil && bounds.sessions == 0)
        }
    }

    @Test func everyErrorIsToldWithItsLine() throws {
        #expect(
            try problems("version: 1\nmemory: 2GB\npids: 00\nmemory: 1GiB\nsessions: .nan") == [
                "acme.yaml:2:9: memory: expected a size such as 2GiB, or none, found \"2GB\"; did you mean 2GiB?",
                "acme.yaml:3:7: pids: expected no leading zero, found 00; octal is written 0o755",
                "acme.yaml:4:1: memory: expected each name once; it stands in line 2 already",
                "acme.yaml:5:11: sessions: expected a finite number, found .nan",
            ])
        #expect(
            try problems("version: 1\nmemory: 2GB\npids: 0\ncpus: lots\nsession: 4") == [
                "acme.yaml:2:9: memory: expected a size such as 2GiB, or none, found \"2GB\"; did you mean 2GiB?",
                "acme.yaml:3:7: pids: expected a whole number from 1 to 4194304, or none, found 0",
                "acme.yaml:4:7: cpus: expected a number of processors from 0.01 to 4096, or none, found \"lots\"",
                "acme.yaml:5:1: session: unknown; the fields here are version, memory, memoryHigh, pids, cpus, sessions; "
                    + "did you mean sessions?",
            ])
        #expect(try problems("memory: 1GiB") == ["acme.yaml:1:1: version: expected 1, found nothing"])
        #expect(
            try problems("version: 1\nmemory: 1GiB\nmemoryHigh: 2GiB") == [
                "acme.yaml:3:13: memoryHigh: expected at most memory, which is 1GiB"
            ])
        #expect(try problems("[]") == ["acme.yaml:1:1: expected a map, found a list"])
    }

    @Test func aFileThatOthersCanWriteDoesNotCount() throws {
        try withFile("version: 1", mode: 0o666) { directory in
            #expect { try TenantBounds.load("acme", places: [directory]) } throws: { "\($0)".contains("chmod go-w") }
        }
    }

    @Test func theHostsReserveLeavesTheRestToSessions() throws {
        try withFile("version: 1\nreserve: 64MiB\npids: 9000\n") { directory in
            let bounds = try #require(try HostBounds.read(file: "\(directory)/acme.yaml"))
            #expect(bounds.limits.memoryMax == UInt64(hostMemory() - 64 << 20))
            #expect(bounds.limits.pidsMax == 9000 && bounds.limits.cpuMax == nil)
        }
        try withFile("version: 1\nreserve: 900TiB\n") { directory in
            #expect { try HostBounds.read(file: "\(directory)/acme.yaml") } throws: {
                "\($0)".contains(":2:10: reserve: expected less than the host's memory")
            }
        }
        // Nothing would be left for sessions, and each would be told that the host is full.
        for reserve in ["1GiB", "1025MiB"] {
            try withFile("version: 1\nmemory: 1GiB\nreserve: \(reserve)\n") { directory in
                #expect { try HostBounds.read(file: "\(directory)/acme.yaml") } throws: {
                    "\($0)".contains(":3:10: reserve: expected less than memory, which is 1GiB")
                }
            }
        }
    }

    /// Docs/Cgroups.md has each field of both files once, with what the reader itself says that it accepts.
    @Test(arguments: ["host.yaml", "tenants/NAME.yaml"]) func theTableOfFieldsIsInStep(kind: String) throws {
        let isHost = kind == "host.yaml"
        let documents = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Docs")
        let text = try String(contentsOf: documents.appending(path: "Cgroups.md"), encoding: .utf8)
        let parts = text.components(separatedBy: "| `\(kind)` | value | without it | |\n|---|---|---|---|\n")
        try #require(parts.count == 2)
        let rows = parts[1].split(separator: "\n", omittingEmptySubsequences: false)
            .prefix { $0.hasPrefix("|") }
            .map { $0.split(separator: "|").map { String($0).trimmingCharacters(in: .whitespaces) } }
        #expect(rows.map(\.first) == (isHost ? HostBounds.fields : TenantBounds.fields).map { "`\($0)`" })
        for row in rows {
            try #require(row.count == 4, "\(row)")
            let field = row[0].trimmingCharacters(in: CharacterSet(charactersIn: "`"))
            // No field accepts a list, so that each says what it expects.
            let text = field == "version" ? "version: [[]]" : "version: 1\n\(field): [[]]"
            try withFile(text) { directory in
                let file = "\(directory)/acme.yaml"
                var told: [String] = []
                do throws(Problems) {
                    if isHost { _ = try HostBounds.read(file: file) } else { _ = try TenantBounds.read(file: file) }
                } catch { told = error.list.map(\.message) }
                #expect(told == ["expected \(row[1]), found a list"], "\(field)")
            }
        }
        let written = Dictionary(uniqueKeysWithValues: rows.map { ($0[0], $0[2]) })
        let bounds = HostBounds()
        #expect(
            !isHost || written["`admission`"] == "\(bounds.admits)" && written["`pressure`"] == "\(bounds.pressure)")
    }
}
