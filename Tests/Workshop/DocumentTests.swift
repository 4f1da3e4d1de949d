import Foundation
import Testing

@testable import Workshop

@Suite("Docs/Seccomp.md") struct DocumentTests {
    static let document = repository.appendingPathComponent("Docs/Seccomp.md")

    @Test("shows the families as they are; CARREL_WRITE_DOCS=1 writes them anew")
    func siblings() throws {
        let rows = SiblingCalls.families.map { family in
            "| \(family.names.map { "`\($0)`" }.joined(separator: " ")) | \(family.reason) |\n"
        }
        let always = SiblingCalls.always.map { "`\($0.name)` (\($0.reason))" }.joined(separator: ", ")
        let table = "| family | why |\n|---|---|\n" + rows.joined() + "\nAlways allowed: \(always).\n"
        let text = try String(contentsOf: Self.document, encoding: .utf8)
        let parts = text.components(separatedBy: "<!-- siblings -->\n")
        try #require(parts.count == 2)
        let behind = parts[1].components(separatedBy: "<!-- /siblings -->")
        try #require(behind.count == 2)
        if ProcessInfo.processInfo.environment["CARREL_WRITE_DOCS"] != nil {
            let new = parts[0] + "<!-- siblings -->\n" + table + "<!-- /siblings -->" + behind[1]
            try new.write(to: Self.document, atomically: true, encoding: .utf8)
        } else {
            #expect(behind[0] == table, "run the tests once with CARREL_WRITE_DOCS=1")
        }
    }
}
