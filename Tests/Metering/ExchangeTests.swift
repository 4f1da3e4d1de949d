import EgressPolicy
import Foundation
import Testing

@testable import Metering

/// What a request can cost, what is sent in its place, and what its end comes to.
@Suite struct ExchangeTests {
    private func reply(_ made: MessagesExchange, _ usage: String, stop: String = "end_turn") -> MessagesOutcome {
        var made = made
        made.response(status: 200, headers: [("content-type", "application/json")])
        made.received(
            Array(
                #"{"type":"message","model":"claude-opus-5","stop_reason":"\#(stop)","usage":\#(usage)}"#.utf8))
        return made.finish(aborted: false)
    }

    @Test("a bound is never below what the request then costs")
    func boundsHold() throws {
        // As many tokens as the body has bytes, all of them written for an hour, the answer as long as it may be.
        let plain = try exchange(requestBody())
        let marked = try exchange(
            requestBody(more: #","system":[{"type":"text","text":"x","cache_control":{"ttl":"5m"}}]"#))
        let hour = try exchange(requestBody(more: #","cache_control":{"type":"ephemeral","ttl":"1h"}"#))
        let fast = try exchange(requestBody(more: #","speed":"fast""#))
        for (made, size, usage) in [
            (plain, requestBody().count, Usage(input: UInt64(requestBody().count), output: 1000)),
            (marked, requestBody().count, Usage(output: 1000, cacheWrite5m: UInt64(marked.upstreamBody.count))),
            (hour, requestBody().count, Usage(output: 1000, cacheWrite1h: UInt64(hour.upstreamBody.count))),
        ] {
            let rates = try #require(try shippedPrices().rates(for: "claude-opus-5"))
            let truth = nanodollars(rates.cost(of: usage, [Factor(millionths: 1_100_000)]))
            #expect(made.reservation.nanodollars >= truth)
            #expect(made.reservation.tokens >= usage.tokens)
            #expect(size > 0)
        }
        #expect(plain.reservation.nanodollars < marked.reservation.nanodollars)
        #expect(marked.reservation.nanodollars < hour.reservation.nanodollars)
        #expect(fast.reservation.nanodollars > plain.reservation.nanodollars * 19 / 10)
        #expect(plain.reservation.isEstimated)
    }

    @Test("images count by their own measure, documents as all that fits")
    func images() throws {
        func with(_ type: String, _ media: String, bytes: Int) throws -> UInt64 {
            let data = String(repeating: "A", count: bytes)
            return try exchange(
                requestBody(
                    messages:
                        #"[{"role":"user","content":[{"type":"\#(type)","source":{"type":"base64","media_type":"\#(media)","data":"\#(data)"}}]}]"#
                )
            ).reservation.usage.input
        }
        #expect(try with("image", "image/png", bytes: 1_000_000) < 10_000)
        #expect(try with("image", "image/png", bytes: 10) >= 5000)
        #expect(try with("document", "application/pdf", bytes: 1000) == 1_000_000)
        #expect(try with("document", "text/plain", bytes: 50_000) > 50_000)
        // What only looks like an image, in the input of a tool call, is text.
        let text = String(repeating: "A", count: 50_000)
        let call = try exchange(
            requestBody(
                messages:
                    #"[{"role":"assistant","content":[{"type":"tool_use","input":{"source":{"type":"base64","media_type":"image/png","data":"\#(text)"}}}]}]"#
            ))
        #expect(call.reservation.usage.input > 50_000)
        for place in [
            #","tools":[{"name":"a","input_schema":{},"input_examples":[{"source":IMAGE}]}]"#,
            #","tools":[{"name":"a","input_schema":{},"examples":{"source":IMAGE}}]"#,
            #","system":[{"type":"text","text":"a","x":{"source":IMAGE}}]"#,
        ] {
            let image = #"{"type":"base64","media_type":"image/png","data":"\#(text)"}"#
            let made = try exchange(requestBody(more: place.replacingOccurrences(of: "IMAGE", with: image)))
            #expect(made.reservation.usage.input > 50_000, "\(place)")
        }
    }

    @Test("images behind what was counted once count by their own measure too")
    func imagesBehindTheKnown() throws {
        let memory = PromptMemory()
        let image = #"{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"UklGRg=="}}"#
        func message(_ images: Int) -> String {
            #"{"role":"user","content":[\#([String](repeating: image, count: images).joined(separator: ","))]}"#
        }
        let first = try exchange(requestBody(messages: "[\(message(1))]"), memory: memory)
        _ = reply(first, #"{"input_tokens":300,"output_tokens":5}"#)
        let again = try exchange(requestBody(messages: "[\(message(1)),\(message(40))]"), memory: memory)
        // A few bytes can be an image of any size.
        #expect(again.reservation.usage.input >= 300 + 40 * 5000)
        // The one that was counted is not counted again, nor are the bytes of the others.
        #expect(again.reservation.usage.input < 300 + 41 * 5000 + 10_000)
    }

    @Test("what was counted once is not bounded by bytes again")
    func memory() throws {
        let memory = PromptMemory()
        let system =
            #","system":[{"type":"text","text":"\#(String(repeating: "word ", count: 20_000))","cache_control":{"type":"ephemeral"}}]"#
        let first = #"{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}"#
        let made = try exchange(requestBody(messages: "[\(first)]", more: system), memory: memory)
        #expect(made.reservation.usage.input > 100_000)
        _ = reply(made, #"{"input_tokens":100,"cache_creation_input_tokens":20000,"output_tokens":50}"#)
        // The mark has moved on, as clients move it; the rest is the same.
        let again = #"{"role":"user","content":[{"type":"text","text":"Hi"}]}"#
        let answer = #"{"role":"assistant","content":"\#(String(repeating: "x", count: 500))"}"#
        let next = #"{"role":"user","content":[{"type":"text","text":"More","cache_control":{"type":"ephemeral"}}]}"#
        let second = try exchange(
            requestBody(maxTokens: 2000, messages: "[\(again),\(answer),\(next)]", more: system), memory: memory)
        #expect(20_600...24_000 ~= second.reservation.usage.input)
        // Another system prompt, another model, another beginning: nothing is known of it.
        for other in [
            requestBody(
                messages: "[\(again),\(answer),\(next)]", more: system.replacingOccurrences(of: "word ", with: "worm ")),
            requestBody(model: "claude-opus-5-5", messages: "[\(again),\(answer),\(next)]", more: system),
            requestBody(messages: "[\(answer),\(again),\(next)]", more: system),
        ] { #expect(try exchange(other, memory: memory).reservation.usage.input > 100_000) }
        #expect(
            try exchange(requestBody(messages: "[\(again),\(answer),\(next)]", more: system)).reservation.usage.input
                > 100_000)
    }

    @Test("the note goes behind the last block of the last user message, and nothing else changes")
    func note() throws {
        let tools = #","tools":[{"name":"Bash","input_schema":{}}]"#
        let text = "Please \"stop\".\n"
        let block = #"{"type":"text","text":"Please \"stop\".\n"}"#
        let mark = #"{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}"#
        for (before, after) in [
            (
                #"[{"role":"user","content":"Hi \"you\""}]"#,
                #"[{"role":"user","content":[{"type":"text","text":"Hi \"you\""},\#(block)]}]"#
            ),
            (#"[{"role":"user","content":[\#(mark)]}]"#, #"[{"role":"user","content":[\#(mark),\#(block)]}]"#),
            (#"[{"role":"user","content":[]}]"#, #"[{"role":"user","content":[\#(block)]}]"#),
            (
                #"[{"content":[\#(mark) ] ,"role":"user"},{"role":"assistant","content":"c"}]"#,
                #"[{"content":[\#(mark) ,\#(block)] ,"role":"user"},{"role":"assistant","content":"c"}]"#
            ),
            (
                #"[{"role":"user","content":"a"},{"role":"assistant","content":"c"},{"role":"user","content":[{"type":"tool_result","content":[\#(mark)]}]}]"#,
                #"[{"role":"user","content":"a"},{"role":"assistant","content":"c"},{"role":"user","content":[{"type":"tool_result","content":[\#(mark)]},\#(block)]}]"#
            ),
        ] {
            let made = try exchange(requestBody(messages: before, more: tools), note: text)
            #expect(
                String(decoding: made.upstreamBody, as: UTF8.self)
                    == String(decoding: requestBody(messages: after, more: tools), as: UTF8.self))
            #expect(reply(made, #"{"input_tokens":1,"output_tokens":1}"#).answersNote)
            #expect(!reply(made, #"{"input_tokens":1,"output_tokens":1}"#, stop: "tool_use").answersNote)
            // Without tools it is the client's own request for a title or a summary.
            let side = requestBody(messages: before)
            #expect(try exchange(side, note: text).upstreamBody == side)
            #expect(try !reply(exchange(side, note: text), #"{"input_tokens":1,"output_tokens":1}"#).answersNote)
        }
    }

    @Test("a request that was not sent costs nothing; one of which nothing came back costs its bound")
    func ends() throws {
        var made = try exchange()
        #expect(made.unsent().charge.nanodollars == 0)
        let gone = made.finish(aborted: true)
        #expect(gone.charge == made.reservation && gone.charge.isEstimated && !gone.isComplete)
    }

    static let unreadable: [(String, [(String, String)], String)] = [
        ("an unknown encoding", [("content-type", "application/json"), ("content-encoding", "compress")], "{}"),
        ("a wrong encoding", [("content-type", "text/event-stream"), ("content-encoding", "gzip")], "event: x\n\n"),
        ("three encodings", [("content-type", "text/event-stream"), ("content-encoding", "gzip, gzip, gzip")], ""),
        ("an unknown type", [("content-type", "text/html")], "<html>"),
        ("no type", [], "{}"),
        ("no JSON", [("content-type", "application/json")], "{"),
        ("no usage", [("content-type", "application/json")], #"{"type":"message","model":"claude-opus-5"}"#),
        ("no usage: nothing in it", [("content-type", "application/json")], #"{"type":"message","usage":{}}"#),
        (
            "no usage: null", [("content-type", "application/json")],
            #"{"type":"message","usage":{"input_tokens":null,"output_tokens":1}}"#
        ),
        (
            "no usage: an answer without a prompt", [("content-type", "text/event-stream")],
            "data: {\"type\":\"message_start\",\"message\":{\"usage\":{}}}\n\n"
                + "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\n"
        ),
        (
            "a count in quotes", [("content-type", "application/json")],
            #"{"type":"message","usage":{"input_tokens":1,"output_tokens":1,"cache_read_input_tokens":"9"}}"#
        ),
        (
            "a count that is true", [("content-type", "application/json")],
            #"{"type":"message","usage":{"input_tokens":true,"output_tokens":1}}"#
        ),
        (
            "a count that is a list", [("content-type", "application/json")],
            #"{"type":"message","usage":{"input_tokens":1,"output_tokens":1,"cache_read_input_tokens":[9]}}"#
        ),
        (
            "a count that no model has", [("content-type", "application/json")],
            #"{"type":"message","usage":{"input_tokens":18446744073709551615,"output_tokens":1}}"#
        ),
        (
            "a count below 0", [("content-type", "application/json")],
            #"{"type":"message","usage":{"input_tokens":-5,"output_tokens":1}}"#
        ),
        ("an event that is no JSON", [("content-type", "text/event-stream")], "data: {\"type\":\"message_start\"\n\n"),
        ("nothing", [("content-type", "text/event-stream")], ""),
    ]

    @Test("a response that cannot be read is charged at the bound", arguments: unreadable)
    func chargesTheBound(_ name: String, _ headers: [(String, String)], _ body: String) throws {
        var made = try exchange()
        made.response(status: 200, headers: headers)
        made.received(Array(body.utf8))
        let outcome = made.finish(aborted: false)
        #expect(outcome.charge.isEstimated && !outcome.isComplete || name.hasPrefix("no usage"), "\(name)")
        #expect(outcome.charge.nanodollars >= made.reservation.nanodollars, "\(name)")
        #expect(outcome.charge.isEstimated, "\(name)")
    }

    /// Zstandard (RFC 8878): a frame of blocks that stand for themselves (0) or repeat one byte (1).
    private static func zstd(_ blocks: [(type: Int, size: Int, content: [UInt8])]) -> [UInt8] {
        var bytes: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0, 0x38]
        for (index, block) in blocks.enumerated() {
            let head = block.size << 3 | block.type << 1 | (index == blocks.count - 1 ? 1 : 0)
            bytes += [UInt8(head & 255), UInt8(head >> 8 & 255), UInt8(head >> 16)] + block.content
        }
        return bytes
    }

    /// A whole answer, deflated, and the end of its gzip member.
    private static let deflated =
        "VcsxCsAgDEDRu2TWoUMXLyNSQynVREwyFPHulW5d3+cP0KchBKgokk4EB5UzliVHSZbRczPx+3JRbrFjEqZVkXJU67SCfWMY"
        + "cFEzjco3kkDYHLDpT+Z8Ae6e4SJwAAAA"

    @Test("what a few bytes of one encoding come to within another has a bound", arguments: [8, 256])
    func nestedBomb(_ megabytes: Int) throws {
        // gzip (RFC 1952) with a file's name of that length, of which nothing is left.
        let rest = Array(try #require(Data(base64Encoded: Self.deflated)))
        let name = [(type: Int, size: Int, content: [UInt8])](
            repeating: (1, 128 << 10, [0x61]), count: megabytes * 8)
        var made = try exchange()
        made.response(
            status: 200, headers: [("content-type", "application/json"), ("content-encoding", "gzip, zstd")])
        made.received(
            Self.zstd(
                [(0, 10, [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3])] + name + [(0, rest.count + 1, [0] + rest)]))
        #expect(made.finish(aborted: false).charge.isEstimated == (megabytes > 8))
    }

    @Test("what a few bytes come to when they are decoded has a bound", arguments: [8, 256])
    func bomb(_ megabytes: Int) throws {
        let answer = Array(
            #"{"type":"message","model":"claude-opus-5","usage":{"input_tokens":1,"output_tokens":1}}"#.utf8)
        let blanks = [(type: Int, size: Int, content: [UInt8])](
            repeating: (1, 128 << 10, [0x20]), count: megabytes * 8)
        var made = try exchange()
        made.response(status: 200, headers: [("content-type", "application/json"), ("content-encoding", "zstd")])
        made.received(Self.zstd(blanks + [(0, answer.count, answer)]))
        // 8 MiB are an answer with blanks before it.
        #expect(made.finish(aborted: false).charge.isEstimated == (megabytes > 8))
    }

    @Test("an answer of more samplings than there ever are is charged at the bound: they are not kept")
    func manyIterations() throws {
        for (count, isEstimated) in [(1000, false), (2000, true)] {
            var made = try exchange()
            made.response(status: 200, headers: [("content-type", "application/json")])
            made.received(Array(#"{"type":"message","model":"claude-opus-5","usage":{"iterations":[{}"#.utf8))
            let part = Array(String(repeating: ",{}", count: 100).utf8)
            for _ in 0..<count / 100 { made.received(part) }
            made.received(Array(#"],"input_tokens":1,"output_tokens":1}}"#.utf8))
            #expect(made.finish(aborted: false).charge.isEstimated == isEstimated)
        }
    }

    @Test("the number of a block may be any, and the next have none")
    func absurdIndex() throws {
        var made = try exchange()
        made.response(status: 200, headers: [("content-type", "text/event-stream")])
        let block = #""type":"content_block_start","content_block":{"type":"tool_use","name":"a","input":{}}"#
        made.received(
            Array("data: {\"index\":18446744073709551615,\(block)}\n\ndata: {\(block)}\n\ndata: {\(block)}\n\n".utf8))
        #expect(made.finish(aborted: true).toolCalls.count == 3)
    }

    @Test("what costs more than was reserved is told of at once")
    func excess() throws {
        var made = try exchange()
        made.response(status: 200, headers: [("content-type", "text/event-stream")])
        made.received(
            Array(
                (#"data: {"type":"message_start","message":{"model":"claude-opus-5","usage":{"input_tokens":10,"output_tokens":1}}}"#
                    + "\n\n").utf8))
        #expect(made.excess == nil)
        made.received(
            Array("data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":900000}}\n\n".utf8))
        let excess = try #require(made.excess)
        #expect(excess.nanodollars == 22_500_050_000 && excess.tokens == 900_010)
        #expect(made.finish(aborted: true).charge.nanodollars >= excess.nanodollars)
    }

    @Test("ten megabytes are metered in the memory of a few pages, and quickly")
    func large() throws {
        var made = try exchange()
        made.response(status: 200, headers: [("content-type", "application/json")])
        let part = Array(String(repeating: "lorem ipsum \\\"dolor\\\" ", count: 3000).utf8)
        made.received(Array(#"{"type":"message","model":"claude-opus-5","content":[{"type":"text","text":""#.utf8))
        let before = residentPages()
        for _ in 0..<160 { made.received(part) }
        let grown = residentPages() - before
        made.received(Array(#""}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}}"#.utf8))
        let outcome = made.finish(aborted: false)
        #expect(outcome.charge.nanodollars == 140_000 && outcome.isComplete)
        #expect(part.count * 160 > 10_000_000)
        #expect(grown < 2048, "\(grown) pages more")  // of 2,600 that were read; other tests run beside
    }

    private func residentPages() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0
    }

    @Test("no price table that contradicts itself is read")
    func tables() throws {
        let text = try String(contentsOfFile: Files.prices, encoding: .utf8)
        let table = try shippedPrices()
        #expect(table.models.count > 20 && table.date == "2026-11-21" && table.digest.utf8.count == 64)
        #expect(table.rates(for: "claude-opus-4-5-20251101") == table.rates(for: "claude-opus-4-5"))
        #expect(table.rates(for: "claude-opus-4-5-latest") != nil && table.rates(for: "claude-opus-4-5-2025") == nil)
        #expect(table.rates(for: "claude") == nil && table.rates(for: "") == nil)
        for (old, new, field) in [
            ("\"input\": 0.1,", "\"input\": 0.2,", "digest"), ("\"above\": 100000", "\"above\": 0", "tiers"),
            ("\"input\": 10,", "\"input\": -1,", "input"), ("\"input\": 10,", "\"input\": 0.0000001,", "input"),
            ("\"cache-read\": 0.25", "\"cache-write\": 1", "cache-read"),
            ("\"batch\": 0.5", "\"batch\": \"half\"", "batch"),
            ("\"date\": \"2026-11-21\",", "", "date"),
        ] {
            let changed = text.replacingOccurrences(of: old, with: new)
            #expect(changed != text)
            let problems = #expect(throws: (any Error).self) { try PriceTable(node(changed), file: "t") }
            #expect("\(String(describing: problems))".contains(field), "\(new)")
        }
    }
}
