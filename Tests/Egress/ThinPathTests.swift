import Testing

@testable import Egress

@Suite("Ways through the gateway", .serialized)
struct ThinPathTests {
    @Test("a plain request goes through the proxy, rebuilt")
    func plain() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("GET http://example.com/a?b=c HTTP/1.1\r\nHost: example.com\r\nCookie: x=y\r\nX-Own: 1\r\n\r\n")
            let answer = client.answer()
            #expect(answer?.status == 200)
            #expect(answer?.body == "hello")
            #expect(desk.plain.requests == ["GET /a?b=c HTTP/1.1\r\nhost: example.com\r\nx-own: 1\r\n\r\n"])
            client.send("GET http://example.com/second HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.body == "hello")
            #expect(desk.plain.connections == 1)
        }
    }

    @Test("CONNECT to a spliced host passes bytes on once the hello names it")
    func splice() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("CONNECT spliced.example.net:443 HTTP/1.1\r\nHost: spliced.example.net\r\n\r\n")
            #expect(client.answer(method: "CONNECT")?.status == 200)
            let hello = clientHello(name: "spliced.example.net")
            client.send(hello)
            #expect(client.take(hello.count) == hello)
            #expect(desk.echo.connections == 1)
        }
    }

    @Test("terminated TLS: the credential is written, the client's own are removed")
    func terminated() throws {
        try atDesk { desk throws in
            let client = try desk.tunnel("api.anthropic.com")
            client.send(
                "GET /v1/models HTTP/1.1\r\nHost: api.anthropic.com\r\nx-api-key: \(desk.dummies["anthropic"]!)\r\n\r\n"
            )
            #expect(client.answer()?.status == 200)
            let request = desk.secure.requests.first ?? ""
            #expect(request.contains("x-api-key: \(Desk.secret)\r\n"))
            #expect(!request.contains(desk.dummies["anthropic"]!))
        }
    }

    @Test("a client without a proxy: DNS gives an address, the address leads to the name")
    func transparent() throws {
        try atDesk { desk throws in
            let answered = answer(try desk.network.ask(query("example.com")))
            #expect(answered.code == 0)
            let address = try #require(answered.address)
            #expect(address.hasPrefix("198.18.") || address.hasPrefix("198.19."))
            let client = Client(SocketStream(try desk.network.connect(address, 80)))
            client.send("GET /t HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 200)
            #expect(desk.plain.requests.count == 1)
            #expect(desk.queries.isEmpty)
        }
    }

    @Test("transparent TLS is terminated for the name of its address")
    func transparentTLS() throws {
        try atDesk { desk throws in
            let address = try #require(answer(try desk.network.ask(query("www.example.org"))).address)
            let client = Client(
                try TLSStream(try desk.network.connect(address, 443), name: "www.example.org", trust: desk.trust))
            client.send("GET /x HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
            #expect(client.answer()?.status == 200)
            #expect(desk.secure.requests.first?.hasPrefix("GET /x HTTP/1.1\r\nhost: www.example.org\r\n") == true)
        }
    }

    @Test("the relay leads to the API")
    func relay() throws {
        try atDesk { desk throws in
            let client = try desk.relay()
            client.send("GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:8787\r\n\r\n")
            #expect(client.answer()?.status == 200)
            #expect(desk.secure.requests.first?.contains("host: api.anthropic.com\r\n") == true)
        }
    }
}

/// A hello of TLS 1.2 with a name in it, or none.
func clientHello(name: String?, encrypted: Bool = false) -> [UInt8] {
    func u16(_ value: Int) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
    var extensions: [UInt8] = []
    if let name {
        let text = Array(name.utf8)
        let entry = [0] + u16(text.count) + text
        extensions += u16(0) + u16(entry.count + 2) + u16(entry.count) + entry
    }
    if encrypted { extensions += u16(0xFE0D) + u16(3) + [1, 2, 3] }
    var body: [UInt8] = [3, 3] + [UInt8](repeating: 7, count: 32) + [0]
    body += u16(2) + [0x13, 0x01] + [1, 0]
    body += u16(extensions.count) + extensions
    let handshake: [UInt8] = [1, 0] + u16(body.count) + body
    return [22, 3, 1] + u16(handshake.count) + handshake
}
