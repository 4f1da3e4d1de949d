import Documents
import EgressPolicy
import Foundation
import Metering
import NIOConcurrencyHelpers
import Syscalls
import Testing

@testable import Egress

/// Rows of the attack table about the Messages API, through the gateway.
@Suite("The Messages API", .serialized)
struct MessagesTests {
    private static func policy(dollars: String, atLimit: String) -> String {
        Desk.policy.replacing(
            "{\"allow\"", with: "{\"budget\": {\"dollars\": \(dollars), \"atLimit\": \"\(atLimit)\"}, \"allow\"")
    }

    private static func message(_ more: String = "", tokens: Int = 1000) -> String {
        let body =
            "{\"model\":\"claude-opus-5\",\"max_tokens\":\(tokens),"
            + "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]\(more)}"
        return "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:8787\r\ncontent-type: application/json\r\n"
            + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static func reply(
        _ text: String = "hello", input: any CustomStringConvertible = 10, output: any CustomStringConvertible
    ) -> Script {
        .ok(
            "{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-5\","
                + "\"content\":[{\"type\":\"text\",\"text\":\"\(text)\"}],\"stop_reason\":\"end_turn\","
                + "\"usage\":{\"input_tokens\":\(input),\"output_tokens\":\(output)}}",
            fields: "content-type: application/json\r\n")
    }

    @Test("a turn is charged what the table says, and logged with its model and stop reason")
    func charged() throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            desk.secure.answers { _ in Self.reply(output: 200) }
            let client = try desk.relay()
            client.send(Self.message())
            #expect(client.answer()?.status == 200)
            #expect(desk.secure.requests.first?.contains("x-api-key: \(Desk.secret)\r\n") == true)
            let entries = desk.log(atLeast: 2)
            #expect(entries.last?.json().contains("end_turn") == true)
            // 10 tokens at 5 dollars a million, 200 at 25.
            let spent = desk.gateway.budgets.state(session: "s-1")?.nanodollars.spent
            #expect(spent == 10 * 5000 + 200 * 25000)
        }
    }

    @Test(
        "what has the provider fetch or connect is refused, and nothing leaves",
        arguments: [
            ",\"mcp_servers\":[{\"type\":\"url\",\"url\":\"https://evil.test\",\"name\":\"x\"}]",
            ",\"tools\":[{\"type\":\"web_fetch_20250910\",\"name\":\"web_fetch\"}]",
            ",\"tools\":[{\"type\":\"code_execution_20250522\",\"name\":\"code_execution\"}]",
            ",\"system\":[{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://evil.test\"}}]",
        ])
    func serverSide(_ more: String) throws {
        try atDesk { desk throws in
            let client = try desk.relay()
            client.send(Self.message(more))
            #expect(client.answer()?.status == 403)
            #expect(desk.nothingLeft)
        }
    }

    @Test("fifty requests at once cannot pass the cap, and the session is told to pause")
    func race() throws {
        try atDesk(policy: Self.policy(dollars: "0.2", atLimit: "pause")) { desk throws in
            desk.secure.answers { _ in Self.reply(output: 1000) }
            let statuses = NIOLockedValueBox<[Int]>([])
            let clients = try (0..<50).map { _ in try desk.relay() }
            for client in clients { client.send(Self.message()) }
            for client in clients { statuses.withLockedValue { $0.append(client.answer()?.status ?? 0) } }
            let passed = statuses.withLockedValue { $0.count { $0 == 200 } }
            #expect(passed >= 1 && passed <= 7)
            #expect(desk.secure.requests.count == passed)
            #expect(statuses.withLockedValue { $0.allSatisfy { [200, 402, 429].contains($0) } })
            let state = try #require(desk.gateway.budgets.state(session: "s-1"))
            #expect(state.nanodollars.spent <= 200_000_000)
            // Until the cap is reached by what was spent.
            let client = try desk.relay()
            var last: Answer?
            for _ in 0..<20 {
                client.send(Self.message())
                last = client.answer()
                if last?.status == 402 { break }
            }
            #expect(last?.status == 402)
            #expect(last?.field("x-should-retry") == "false")
            #expect(last?.body.contains("billing_error") == true)
            let event = desk.event { if case .decision = $0 { true } else { false } }
            guard case .decision(let decision)? = event else {
                Issue.record("no decision")
                return
            }
            #expect(decision.action == .pause && decision.reason == .budget)
            var asking = try GatewayConnection(to: desk.gateway.places.control)
            try asking.send(.raise(session: "s-1", microdollars: 1_000_000, tokens: 0))
            guard case .answer? = try asking.next(timeout: 15_000) else {
                Issue.record("not raised")
                return
            }
            asking.close()
            #expect(desk.event { $0 == .resume } != nil)
            let again = try desk.relay()
            again.send(Self.message())
            #expect(again.answer()?.status == 200)
        }
    }

    @Test("a session by the name of one that never said that it was over starts with nothing spent, and nothing raised")
    func sameName() throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            desk.secure.answers { _ in Self.reply(output: 200) }
            let client = try desk.relay()
            client.send(Self.message())
            #expect(client.answer()?.status == 200)
            _ = desk.log(atLeast: 2)
            try desk.gateway.budgets.raise(session: "s-1", nanodollars: 1)
            func greet() throws {
                var asking = try GatewayConnection(to: desk.gateway.places.control)
                defer { asking.close() }
                try asking.send(.hello(session: "s-1", policy: desk.policy))
                guard case .hello? = try asking.next(timeout: 15_000) else { throw GatewayError("no hello") }
            }
            func state() -> BudgetState.Account? { desk.gateway.budgets.state(session: "s-1")?.nanodollars }
            // It is the one that lives, or comes again.
            try greet()
            #expect(state()?.limit == 5_000_000_001 && state()?.spent == 5_050_000)
            desk.hangUp()
            #expect(eventually { desk.gateway.sessionCount == 0 })
            try desk.comeAgain()
            #expect(state()?.limit == 5_000_000_001 && state()?.spent == 5_050_000)
            // A name is claimed before the gateway is greeted: whoever had it is gone.
            desk.hangUp()
            #expect(eventually { desk.gateway.sessionCount == 0 })
            try greet()
            try desk.comeAgain()
            #expect(state()?.limit == 5_000_000_000 && state()?.spent == 0)
            #expect(desk.gateway.budgets.state(.tenant, "acme").nanodollars.spent == 5_050_000)
        }
    }

    @Test("a stream that the client leaves is charged, and flagged as estimated")
    func aborted() throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            let start =
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\","
                + "\"role\":\"assistant\",\"model\":\"claude-opus-5\",\"content\":[],\"stop_reason\":null,"
                + "\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n"
            desk.secure.answers { _ in
                Script(
                    parts: [
                        Array(
                            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                                .utf8),
                        Array("\(String(start.utf8.count, radix: 16))\r\n\(start)\r\n".utf8),
                    ], pause: 10, isDeaf: true)
            }
            let client = try desk.relay()
            client.send(Self.message(",\"stream\":true"))
            var seen = ""
            for _ in 0..<100 where !seen.contains("message_start") {
                seen += String(decoding: client.stream.receive(timeout: 100) ?? [], as: UTF8.self)
            }
            #expect(seen.contains("message_start"))
            client.close()
            let entries = desk.log(atLeast: 2)
            #expect(entries.last?.json().contains("\"estimated\":true") == true, "\(entries.last?.json() ?? "")")
            #expect((desk.gateway.budgets.state(session: "s-1")?.nanodollars.spent ?? 0) > 10 * 5000)
            // The connection to the upstream ends with it: TLS would wait five seconds for the upstream's last word.
            let port = String(format: ":%04X", desk.secure.port)
            func isHeld() -> Bool {
                let connections = (try? String(contentsOfFile: "/proc/self/net/tcp", encoding: .utf8)) ?? ""
                return connections.split(separator: "\n").map { $0.split(separator: " ") }
                    .contains { $0.count > 3 && $0[2].hasSuffix(port) && ["01", "08"].contains($0[3]) }
            }
            for _ in 0..<300 where isHeld() { usleep(10_000) }
            #expect(!isHeld())
        }
    }

    @Test("counts that no model has stop nobody: the bound is charged", arguments: ["in", "out"])
    func absurdCounts(_ place: String) throws {
        try atDesk { desk throws in
            let most = "18446744073709551615"
            let (input, output) = place == "in" ? (most, "1") : ("1", most)
            desk.secure.answers { _ in Self.reply(input: input, output: output) }
            let client = try desk.relay()
            for _ in 0..<3 {
                client.send(Self.message())
                #expect(client.answer()?.status == 200)
            }
            let entries = desk.log(atLeast: 6)
            #expect(entries.last?.json().contains("\"estimated\":true") == true)
            #expect((desk.gateway.session("s-1")?.usage.tokens ?? .max) < 20_000)
        }
    }

    /// The message of `reply(output: 200)`, as an upstream sends it that does not heed `accept-encoding: identity`.
    private static let encoded = [
        (
            "gzip",
            "H4sIAAAAAAACA03N0QrDMAgF0H/xOYVusJf8yhglNLKVpRqqwkbov9cUBntSDvdqgyVDhBUC6LdiX1EkPdFh49IhiSyiidRp"
                + "5YzFbS7JMg5cTYab+8yk6Il4b787ip/eOEeEF5bCsD8CiHKdNkzC5I6UJ7WNPGnn29hgoWo6Kb+RBOJlDMCm/3Qdx30/ACmm"
                + "DOC6AAAA"
        ),
        (
            "br",
            "G7kAQIzDdKM9X5RyjCYZRJub9psVLGibIp7ofwisl/SHsHVYYPrq5MQDs5KgrOzYFoQBeQiB2/B5xEBj0WFyK3iI8TcDQ7bo"
                + "86oIQVRcwFXPUMveoueNiGvsM0nKkkTgc4YfCZwu7DawVwUkCDyFyeImJ350LCU8hjlr2Q8="
        ),
        (
            "zstd",
            "KLUv/SC6FQQAQkkbGXBp22apK19b5CMsirzmuKoq/hQL8Fn6/4bLYkyAW28GcN/Eg/LhXnlcub49k+aTEn9PXYTJWcp7IyxX"
                + "pdDwQyArgzsncqpxu6DYXlpgaqSM3xUmRW7nRLzHLlKa3I4FtIvI77gSfDvyezquBAYA2PCwjhupiK0axpdAZQpmHg=="
        ),
    ]

    @Test("usage hides in no encoding", arguments: encoded)
    func encodings(_ coding: String, _ text: String) throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            let body = Array(try #require(Data(base64Encoded: text)))
            desk.secure.answers { _ in
                let head =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: \(coding)\r\n"
                    + "content-length: \(body.count)\r\n\r\n"
                return Script(parts: [Array(head.utf8) + body])
            }
            let client = try desk.relay()
            client.send(Self.message())
            #expect(client.answer()?.status == 200)
            #expect(desk.secure.requests.first?.contains("accept-encoding: identity\r\n") == true)
            _ = desk.log(atLeast: 2)
            #expect(desk.gateway.budgets.state(session: "s-1")?.nanodollars.spent == 10 * 5000 + 200 * 25000)
        }
    }

    @Test("usage behind ten million bytes of answer is read")
    func longAnswer() throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            let text = String(repeating: "a", count: 10_000_000)
            desk.secure.answers { _ in Self.reply(text, output: 200) }
            let client = try desk.relay()
            client.send(Self.message())
            #expect(client.answer()?.body.utf8.count ?? 0 > 10_000_000)
            _ = desk.log(atLeast: 2)
            #expect(desk.gateway.budgets.state(session: "s-1")?.nanodollars.spent == 10 * 5000 + 200 * 25000)
        }
    }

    @Test("usage in events that are split at every byte is read")
    func splitEvents() throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            let events =
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\","
                + "\"role\":\"assistant\",\"model\":\"claude-opus-5\",\"content\":[],"
                + "\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n"
                + "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
                + "\"usage\":{\"output_tokens\":200}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
            desk.secure.answers { _ in
                .text("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            }
            let client = try desk.relay()
            client.send(Self.message(",\"stream\":true"))
            #expect(eventually { desk.secure.requests.count == 1 })
            for byte in events.unicodeScalars { try desk.secure.push("1\r\n\(byte)\r\n") }
            try desk.secure.push("0\r\n\r\n")
            #expect(client.answer()?.body == events)
            _ = desk.log(atLeast: 2)
            #expect(desk.gateway.budgets.state(session: "s-1")?.nanodollars.spent == 10 * 5000 + 200 * 25000)
        }
    }

    @Test("bodies are kept where a policy asks for them, without the credentials in them")
    func bodies() throws {
        let policy = Desk.policy.replacing("{\"allow\"", with: "{\"logBodies\": true, \"allow\"")
        try atDesk(policy: policy) { desk throws in
            let token = "ghp_" + String(repeating: "a", count: 36)
            // As an upstream repeats it that shows the headers it was sent.
            let encoded = String(decoding: base64Encoded(Array("user:\(Desk.secret)".utf8)), as: UTF8.self)
            desk.secure.answers { _ in Self.reply("Basic \(encoded)", output: 3) }
            let client = try desk.relay()
            client.send(Self.message(",\"metadata\":{\"user_id\":\"\(Desk.secret) \(token)\"}"))
            #expect(client.answer()?.status == 200)
            let entries = desk.log(atLeast: 2)
            for (entry, name) in zip(entries, ["requestBody", "responseBody"]) {
                let digest = try #require(entry[name]?["sha256"]?.string)
                let body = try readText(desk.gateway.places.directory + "/bodies/" + digest)
                #expect(!body.contains(Desk.secret) && !body.contains(token))
                #expect(!body.contains(encoded.dropFirst(12).dropLast(8)))
                #expect(body.contains(name == "requestBody" ? "[redacted] [redacted]" : "\"output_tokens\":3"))
            }
        }
    }

    @Test("what the API says of its own limits is passed on with its fields, and costs nothing", arguments: [429, 529])
    func overloaded(_ status: Int) throws {
        try atDesk(policy: Self.policy(dollars: "5", atLimit: "end")) { desk throws in
            let body = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"
            desk.secure.answers { _ in
                .text(
                    "HTTP/1.1 \(status) Of theirs\r\ncontent-type: application/json\r\nretry-after: 7\r\n"
                        + "anthropic-ratelimit-requests-remaining: 0\r\nx-should-retry: true\r\n"
                        + "content-length: \(body.utf8.count)\r\n\r\n\(body)")
            }
            let client = try desk.relay()
            client.send(Self.message())
            let answer = client.answer()
            #expect(answer?.status == status && answer?.body == body)
            #expect(answer?.field("retry-after") == "7" && answer?.field("x-should-retry") == "true")
            #expect(answer?.field("anthropic-ratelimit-requests-remaining") == "0")
            _ = desk.log(atLeast: 2)
            #expect(desk.gateway.budgets.state(session: "s-1")?.nanodollars.spent == 0)
        }
    }

    @Test("at the soft mark the supervisor is told, once, and again when a raised budget comes to its own")
    func softMark() throws {
        try atDesk(policy: Self.policy(dollars: "0.1", atLimit: "pause")) { desk throws in
            desk.secure.answers { _ in Self.reply(output: 1000) }
            let client = try desk.relay()
            func turn() { client.send(Self.message()) }
            // 2.505 cents a turn, of ten: the third passes 60 %.
            for _ in 0..<3 {
                turn()
                #expect(client.answer()?.status == 200)
            }
            let told = desk.event { if case .softMark = $0 { true } else { false } }
            #expect(told == .softMark(detail: "$0.08 of $0.10 is used"))
            #expect(desk.gateway.session("s-1")?.usage.softMarks == 1)
            try desk.gateway.budgets.raise(session: "s-1", nanodollars: 100_000_000)
            for _ in 0..<2 {
                turn()
                #expect(client.answer()?.status == 200)
            }
            #expect(desk.event { $0 == .softMark(detail: "$0.13 of $0.20 is used") } != nil)
            #expect(desk.gateway.session("s-1")?.usage.softMarks == 2)
            let usage = desk.event { if case .usage(let usage) = $0 { usage.softMarks == 2 } else { false } }
            #expect(usage != nil)
        }
    }

    @Test("a stream passes event by event: each is there before the next is sent")
    func streamed() throws {
        try atDesk { desk throws in
            desk.secure.answers { _ in
                .text("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            }
            let client = try desk.relay()
            client.send(Self.message(",\"stream\":true"))
            #expect(client.head()?.contains(" 200 ") == true)
            for index in 0..<5 {
                try desk.secure.push("9\r\ndata: \(index)\n\n\r\n")
                #expect(String(decoding: client.take(14), as: UTF8.self) == "9\r\ndata: \(index)\n\n\r\n")
            }
            try desk.secure.push("0\r\n\r\n")
            #expect(String(decoding: client.take(5), as: UTF8.self) == "0\r\n\r\n")
        }
    }
}
