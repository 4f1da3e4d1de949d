import Documents
import EgressPolicy
import Foundation
import NIOConcurrencyHelpers
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

    private static func reply(output: Int) -> Script {
        .ok(
            "{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-5\","
                + "\"content\":[{\"type\":\"text\",\"text\":\"hello\"}],\"stop_reason\":\"end_turn\","
                + "\"usage\":{\"input_tokens\":10,\"output_tokens\":\(output)}}",
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
            let status = client.answer()?.status
            #expect(status == 403 || status == 400)
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
                    ], pause: 10)
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
        }
    }

    @Test("a stream passes event by event, while it comes")
    func streamed() throws {
        try atDesk { desk throws in
            desk.secure.answers { _ in
                Script(
                    parts: [
                        Array(
                            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                                .utf8)
                    ]
                        + (0..<5).map { Array("8\r\ndata: \($0)\n\r\n".utf8) } + [Array("0\r\n\r\n".utf8)], pause: 60)
            }
            let client = try desk.relay()
            client.send(Self.message(",\"stream\":true"))
            var arrivals = 0
            var text = ""
            while let part = client.stream.receive(timeout: 2000), !part.isEmpty {
                arrivals += 1
                text += String(decoding: part, as: UTF8.self)
                if text.hasSuffix("0\r\n\r\n") { break }
            }
            #expect(arrivals >= 5)
            #expect(text.contains("data: 4"))
        }
    }
}
