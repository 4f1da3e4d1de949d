import Documents
import EgressPolicy
import Foundation
import Glibc
import Metering
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Syscalls
import SystemPackage
import Testing

@testable import Egress

@Suite("Bounds of a session", .serialized)
struct BoundsTests {
    @Test("a thousand half-sent heads: the session's own new connections are turned away, and those are closed in time")
    func slowloris() throws {
        try atDesk(change: {
            $0.connections = 100
            $0.headTimeout = .seconds(2)
        }) { desk throws in
            let other = try desk.secondSession()
            var slow: [Client] = []
            for _ in 0..<1000 {
                guard let client = try? desk.proxy() else { break }
                client.send("GET http://example.com/ HTTP/1.1\r\nHos")
                slow.append(client)
            }
            // Measured against itself: how long it takes is the machine's affair.
            let during = try worst(of: other)
            #expect(slow.count { $0.isClosed(within: 1) } >= 900)
            #expect(slow.allSatisfy { $0.isClosed() })
            let after = try worst(of: other)
            #expect(during < 10 * after + 50_000_000, "\(during) ns beside the heads, \(after) ns without them")
            other.end()
        }
    }

    /// The longest but one of 50 requests, nanoseconds.
    private func worst(of session: Desk.Other) throws -> UInt64 {
        try (0..<50).map { _ in
            let start = monotonicNanoseconds()
            let client = try session.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 200)
            return monotonicNanoseconds() - start
        }.sorted()[48]
    }

    @Test("a head of too many bytes or fields, or one that does not come, is answered and closed")
    func heads() throws {
        try atDesk { desk throws in
            let long = try desk.proxy()
            long.send(
                "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX: \(String(repeating: "a", count: 70000))")
            #expect(long.answer()?.status == 431)
            let many = try desk.proxy()
            many.send(
                "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n"
                    + (0..<200).map { "x\($0): 1\r\n" }.joined() + "\r\n")
            #expect(many.answer()?.status == 431)
            #expect(desk.nothingLeft)
        }
        try atDesk(change: { $0.headTimeout = .seconds(1) }) { desk throws in
            let late = try desk.proxy()
            late.send("GET http")
            #expect(late.answer()?.status == 408)
            #expect(late.isClosed())
            #expect(desk.nothingLeft)
        }
    }

    @Test("a client that reads slowly is waited for, and its response is not kept in memory")
    func backpressure() throws {
        try atDesk { desk throws in
            let megabyte = [UInt8](repeating: 0x61, count: 1 << 20)
            desk.plain.answers { _ in
                Script(
                    parts: [Array("HTTP/1.1 200 OK\r\ncontent-length: \(200 << 20)\r\n\r\n".utf8)]
                        + [[UInt8]](repeating: megabyte, count: 200))
            }
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            // All that the gateway takes while nobody reads, until it has taken nothing for a second and a half.
            var taken: Int64 = 0
            var quiet = 0
            _ = eventually {
                let now = Int64(desk.gateway.session("s-1")?.usage.bytesDown ?? 0)
                (quiet, taken) = now > 0 && now == taken ? (quiet + 1, now) : (0, now)
                usleep(10_000)
                return quiet >= 75
            }
            #expect(quiet >= 75 && taken < 16 << 20, "\(taken) bytes")
            client.close()
        }
    }

    @Test("one tenant's connections are not all that the gateway has descriptors for: another's go on")
    func sharedConnections() throws {
        try atDesk(change: { $0.allConnections = 20 }) { desk throws in
            let other = try desk.secondSession()
            let held = try (0..<15).map { _ in try desk.proxy() }
            for client in held { client.send("GET http://example.com/ HTTP/1.1\r\n") }
            #expect(held.count { !$0.isClosed(within: 500) } == 10)
            func ask(_ connect: () throws -> Client) throws -> Int? {
                let client = try connect()
                client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
                return client.answer()?.status
            }
            #expect(try ask(other.proxy) == 200)
            // The tenant's own upstreams count as well, and what it gives back is there again.
            held[0].send("Host: example.com\r\n\r\n")
            #expect(held[0].answer()?.status == 503)
            for client in held { client.close() }
            #expect(eventually { (try? ask(desk.proxy)) == 200 })
            other.end()
        }
    }

    @Test("a long body of the Messages API keeps no other session waiting while it is read")
    func longBody() throws {
        try atDesk { desk throws in
            desk.secure.answers { _ in .ok("{}", fields: "content-type: application/json\r\n") }
            let other = try desk.secondSession()
            let message = #"{"role":"user","content":[{"type":"text","text":"a"}]},"#
            let body =
                #"{"model":"claude-opus-5","max_tokens":5,"messages":["# + String(repeating: message, count: 90_000)
                + #"{"role":"user","content":"a"}]}"#
            // Measured against itself, and again where the machine was busy: how long it takes is its affair.
            var share = 1.0
            for _ in 0..<3 where share >= 0.5 { share = try longest(beside: body, desk, other) }
            #expect(share < 0.5)
            other.end()
        }
    }

    /// The longest request of another session while a body is read, as a part of the time that that takes.
    private func longest(beside body: String, _ desk: Desk, _ other: Desk.Other) throws -> Double {
        let done = NIOLockedValueBox(false)
        nonisolated(unsafe) let client = try desk.relay()
        let start = monotonicNanoseconds()
        Thread {
            client.send(
                "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            #expect(client.answer(timeout: 120_000)?.status == 200)
            done.withLockedValue { $0 = true }
        }.start()
        var longest: UInt64 = 0
        while !done.withLockedValue({ $0 }) {
            let asked = monotonicNanoseconds()
            let beside = try other.proxy()
            beside.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(beside.answer(timeout: 120_000)?.status == 200)
            longest = max(longest, monotonicNanoseconds() - asked)
        }
        return Double(longest) / Double(monotonicNanoseconds() - start)
    }

    @Test("a client that does not take its answers is not heard; when it does, it gets them all")
    func unread() throws {
        try atDesk { desk throws in
            let request = "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"
            func connect() throws -> Int32 {
                let made = try desk.network.connect("127.0.0.1", 3128)
                var size: Int32 = 64 << 10
                setsockopt(made, SOL_SOCKET, SO_RCVBUF, &size, 4)
                return made
            }
            let deaf = try connect()
            let many = Array(String(repeating: request, count: 1000).utf8)
            var sent = 0
            // Until nothing is taken for a while, as is so once the sockets' own buffers are full.
            while sent < 64 << 20, try poll([(FileDescriptor(rawValue: deaf), .writable)], timeout: 2000)[0] != [] {
                sent += max(0, send(deaf, many, many.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)))
            }
            #expect(sent < 64 << 20)
            Glibc.close(deaf)
            nonisolated(unsafe) let slow = Client(SocketStream(try connect()))
            Thread { for _ in 0..<20 { slow.send(many) } }.start()
            usleep(500_000)
            var statuses = 0
            for _ in 0..<20_000 where slow.answer()?.status == 403 { statuses += 1 }
            #expect(statuses == 20_000)
            slow.close()
        }
    }

    @Test("an upstream that does not answer in time is told as that: 504")
    func silence() throws {
        try atDesk(change: { $0.responseTimeout = .seconds(1) }) { desk throws in
            desk.plain.answers { _ in Script(parts: [Array("HTTP/1.1 200 OK\r\nx-b".utf8)]) }
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            let answer = client.answer()
            #expect(answer?.status == 504)
            #expect(answer?.body.contains("no answer of example.com for 1 s") == true)
        }
    }

    @Test("a body above the limit is refused, by its length or by its bytes")
    func bodies() throws {
        try atDesk(change: { $0.requestBytes = 1000 }) { desk throws in
            let told = try desk.proxy()
            told.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1001\r\n\r\n")
            #expect(told.answer()?.status == 413)
            let chunked = try desk.proxy()
            chunked.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunked.send("3e9\r\n\(String(repeating: "a", count: 1001))\r\n0\r\n\r\n")
            #expect(chunked.answer()?.status == 413)
            #expect(desk.nothingLeft)
        }
    }

    @Test("more requests than the tenant's rate, or the session's, allows are refused", arguments: [true, false])
    func rate(_ isTenants: Bool) throws {
        let policy = Desk.policy.replacing("{\"allow\"", with: "{\"rate\": {\"requests\": \"5/h\"}, \"allow\"")
        try atDesk(policy: isTenants ? Desk.policy : policy, extra: isTenants ? "rates: {acme: 5/h}" : "") {
            desk throws in
            let client = try desk.proxy()
            var statuses: [Int] = []
            for _ in 0..<8 {
                client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
                statuses.append(client.answer()?.status ?? 0)
            }
            #expect(statuses == [200, 200, 200, 200, 200, 429, 429, 429])
        }
    }

    @Test("a session that is refused without end does not fill the log, whatever it asks for")
    func refusals() throws {
        try atDesk(change: { $0.names = 1 }) { desk throws in
            let client = try desk.proxy()
            let request = "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"
            for _ in 0..<20 {
                client.send(String(repeating: request, count: 100))
                for _ in 0..<100 { #expect(client.answer()?.status == 403) }
            }
            #expect(desk.gateway.session("s-1")?.usage.denied == 2000)
            let written = desk.log(atLeast: 600).count
            #expect(written < 1500)
            // Names have a part of the log of their own, also those that are allowed and too many.
            #expect(answer(try desk.network.ask(query("a.example.org"))).code == 0)
            for index in 0..<2000 { _ = try desk.network.ask(query("b\(index).example.org")) }
            #expect(desk.log(atLeast: written + 600).count < written + 1500)
            usleep(300_000)
            client.send(request)
            #expect(client.answer()?.status == 403)
            #expect(eventually { desk.log().contains { $0["why"]?.string?.contains("only counted") == true } })
        }
    }

    private static func journalDirectory() throws -> String {
        let directory = NSTemporaryDirectory() + "carrel-journal-" + UUID().uuidString
        try makeDirectories(directory, mode: 0o700)
        return directory
    }

    @Test("nobody waits for another's body to be put aside, and a request's records keep their order")
    func bodiesApart() throws {
        let directory = try Self.journalDirectory()
        defer { try? removeTree(directory) }
        // Bodies are put aside when the secrets are known: not before the other request is on its way.
        let held = DispatchSemaphore(value: 0)
        let journal = RequestJournal(RequestLog(directory + "/log", bodies: directory + "/bodies")) {
            held.wait()
            return []
        }
        func append(_ phase: RequestEntry.Phase, _ id: String, body: String? = nil) -> EventLoopFuture<Void> {
            var entry = RequestEntry(
                phase: phase, id: id, session: "s", tenant: "acme", method: "POST", host: "example.com", port: 443)
            entry.requestBody = body.map { Array($0.utf8) }
            let written = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
            journal.append(entry, written)
            return written.futureResult
        }
        let large = append(.request, "large", body: String(repeating: "x", count: 1 << 20))
        let itsEnd = append(.response, "large")
        try append(.request, "small").wait()
        held.signal()
        try large.wait()
        try itsEnd.wait()
        journal.close()
        let lines = try readText(directory + "/log").split(separator: "\n")
        let told = try lines.map { line in
            let node = try Node.parse(Array(line.utf8), file: "log")
            return "\(node["event"]?.string ?? "") \(node["id"]?.string ?? "")"
        }
        #expect(told == ["request small", "request large", "response large"])
        #expect(try list(directory + "/bodies").count == 1)
    }

    @Test("a body that cannot be put aside stops its own request, and is told")
    func bodyLost() throws {
        let directory = try Self.journalDirectory()
        defer { try? removeTree(directory) }
        // A file in the directory's place.
        let journal = RequestJournal(RequestLog(directory + "/log", bodies: "/dev/null/bodies")) { [] }
        defer { journal.close() }
        var entry = RequestEntry(
            phase: .request, id: "1", session: "s", tenant: "acme", method: "POST", host: "example.com", port: 443)
        entry.requestBody = [1]
        let lost = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
        journal.append(entry, lost)
        #expect(throws: SystemError.self) { try lost.futureResult.wait() }
        #expect(eventually { journal.failure != nil })
        entry.requestBody = nil
        let written = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
        journal.append(entry, written)
        #expect(throws: Never.self) { try written.futureResult.wait() }
        #expect(eventually { journal.failure == nil })
    }

    @Test("records of one tenant that wait for the disk keep no other tenant's out")
    func shares() throws {
        let directory = try Self.journalDirectory()
        defer { try? removeTree(directory) }
        let journal = RequestJournal(RequestLog(directory + "/log", bodies: directory)) { [] }
        func entry(_ tenant: String) -> RequestEntry {
            RequestEntry(
                phase: .request, id: "1", session: "s", tenant: tenant, method: "GET", host: "example.com", port: 443)
        }
        let many = entry("acme")
        for _ in 0..<200_000 { journal.append(many) }
        let written = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Void.self)
        journal.append(entry("other"), written)
        #expect(throws: Never.self) { try written.futureResult.wait() }
        journal.close()
    }

    @Test("a log that cannot be written stops egress")
    func brokenLog() throws {
        try atDesk { desk throws in
            try? removeTree(desk.gateway.places.requests)
            // A directory in the log's place.
            try makeDirectory(desk.gateway.places.requests)
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 503)
            #expect(desk.upstreamBytes == 0)
            let event = desk.event { if case .decision = $0 { true } else { false } }
            guard case .decision(let decision)? = event else {
                Issue.record("no decision")
                return
            }
            #expect(decision.reason == .log)
            try remove(desk.gateway.places.requests, directory: true)
        }
    }

    @Test("who holds the metrics' connections takes no descriptors from sessions")
    func metricsHeld() throws {
        try atDesk { desk throws in
            try MetricsServer.start(desk.gateway, port: nil)
            let path = desk.gateway.places.directory + "/metrics.sock"
            let held = try (0..<100).map { _ in Client(SocketStream(try connectLocal(to: path).rawValue)) }
            #expect(held.dropFirst(MetricsServer.most).allSatisfy { $0.isClosed() })
            held[0].send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(held[0].answer()?.status == 200)
            for client in held { client.close() }
            // There is room again.
            #expect(
                eventually {
                    guard let made = try? connectLocal(to: path) else { return false }
                    let client = Client(SocketStream(made.rawValue))
                    client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    return client.answer()?.status == 200
                })
        }
    }

    @Test("metrics and health on the host's Unix socket")
    func metrics() throws {
        try atDesk { desk throws in
            try MetricsServer.start(desk.gateway, port: nil)
            let allowed = try desk.proxy()
            allowed.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(allowed.answer()?.status == 200)
            let denied = try desk.proxy()
            denied.send("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            #expect(denied.answer()?.status == 403)
            func get(_ path: String) throws -> Answer? {
                let socket = try connectLocal(to: desk.gateway.places.directory + "/metrics.sock")
                let client = Client(SocketStream(socket.rawValue))
                client.send("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
                return client.answer()
            }
            #expect(try get("/healthz")?.body == "ok\n")
            let text = try get("/metrics")?.body ?? ""
            #expect(text.hasSuffix("# EOF\n"))
            #expect(text.contains("carrel_egress_sessions 1\n"))
            #expect(text.contains("carrel_egress_requests_total{rule=\"plain\"} 1\n"))
            #expect(text.contains("carrel_egress_denials_total{rule=\"403\"} 1\n"))
        }
    }
}
