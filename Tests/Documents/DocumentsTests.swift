import Testing

@testable import Documents

/// Reads `text`, which must be a good document.
func read(_ text: String) throws -> Node { try Node.parse(Array(text.utf8), file: "t") }

/// What is wrong with `text`, one line each.
func problems(_ text: String) -> String { problems(Array(text.utf8)) }

func problems(_ bytes: [UInt8]) -> String {
    do {
        let node = try Node.parse(bytes, file: "t")
        return "no problem: \(node.json())"
    } catch {
        return error.description
    }
}

@Suite struct Reading {
    @Test func keepsOrderAndMarks() throws {
        let node = try read("b: 1\na:\n  - x\n  - {c: true}\n")
        #expect(node == ["b": 1, "a": ["x", ["c": true]]])
        #expect(node.mark == Mark(line: 1, column: 1))
        #expect(node["a"]?.elements?[1].mark == Mark(line: 4, column: 5))
        #expect(node.entries?[1].keyMark == Mark(line: 2, column: 1))
    }
}
