import Foundation
import Glibc
import Syscalls
import SystemPackage
import Testing

@testable import Egress

/// What one session, or one tenant, can have under way towards upstreams: other sessions go on beside it.
@Suite("Bounds towards upstreams", .serialized)
struct UpstreamBoundsTests {
    private func connect(_ client: Client, _ host: String) {
        client.send("CONNECT \(host):443 HTTP/1.1\r\nHost: \(host)\r\n\r\n")
    }

    @Test("names that nobody answers for have some of the resolver's threads, not all; each is asked for once")
    func names() throws {
        try atDesk(names: ["quick.example.org": ["93.184.216.34"]]) { desk throws in
            let other = try desk.secondSession()
            var waiting: [Client] = []
            for index in 0..<20 {
                for _ in 0..<2 {
                    waiting.append(try desk.proxy())
                    connect(waiting[waiting.count - 1], "slow\(index).example.org")
                }
            }
            #expect(eventually { desk.queries.count >= 4 })
            let quick = try other.proxy()
            connect(quick, "quick.example.org")
            #expect(quick.answer(method: "CONNECT")?.status == 200)
            // By now all of the others have been read, too.
            usleep(300_000)
            #expect(desk.queries.filter { $0.hasPrefix("slow") }.count == 4)
            #expect(Set(desk.queries).count == desk.queries.count)
            // One by one they get their turn.
            for _ in 0..<20 {
                desk.answerSlow(["93.184.216.34"])
                usleep(20_000)
            }
            #expect(waiting.allSatisfy { $0.answer(method: "CONNECT")?.status == 200 })
            #expect(desk.queries.filter { $0.hasPrefix("slow") }.count == 20)
            other.end()
        }
    }

    /// A socket of the gateway's network at which connections stand and nobody answers.
    private func silence(_ desk: Desk, port: UInt16) throws -> SystemPackage.FileDescriptor {
        let internet = try #require(desk.internet)
        return try internet.run { try listenTCP(.everyV4, port: port) }
    }

    /// The connections that stand there.
    private func accepted(_ listener: SystemPackage.FileDescriptor) throws -> [Int32] {
        var found: [Int32] = []
        while try poll([(listener, .readable)], timeout: 500)[0] != [] {
            found.append(try acceptConnection(listener, nonBlocking: false).rawValue)
        }
        return found
    }

    @Test("connections that are being made are counted, also when whoever wanted them is gone")
    func dials() throws {
        try atDesk(
            names: ["silent.example.org": ["93.184.216.34"]], internet: true,
            change: {
                $0.connections = 8
                $0.connectTimeout = .seconds(120)
            }
        ) { desk throws in
            let listener = try silence(desk, port: 443)
            defer { close(listener) }
            for index in 0..<20 {
                let client = try desk.tunnel("silent.example.org")
                client.send("GET / HTTP/1.1\r\nHost: silent.example.org\r\n\r\n")
                #expect(eventually { desk.gateway.session("s-1")?.usage.requests ?? 0 > index })
                (client.stream as? TLSStream)?.cut()
                #expect(eventually { desk.gateway.session("s-1")?.connections == 0 })
            }
            let found = try accepted(listener)
            #expect((1...8).contains(found.count), "\(found.count) connections")
            let last = try desk.tunnel("silent.example.org")
            last.send("GET / HTTP/1.1\r\nHost: silent.example.org\r\n\r\n")
            #expect(last.answer()?.status == 503)
            found.forEach { Glibc.close($0) }
        }
    }

    @Test("a connection that stands when the session is over is closed at once")
    func late() throws {
        let policy = #"{"allow": [{"host": "slow.example.org", "scheme": "http", "paths": ["/**"]}]}"#
        try atDesk(policy: policy, internet: true) { desk throws in
            let listener = try silence(desk, port: 80)
            defer { close(listener) }
            let client = try desk.proxy()
            client.send("GET http://slow.example.org/ HTTP/1.1\r\nHost: slow.example.org\r\n\r\n")
            #expect(eventually { !desk.queries.isEmpty })
            desk.hangUp()
            #expect(client.isClosed())
            desk.answerSlow(["93.184.216.34"])
            let found = try accepted(listener)
            #expect(found.count == 1)
            for descriptor in found {
                #expect(SocketStream(descriptor).receive(timeout: 5000) == nil)
            }
        }
    }

    @Test("a client whose tunnel's upstream is still being dialled is closed with what the session has open")
    func dialledTunnel() throws {
        let policy = #"{"allow": [{"host": "slow.example.net", "tls": "splice"}]}"#
        try atDesk(policy: policy, internet: true) { desk throws in
            let listener = try silence(desk, port: 443)
            defer { close(listener) }
            // By an address of the session's own, that nobody resolves before the hello.
            let address = try #require(answer(try desk.network.ask(query("slow.example.net"))).address)
            let client = Client(SocketStream(try desk.network.connect(address, 443)))
            client.send(clientHello(name: "slow.example.net"))
            #expect(eventually { !desk.queries.isEmpty })
            #expect(desk.gateway.closeMatching(session: nil, tenant: nil) == 1)
            #expect(client.isClosed())
            desk.answerSlow(["93.184.216.34"])
            for descriptor in try accepted(listener) {
                #expect(SocketStream(descriptor).receive(timeout: 5000) == nil)
            }
        }
    }

    @Test("unused connections to upstreams have an end, however many hosts a rule means")
    func unused() throws {
        let policy = #"{"allow": [{"host": "*.example.org", "scheme": "http", "paths": ["/**"]}]}"#
        let hosts = (0..<300).map { "h\($0).example.org" }
        let names = Dictionary(uniqueKeysWithValues: hosts.map { ($0, ["93.184.216.34"]) })
        try atDesk(policy: policy, names: names, internet: true) { desk throws in
            let (internet, outside) = (try #require(desk.internet), try #require(desk.outside))
            let upstream = try internet.run { try RecordingUpstream(at: "0.0.0.0", port: 80, on: outside) }
            defer { upstream.close() }
            let client = try desk.proxy()
            for host in hosts + hosts.suffix(3) + hosts.prefix(3) {
                client.send("GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                #expect(client.answer()?.status == 200)
            }
            // The first were kept and are used again.
            #expect(upstream.connections == 303 && upstream.requests.count == 306)
            let session = try #require(desk.gateway.session("s-1"))
            #expect(try session.loop.submit { session.pool.unused }.wait() == 256)
        }
    }
}
