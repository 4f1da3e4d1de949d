import Testing

@testable import Egress

/// Rows of the attack table about TLS.
@Suite("Attacks on TLS", .serialized)
struct AttackTLSTests {
    @Test("CONNECT to one name with a hello for another: 421 and closed, terminated or spliced")
    func fronting() throws {
        try atDesk { desk throws in
            let terminated = try desk.tunnel("www.example.org", name: "other.example.org", verify: false)
            terminated.send("GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
            #expect(terminated.answer()?.status == 421)
            #expect(terminated.isClosed())

            let spliced = try desk.proxy()
            spliced.send("CONNECT spliced.example.net:443 HTTP/1.1\r\nHost: spliced.example.net\r\n\r\n")
            #expect(spliced.answer(method: "CONNECT")?.status == 200)
            spliced.send(clientHello(name: "www.example.org"))
            #expect(spliced.take(7) == ClientHello.unrecognizedName)
            #expect(spliced.isClosed())
            #expect(desk.nothingLeft)
            #expect(desk.log(atLeast: 2).contains { $0["status"]?.int == 421 })
        }
    }

    @Test("a hello for one name with a Host field for another: 421 and closed")
    func innerHost() throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("www.example.org")
            client.send("GET / HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n")
            #expect(client.answer()?.status == 421)
            #expect(client.isClosed())
            #expect(desk.nothingLeft)
        }
    }

    @Test(
        "a URL for another host inside a tunnel is refused",
        arguments: ["https://evil.test/x", "http://www.example.org/"])
    func absoluteInside(_ target: String) throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("www.example.org")
            client.send("GET \(target) HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
            #expect(client.answer()?.status == 400)
            #expect(desk.nothingLeft)
        }
    }

    @Test("no name in the hello, or a hidden one, to a spliced host: closed")
    func noName() throws {
        try atDesk { desk throws in
            for hello in [clientHello(name: nil), clientHello(name: "spliced.example.net", encrypted: true)] {
                let client = try desk.proxy()
                client.send("CONNECT spliced.example.net:443 HTTP/1.1\r\nHost: spliced.example.net\r\n\r\n")
                #expect(client.answer(method: "CONNECT")?.status == 200)
                client.send(hello)
                #expect(client.isClosed())
            }
            #expect(desk.nothingLeft)
        }
    }

    @Test(
        "first bytes that are no TLS: closed",
        arguments: [
            "SSH-2.0-x\r\n", "GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n", "\u{16}\u{2}\u{1}\u{0}\u{5}aaaaa",
        ])
    func notTLS(_ bytes: String) throws {
        try atDesk { desk throws in
            for host in ["www.example.org", "spliced.example.net"] {
                let client = try desk.proxy()
                client.send("CONNECT \(host):443 HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                #expect(client.answer(method: "CONNECT")?.status == 200)
                client.send(bytes)
                #expect(client.isClosed())
            }
            #expect(desk.nothingLeft)
        }
    }

    @Test("CONNECT through a proxy that runs inside the session: the same answer")
    func relayedConnect() throws {
        try atDesk { desk throws in
            // Whatever stands between, the gateway sees a connection of this session.
            let client = Client(SocketStream(try desk.network.connect("127.0.0.1", 3128)))
            client.send("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\nVia: 1.1 inner\r\n\r\n")
            #expect(client.answer()?.status == 403)
            #expect(desk.nothingLeft)
            let nested = try desk.tunnel("www.example.org")
            nested.send("CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
            #expect(nested.answer()?.status == 400)
            #expect(desk.nothingLeft)
        }
    }

    @Test("an upstream that cannot prove its name gets no byte of the request")
    func upstreamName() throws {
        try atDesk { desk throws in
            // Its certificate is for other names.
            let client = try desk.tunnel("wrong.example.org")
            client.send("GET / HTTP/1.1\r\nHost: wrong.example.org\r\n\r\n")
            #expect(client.answer()?.status == 502)
            #expect(desk.secure.requests.isEmpty)
        }
    }

    @Test("a hello that comes byte by byte, or in several records, is read")
    func slowHello() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("CONNECT spliced.example.net:443 HTTP/1.1\r\nHost: spliced.example.net\r\n\r\n")
            #expect(client.answer(method: "CONNECT")?.status == 200)
            let hello = clientHello(name: "spliced.example.net")
            // Records of seven bytes.
            let body = Array(hello.dropFirst(5))
            var records: [UInt8] = []
            for start in stride(from: 0, to: body.count, by: 7) {
                let part = body[start..<min(start + 7, body.count)]
                records += [22, 3, 1, 0, UInt8(part.count)] + part
            }
            for byte in records { client.send([byte]) }
            #expect(client.take(records.count) == records)
        }
    }

    @Test("tunnels end with their lifetime, their idleness, their bytes, and the session's kill")
    func lifetimes() throws {
        func open(_ desk: Desk) throws -> Client {
            let client = try desk.proxy()
            client.send("CONNECT spliced.example.net:443 HTTP/1.1\r\nHost: spliced.example.net\r\n\r\n")
            #expect(client.answer(method: "CONNECT")?.status == 200)
            let hello = clientHello(name: "spliced.example.net")
            client.send(hello)
            #expect(client.take(hello.count) == hello)
            return client
        }
        try atDesk(change: { $0.tunnelLifetime = .seconds(2) }) { desk throws in
            let client = try open(desk)
            var isOpen = true
            for _ in 0..<30 where isOpen {
                client.send([1])
                isOpen = !client.isClosed(within: 500)
            }
            #expect(!isOpen, "a byte now and then does not keep it")
        }
        try atDesk(change: { $0.tunnelIdle = .seconds(1) }) { desk throws in
            let client = try open(desk)
            #expect(client.isClosed())
        }
        try atDesk(change: { $0.tunnelBytes = 4096 }) { desk throws in
            let client = try open(desk)
            client.send([UInt8](repeating: 1, count: 8192))
            #expect(client.isClosed())
        }
        try atDesk { desk throws in
            let client = try open(desk)
            #expect(desk.gateway.closeMatching(session: "s-9", tenant: nil) == 0)
            #expect(desk.gateway.closeMatching(session: nil, tenant: "other") == 0)
            #expect(!client.isClosed(within: 200))
            #expect(desk.gateway.closeMatching(session: nil, tenant: "acme") == 1)
            #expect(client.isClosed())
        }
        try atDesk { desk throws in
            let client = try open(desk)
            desk.hangUp()
            #expect(client.isClosed())
        }
        try atDesk(change: { $0.tunnels = 2 }) { desk throws in
            let kept = [try open(desk), try open(desk)]
            let third = try desk.proxy()
            third.send("CONNECT spliced.example.net:443 HTTP/1.1\r\nHost: spliced.example.net\r\n\r\n")
            #expect(third.answer(method: "CONNECT")?.status == 200)
            third.send(clientHello(name: "spliced.example.net"))
            #expect(third.isClosed())
            #expect(kept.allSatisfy { !$0.isClosed(within: 200) })
        }
    }
}
