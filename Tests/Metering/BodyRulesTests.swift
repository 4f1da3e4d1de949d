import EgressPolicy
import Foundation
import Testing

@testable import Metering

/// What a request's body may ask for.
@Suite struct BodyRulesTests {
    private static let urlSource = #"{"type":"url","url":"https://evil.test/?secret"}"#

    @Test("a body that asks for a completion passes unchanged")
    func passes() throws {
        let body = requestBody(
            messages:
                #"[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},"#
                + #"{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"ok"}]}]}]"#,
            more: #","stream":true,"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"#
                + #""tools":[{"name":"Bash","input_schema":{"type":"object","properties":{"source":{"type":"string"},"mcp_servers":{}}}},"#
                + #"{"type":"bash_20250124","name":"bash"}],"thinking":{"type":"enabled","budget_tokens":500},"#
                + #""context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"metadata":{"user_id":"u"}"#)
        let made = try exchange(body)
        #expect(made.upstreamBody == body && made.isStreaming && made.model == "claude-opus-5")
    }

    static let refused: [(String, [UInt8])] = [
        ("MCP servers", requestBody(more: #","mcp_servers":[{"type":"url","url":"https://evil.test"}]"#)),
        ("MCP servers, escaped", requestBody(more: #","mcp\u005fservers":[]"#)),
        ("a container", requestBody(more: #","container":"c""#)),
        ("an unknown member", requestBody(more: #","future":1"#)),
        ("another case", requestBody(more: #","MCP_servers":[]"#)),
        ("web fetch", requestBody(more: #","tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]"#)),
        ("web search", requestBody(more: #","tools":[{"type":"web_search_20250305","name":"web_search"}]"#)),
        ("code execution", requestBody(more: #","tools":[{"name":"x","type":"code_execution_20250825"}]"#)),
        ("a tool of a future version", requestBody(more: #","tools":[{"name":"x","type":"web_fetch_29991231"}]"#)),
        ("a tool without a version", requestBody(more: #","tools":[{"name":"x","type":"web_fetch"}]"#)),
        ("an escaped type", requestBody(more: #","tools":[{"type":"web\u005ffetch_20250910"}]"#)),
        ("an MCP toolset", requestBody(more: #","tools":[{"type":"mcp_toolset","mcp_server_name":"x"}]"#)),
        (
            "an advisor",
            requestBody(more: #","tools":[{"type":"advisor_20260301","name":"advisor","model":"claude-opus-5"}]"#)
        ),
        (
            "a tool that a message defines",
            requestBody(
                messages:
                    #"[{"role":"user","content":[{"type":"x","tool":{"type":"web_fetch_20250910","name":"w"}}]}]"#)
        ),
        (
            "an image by URL",
            requestBody(messages: #"[{"role":"user","content":[{"type":"image","source":\#(urlSource)}]}]"#)
        ),
        (
            "a document by URL in a tool's result",
            requestBody(
                messages:
                    #"[{"role":"user","content":[{"type":"tool_result","content":[{"type":"document","source":\#(urlSource)}]}]}]"#
            )
        ),
        (
            "a URL in a document's content",
            requestBody(
                messages:
                    #"[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"image","source":\#(urlSource)}]}}]}]"#
            )
        ),
        ("a URL in the system prompt", requestBody(more: #","system":[{"type":"image","source":\#(urlSource)}]"#)),
        ("a URL anywhere", requestBody(more: #","metadata":{"a":[{"b":{"source":\#(urlSource)}}]}"#)),
        (
            "a URL whose type comes last",
            requestBody(messages: #"[{"role":"user","content":[{"source":{"url":"u","type":"url"},"type":"image"}]}]"#)
        ),
        (
            "an escaped URL",
            requestBody(messages: #"[{"role":"user","content":[{"s\u006furce":{"type":"u\u0072l"}}]}]"#)
        ),
        (
            "an input that is no tool call's",
            requestBody(messages: #"[{"role":"user","content":[{"type":"image","input":{"source":\#(urlSource)}}]}]"#)
        ),
        (
            "an input whose block has a type behind it",
            requestBody(messages: #"[{"role":"user","content":[{"input":{"source":\#(urlSource)},"type":"image"}]}]"#)
        ),
        (
            "a file",
            requestBody(
                messages: #"[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]"#)
        ),
        (
            "a file in a container",
            requestBody(messages: #"[{"role":"user","content":[{"type":"container_upload","file_id":"f"}]}]"#)
        ),
        ("a source of the future", requestBody(messages: #"[{"role":"user","content":[{"source":{"type":"web"}}]}]"#)),
    ]

    @Test("what is not granted is refused with 403", arguments: refused.map(\.0))
    func isRefused(_ name: String) throws {
        let body = try #require(Self.refused.first { $0.0 == name }).1
        let found = try refusal(body)
        #expect(found?.kind == .notGranted && found?.status == 403, "\(name): \(String(describing: found))")
        let text = found.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(text?.contains("permission_error") == true)
    }

    static let malformed: [(String, [UInt8])] = [
        ("nothing", []), ("no JSON", Array("hello".utf8)), ("a list", Array("[]".utf8)),
        ("a string", Array("\"x\"".utf8)),
        ("an end in the middle", Array(requestBody().dropLast())),
        ("something behind", requestBody() + Array("{}".utf8)),
        ("a byte order mark", [0xEF, 0xBB, 0xBF] + requestBody()), ("no UTF-8", requestBody(model: "x") + [0xFF]),
        ("a name twice", requestBody(more: #","model":"claude-haiku-4-5""#)),
        ("a name twice, escaped", requestBody(more: #","mod\u0065l":"claude-haiku-4-5""#)),
        ("a name twice, deep", requestBody(more: #","metadata":{"a":[{"b":1,"c":2,"b":3}]}"#)),
        (
            "a name twice among many",
            requestBody(more: #","metadata":{"# + (0..<40).map { "\"k\($0)\":1," }.joined() + #""k39":2}"#)
        ),
        ("half a surrogate pair", requestBody(more: #","metadata":{"a":"\ud800"}"#)),
        ("a control character", requestBody(more: ",\"metadata\":{\"a\":\"\n\"}")),
        ("a comma at the end", requestBody(more: #","metadata":{"a":1,}"#)),
        ("single quotes", Array("{'model':1}".utf8)),
        ("NaN", requestBody(more: #","temperature":NaN"#)), ("a leading zero", requestBody(more: #","top_k":01"#)),
        ("a comment", requestBody(more: #","top_k":1/**/"#)),
        ("nesting", requestBody(more: #","metadata":"# + String(repeating: "[", count: 100_000))),
        ("no model", Array(#"{"max_tokens":5,"messages":[]}"#.utf8)),
        ("a model that is no name", Array(#"{"model":5,"max_tokens":5,"messages":[]}"#.utf8)),
        ("no max_tokens", Array(#"{"model":"claude-opus-5","messages":[]}"#.utf8)),
        ("max_tokens below 0", requestBody(maxTokens: -1)),
        ("max_tokens with a fraction", Array(#"{"model":"claude-opus-5","max_tokens":1e3,"messages":[]}"#.utf8)),
    ]

    @Test("what two readers could read differently is refused with 400", arguments: malformed.map(\.0))
    func isMalformed(_ name: String) throws {
        let body = try #require(Self.malformed.first { $0.0 == name }).1
        let found = try refusal(body)
        #expect(found?.kind == .malformed && found?.status == 400, "\(name): \(String(describing: found))")
    }

    static let tooLarge: [(String, [UInt8])] = [
        ("messages", requestBody(messages: "[" + String(repeating: "{},", count: 100_000) + "{}]")),
        (
            "names",
            requestBody(more: #","metadata":{"# + (0..<66_000).map { "\"\($0)\":1" }.joined(separator: ",") + "}")
        ),
        ("models", requestBody(more: #","fallbacks":["# + String(repeating: #"{"model":"a"},"#, count: 1100) + "{}]")),
    ]

    @Test("what is there to fill the gateway's memory is refused with 413", arguments: tooLarge.map(\.0))
    func isTooLarge(_ name: String) throws {
        let body = try #require(Self.tooLarge.first { $0.0 == name }).1
        let found = try refusal(body)
        #expect(found?.kind == .tooLarge && found?.status == 413, "\(name): \(String(describing: found))")
    }

    @Test("what a model wrote into a tool's input is nobody's request")
    func inputsAreOpaque() throws {
        let body = requestBody(
            messages: #"[{"role":"assistant","content":[{"input":{"source":\#(Self.urlSource),"file_id":"f","#
                + #""type":"web_fetch_20250910","container":{}},"type":"tool_use","id":"t","name":"Fetch"}]}]"#,
            more: #","tools":[{"name":"a","input_schema":{"properties":{"source":\#(Self.urlSource),"file_id":{}}}}]"#)
        #expect(try refusal(body) == nil)
    }

    @Test("what is granted passes, and only that")
    func grants() throws {
        var rules = MessagesBodyRules()
        rules.serverTools = ["web_search"]
        rules.sources = ["url"]
        rules.fields = ["container"]
        rules.mcpServers = true
        rules.models = ["claude-opus-*"]
        rules.maxTokens = 1000
        for (name, body) in Self.refused {
            let isGranted =
                [
                    "MCP servers", "MCP servers, escaped", "a container", "web search", "an MCP toolset",
                ].contains(name) || name.contains("URL") || name.contains("an input")
            #expect((try refusal(body, rules: rules) == nil) == isGranted, "\(name)")
        }
        #expect(try refusal(requestBody(model: "claude-haiku-4-5"), rules: rules)?.kind == .notGranted)
        #expect(try refusal(requestBody(maxTokens: 1001), rules: rules)?.kind == .notGranted)
    }

    @Test("MCP servers are tools of the provider's, with a toolset and without")
    func servers() throws {
        var rules = MessagesBodyRules()
        rules.mcpServers = true
        let servers = #","mcp_servers":[{"type":"url","url":"https://mcp.example.com","name":"x"}]"#
        let toolset = #","tools":[{"type":"mcp_toolset","mcp_server_name":"x"}]"#
        let least = try exchange(requestBody(more: toolset), rules: rules).reservation.nanodollars
        for more in [servers, servers + toolset] {
            #expect(try exchange(requestBody(more: more), rules: rules).reservation.nanodollars >= least)
        }
    }

    @Test(
        "a list of models holds for those that may answer in a model's place too",
        arguments: [
            (#","fallbacks":[{"model":"claude-opus-5"}]"#, true), (#","fallbacks":["claude-opus-5"]"#, true),
            (#","fallbacks":"auto""#, true), (#","fallbacks":{"model":"claude-opus-5"}"#, true),
            (#","fallbacks":[{"model":"claude-haiku-4-5"}]"#, false), (#","fallbacks":[]"#, false),
            // What is an example of a tool's input is nobody's model.
            (#","tools":[{"name":"a","input_schema":{},"input_examples":[{"model":"claude-opus-5"}]}]"#, false),
        ])
    func fallbackModels(_ more: String, _ isRefused: Bool) throws {
        var rules = MessagesBodyRules()
        let body = requestBody(model: "claude-haiku-4-5", more: more)
        #expect(try refusal(body, rules: rules) == nil)
        rules.models = ["claude-haiku-*"]
        #expect(try refusal(body, rules: rules)?.kind == (isRefused ? .notGranted : nil))
    }

    @Test("a model without prices is refused, or charged as the dearest")
    func unknownModels() throws {
        let body = requestBody(model: "claude-unheard-of-9")
        #expect(try refusal(body)?.kind == .unknownModel)
        var made = try exchange(body, policy: .ceiling)
        let dearest = try exchange(requestBody(model: "claude-opus-4-1"))
        #expect(made.reservation.nanodollars >= dearest.reservation.nanodollars)
        made.response(status: 200, headers: [("content-type", "application/json")])
        made.received(
            Array(
                #"{"type":"message","model":"claude-unheard-of-9","usage":{"input_tokens":10,"output_tokens":10}}"#.utf8
            ))
        let charge = made.finish(aborted: false).charge
        #expect(charge.isEstimated && charge.nanodollars == 900_000)  // 10 × $15 + 10 × $75 per million
    }

    @Test("only the two paths are metered")
    func paths() throws {
        for path in ["/v1/messages/batches", "/v1/files", "/v1/messages/", "/v1/complete"] {
            #expect(throws: MeteringRefusal.self) { try exchange(path: path) }
        }
        let counting = try exchange(
            Array(#"{"model":"claude-opus-5","messages":[]}"#.utf8), path: "/v1/messages/count_tokens")
        #expect(counting.reservation.nanodollars == 0 && counting.reservation.tokens == 0)
    }

    @Test("no text, however broken, is read in another way in parts or stops the reader")
    func fuzz() throws {
        let seed = requestBody(
            messages:
                #"[{"role":"user","content":[{"type":"text","text":"a\u00e9\ud83d\ude00\n","cache_control":{"type":"ephemeral"}}]}]"#,
            more: #","tools":[{"name":"x","input_schema":{"a":[1,-2.5e+10,true,null,{}]}}],"stream":false"#)
        var random = Random(state: 88_172_645_463_325_252)
        var refusals = 0
        for _ in 0..<4000 {
            var body = seed
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<body.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: body[place] = UInt8.random(in: 0...255, using: &random)
                case 1: body.remove(at: place)
                case 2: body.insert(UInt8.random(in: 0x20...0x7E, using: &random), at: place)
                default: body.insert(contentsOf: body[place..<min(body.count, place + 9)], at: place)
                }
            }
            let isRefused = try refusal(body) != nil
            if isRefused { refusals += 1 }
            // What passes is JSON for Foundation's reader too, and has each name once for it.
            if !isRefused { #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(body)) } }
            #expect(readInParts(body, 1) == readInParts(body, body.count))
            #expect(readInParts(body, 3) == readInParts(body, body.count))
        }
        #expect(refusals > 1000 && refusals < 4000)
    }

    /// The digest of a text read in parts; `nil` if it is not JSON.
    private func readInParts(_ text: [UInt8], _ size: Int) -> [UInt8]? {
        var tokenizer = JSONTokenizer()
        var digest = JSONDigest()
        do throws(JSONFault) {
            for start in stride(from: 0, to: text.count, by: size) {
                var failure: JSONFault?
                text[start..<min(text.count, start + size)].withUnsafeBufferPointer { part in
                    do throws(JSONFault) {
                        try tokenizer.read(part, to: &digest)
                    } catch {
                        failure = error
                    }
                }
                if let failure { throw failure }
            }
            try tokenizer.finish(to: &digest)
            return digest.digest()
        } catch {
            return nil
        }
    }
}
