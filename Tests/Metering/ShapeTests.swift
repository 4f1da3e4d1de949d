import Documents
import Foundation
import Testing

@testable import Metering

/// Responses in many shapes, and what each must be charged (Fixtures/make_shapes.py).
struct Shape: Sendable, CustomTestStringConvertible {
    let name: String
    let node: Node
    let body: [UInt8]

    var testDescription: String { name }

    static let all: [Shape] = {
        guard let text = try? String(contentsOfFile: Files.shapes, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            guard let node = try? Node.parse(Array(line.utf8), file: Files.shapes), let name = node["name"]?.string,
                let body = Data(base64Encoded: node["body"]?.string ?? "-")
            else { return nil }
            return Shape(name: name, node: node, body: Array(body))
        }
    }()

    /// The outcome when the body comes in such parts.
    func outcome(_ cuts: (Int) -> Int) throws -> MessagesOutcome {
        let mark = node["hour"]?.bool == true ? #","cache_control":{"type":"ephemeral","ttl":"1h"}"# : ""
        let body = requestBody(
            model: try #require(node["model"]?.string), maxTokens: Int(try #require(node["max_tokens"]?.int)),
            more: mark)
        var exchange = try exchange(body)
        exchange.response(
            status: Int(try #require(node["status"]?.int)),
            headers: (node["headers"]?.elements ?? []).map {
                ($0.elements?[0].string ?? "", $0.elements?[1].string ?? "")
            })
        var start = 0
        while start < self.body.count {
            let end = min(self.body.count, start + max(1, cuts(start)))
            exchange.received(Array(self.body[start..<end]))
            start = end
        }
        return exchange.finish(aborted: node["cut"]?.bool == true)
    }

    func check(_ outcome: MessagesOutcome, _ how: String) throws {
        let expected = try #require(node["expect"])
        #expect(outcome.charge.nanodollars == expected["nanodollars"]?.uint, "\(name), \(how)")
        #expect(outcome.charge.tokens == expected["tokens"]?.uint, "\(name), \(how)")
        #expect(outcome.charge.isEstimated == expected["estimated"]?.bool, "\(name), \(how)")
        #expect(outcome.isComplete == expected["complete"]?.bool, "\(name), \(how)")
        #expect(outcome.stopReason == expected["stop"]?.string, "\(name), \(how)")
        #expect(outcome.errorType == expected["error"]?.string, "\(name), \(how)")
        let tools = (expected["tools"]?.elements ?? []).map {
            MessagesOutcome.ToolCall(name: $0.elements?[0].string ?? "", inputDigest: $0.elements?[1].string)
        }
        #expect(outcome.toolCalls == tools, "\(name), \(how)")
    }
}

@Suite struct ShapeTests {
    @Test func thereAreAHundredAndMore() { #expect(Shape.all.count > 150) }

    @Test("a response is charged what it costs, however it is cut", arguments: Shape.all)
    func isChargedWhatItCosts(_ shape: Shape) throws {
        try shape.check(shape.outcome { _ in shape.body.count }, "whole")
        try shape.check(shape.outcome { _ in 1 }, "byte by byte")
        var random = Random(state: 0x9E37_79B9_7F4A_7C15)
        for round in 0..<3 {
            try shape.check(shape.outcome { _ in Int.random(in: 1...200, using: &random) }, "in parts, round \(round)")
        }
    }

    @Test("a stream cut in two at any byte gives the same")
    func everySplit() throws {
        let shapes = Shape.all.filter { $0.name == "a delta tells the prompt again" || $0.name == "CR LF" }
        try #require(shapes.count == 2)
        for shape in shapes {
            for place in 1..<shape.body.count {
                try shape.check(shape.outcome { $0 == 0 ? place : shape.body.count }, "cut at \(place)")
            }
        }
    }

    @Test("a stream that is cut off after its start is never charged less than the whole")
    func neverLessThanTheTruth() throws {
        // Shapes in which nothing is sampled beside the message; those are in `ExchangeTests`.
        let shapes = Shape.all.filter {
            $0.name.hasSuffix(", streamed") && $0.body.count < 4000 && $0.node.at("expect", "complete")?.bool == true
                && !String(decoding: $0.body, as: UTF8.self).contains("iterations\": [{")
                && !String(decoding: $0.body, as: UTF8.self).contains("web_search_requests\": 3")
                && !String(decoding: $0.body, as: UTF8.self).contains("web_search_requests\": 7")
        }
        try #require(shapes.count > 40)
        for shape in shapes {
            let truth = try #require(shape.node.at("expect", "nanodollars")?.uint)
            let start = try #require(shape.body.firstRange(of: Array("\n\n".utf8))).upperBound
            for place in stride(from: start, to: shape.body.count, by: 5) {
                var cut = try exchange(requestBody(model: try #require(shape.node["model"]?.string)))
                cut.response(status: 200, headers: [("Content-Type", "text/event-stream")])
                cut.received(Array(shape.body[..<place]))
                let outcome = cut.finish(aborted: true)
                #expect(outcome.charge.nanodollars >= truth, "\(shape.name), cut at \(place)")
                #expect(outcome.isComplete != outcome.charge.isEstimated, "\(shape.name), cut at \(place)")
            }
        }
    }
}

extension Node {
    func at(_ path: String...) -> Node? { path.reduce(self as Node?) { $0?[$1] } }
}
