import Documents
import NIOPosix
import Syscalls
import Testing

@testable import Egress

/// Rows of the attack table about names and addresses.
@Suite("Attacks on names", .serialized)
struct AttackNameTests {
    /// The status that CONNECT to a target is answered with.
    private func connect(_ desk: Desk, _ target: String, host: String? = nil) throws -> Int? {
        let client = try desk.proxy()
        client.send(Array("CONNECT \(target) HTTP/1.1\r\nHost: \(host ?? target)\r\n\r\n".utf8))
        return client.answer(method: "CONNECT")?.status
    }

    @Test(
        "no other name is taken for an allowed one, and none of them is looked up",
        arguments: [
            ("evil-example.com:443", 403), ("example.com.evil.test:443", 403), ("example.org:443", 403),
            ("example.com..:443", 400), ("evil.test\0.example.com:443", 400),
            ("[::ffff:1.2.3.4%x.example.com]:443", 400), ("ex\u{0430}mple.com:443", 400),
            ("xn--exmple-4nf.com:443", 403),
            ("evil.test:443.example.com", 400), ("example.com:22", 403), ("example.com", 400), ("example.com:", 400),
            ("example.com:0443", 400), ("example.com:99999", 400), (".example.com:443", 400),
            ("a@example.com:443", 400),
            ("example.com:443:443", 400), ("EXAMPLE.com.:8443", 403),
        ])
    func names(_ target: String, _ status: Int) throws {
        try atDesk { desk throws in
            #expect(try connect(desk, target) == status)
            #expect(desk.nothingLeft)
        }
    }

    @Test("case and a dot at the end change nothing")
    func canonical() throws {
        try atDesk { desk throws in
            #expect(try connect(desk, "EXAMPLE.com.:443") == 200)
            #expect(try connect(desk, "example.com:443") == 200)
        }
    }

    @Test(
        "an address in any of its forms is refused",
        arguments: [
            "0x7f.1", "2130706433", "127.1", "[::ffff:169.254.169.254]", "0", "169.254.169.254", "127.0.0.1",
            "0177.0.0.1",
            "[::1]", "1.1.1.1",
        ])
    func addresses(_ host: String) throws {
        try atDesk { desk throws in
            #expect(try connect(desk, "\(host):443") == 403)
            let client = try desk.proxy()
            client.send("GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            #expect(client.answer()?.status == 403)
            #expect(desk.nothingLeft)
        }
    }

    @Test(
        "the metadata service has no name and no address", arguments: ["169.254.169.254", "metadata.google.internal"])
    func metadata(_ host: String) throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("GET http://\(host)/latest/meta-data/ HTTP/1.1\r\nHost: \(host)\r\n\r\n")
            #expect(client.answer()?.status == 403)
            #expect(desk.nothingLeft)
        }
    }

    @Test("user information in a URL is refused")
    func userinfo() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("GET http://api.anthropic.com@evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            #expect(client.answer()?.status == 400)
            #expect(desk.nothingLeft)
        }
    }

    @Test("a name that leads to loopback, to a private address, or to both is refused and not dialled")
    func privateAddresses() throws {
        let names = [
            "a.example.org": ["127.0.0.1"], "b.example.org": ["93.184.216.34", "10.0.0.7"],
            "c.example.org": ["169.254.169.254"], "d.example.org": ["::ffff:127.0.0.1"], "e.example.org": ["fd00::1"],
            "f.example.org": ["100.64.0.1"], "g.example.org": ["64:ff9b::a00:1"],
        ]
        try atDesk(names: names) { desk throws in
            for name in names.keys.sorted() {
                #expect(try connect(desk, "\(name):443") == 403, "\(name)")
            }
            #expect(desk.queries == names.keys.sorted())
            #expect(desk.upstreamConnections == 0)
        }
    }

    @Test("names of the host itself are refused unasked", arguments: ["localhost", "x.localhost", "api.localhost"])
    func localNames(_ name: String) throws {
        try atDesk { desk throws in
            #expect(try connect(desk, "\(name):443") == 403)
            #expect(desk.nothingLeft)
        }
    }

    @Test("rebinding: the address that was checked is dialled, once, though the name leads elsewhere by now")
    func rebinding() throws {
        let answers = Answers([["93.184.216.34"], ["127.0.0.1"]])
        try atDesk(answers: answers, internet: true) { desk throws in
            let upstream = try desk.farUpstream(at: "0.0.0.0")
            let client = try desk.tunnel("far.example.org")
            for _ in 0..<2 {
                client.send("GET / HTTP/1.1\r\nHost: far.example.org\r\n\r\n")
                #expect(client.answer()?.status == 200)
            }
            #expect(desk.queries == ["far.example.org"] && upstream.connections == 1)
            #expect(upstream.addresses == ["93.184.216.34"])
            upstream.close()
        }
    }

    @Test("rebinding: what was resolved does not outlive its time, and a later answer is checked as the first was")
    func rebindingLater() throws {
        let answers = Answers([["93.184.216.34"], ["127.0.0.1"]])
        try atDesk(answers: answers, internet: true, change: { $0.resolvedFor = .zero }) { desk throws in
            let upstream = try desk.farUpstream(at: "0.0.0.0")
            let client = try desk.tunnel("far.example.org")
            client.send("GET / HTTP/1.1\r\nHost: far.example.org\r\n\r\n")
            #expect(client.answer()?.status == 403)
            #expect(desk.queries.count == 2 && upstream.connections == 0)
            upstream.close()
        }
    }

    @Test("an upstream at an IPv6 address is dialled there, its address checked as any")
    func addressesOfSix() throws {
        let names = ["far.example.org": ["2606:4700::1111"], "near.example.org": ["2606:4700::1111", "fd00::1"]]
        try atDesk(names: names, internet: true) { desk throws in
            let upstream = try desk.farUpstream(at: "::")
            let client = try desk.tunnel("far.example.org")
            client.send("GET / HTTP/1.1\r\nHost: far.example.org\r\n\r\n")
            #expect(client.answer()?.status == 200)
            #expect(upstream.addresses == ["2606:4700::1111"])
            #expect(try connect(desk, "near.example.org:443") == 403)
            #expect(upstream.connections == 1)
            upstream.close()
        }
    }

    @Test("an address that does not answer, or refuses, does not keep the next one waiting", arguments: [true, false])
    func nextAddress(_ isSilent: Bool) throws {
        let names = ["far.example.org": ["2606:4700::1111", "93.184.216.34"]]
        try atDesk(names: names, internet: true, change: { $0.connectTimeout = .seconds(120) }) { desk throws in
            // A listener whose queue is full drops what comes (listen(2)).
            let internet = try #require(desk.internet)
            let full = isSilent ? try internet.run { try listenTCP(.everyV6, port: 443, backlog: 0) } : nil
            let group = try #require(desk.outside)
            let filler = try full.map { _ in
                try internet.run {
                    try ClientBootstrap(group: group).connect(host: "2606:4700::1111", port: 443).wait()
                }
            }
            let upstream = try desk.farUpstream(at: "0.0.0.0")
            let client = try desk.tunnel("far.example.org")
            client.send("GET / HTTP/1.1\r\nHost: far.example.org\r\n\r\n")
            #expect(client.answer(timeout: 60_000)?.status == 200)
            #expect(upstream.connections == 1)
            try filler?.close().wait()
            full.map { close($0) }
            upstream.close()
        }
    }

    @Test("addresses that may be private are those that gateway.yaml gives, of both families")
    func overrides() throws {
        let text =
            "limits: {tunnelBytes: 2GiB, tunnels: 7}\nresolve: {a.example.com: \"127.0.0.1:1\", b.example.com: \"[::1]:8443\"}"
        let config = try GatewayConfig(Node.parse(Array(text.utf8), file: "gateway.yaml"), file: "gateway.yaml")
        #expect(config.limits.tunnelBytes == 2 << 30 && config.limits.tunnels == 7)
        #expect(config.resolve[try hostName("b.example.com")]?.port == 8443)
        #expect(config.resolve[try hostName("b.example.com")]?.ipAddress == "::1")
        for wrong in ["::1:8443", "[::1]", "[127.0.0.1]:1", "127.0.0.1:0", "127.0.0.1", "[::1%lo]:1", ":1"] {
            let text = "resolve: {a.example.com: \"\(wrong)\"}"
            #expect(throws: Problems.self, "\(wrong)") {
                try GatewayConfig(Node.parse(Array(text.utf8), file: "gateway.yaml"), file: "gateway.yaml")
            }
        }
    }

    @Test("DNS answers for allowed names alone, and asks nobody")
    func dns() throws {
        try atDesk { desk throws in
            let long = (0..<60).map { "l\($0)" }.joined(separator: ".")
            #expect(answer(try desk.network.ask(query("secret.\(long).evil.test"))).code == 3)
            for type: UInt16 in [16, 10, 1, 28, 255, 65] {
                #expect(answer(try desk.network.ask(query("secret.evil.test", type: type))).code == 3)
            }
            #expect(answer(try desk.network.ask(query("x.localhost"))).code == 3)
            #expect(answer(try desk.network.ask(query("example.org"))).code == 3)
            // Of an allowed name there is an address and nothing else.
            for type: UInt16 in [16, 10, 28, 65] {
                let other = answer(try desk.network.ask(query("example.com", type: type)))
                #expect(other.code == 0 && other.address == nil)
            }
            let first = answer(try desk.network.ask(query("example.com")))
            #expect(first.address != nil)
            #expect(answer(try desk.network.ask(query("EXAMPLE.com"))).address == first.address)
            // From whichever address was asked.
            #expect(answer(try desk.network.ask(query("example.com"), at: "8.8.8.8")).address == first.address)
            #expect(desk.nothingLeft)
        }
    }

    @Test("DNS over TCP gives the same, and a message that is none ends the connection")
    func dnsOverTCP() throws {
        try atDesk { desk throws in
            let client = Client(SocketStream(try desk.network.connect("127.0.0.1", 53)))
            let message = query("example.com")
            client.send([0, UInt8(message.count)] + message)
            let size = client.take(2)
            let reply = client.take(Int(size[0]) << 8 | Int(size[1]))
            #expect(answer(reply).address != nil)
            client.send([0, 3, 1, 2, 3])
            #expect(client.isClosed())
        }
    }

    @Test("DNS over TLS and HTTPS have nobody to talk to")
    func dnsElsewhere() throws {
        try atDesk { desk throws in
            #expect(throws: (any Error).self) { try desk.network.connect("1.1.1.1", 853) }
            let client = Client(SocketStream(try desk.network.connect("1.1.1.1", 443)))
            client.send(clientHello(name: "cloudflare-dns.com"))
            #expect(client.isClosed())
            #expect(desk.nothingLeft)
        }
    }

    @Test("names beyond the session's number have no address")
    func nameLimit() throws {
        try atDesk(change: { $0.names = 3 }) { desk throws in
            for index in 0..<3 { #expect(answer(try desk.network.ask(query("n\(index).example.org"))).code == 0) }
            #expect(answer(try desk.network.ask(query("n9.example.org"))).code == 2)
            #expect(answer(try desk.network.ask(query("n1.example.org"))).code == 0)
        }
    }

    @Test("a connection to an address that no name leads to is refused, with the same answer as by name")
    func noProxy() throws {
        try atDesk { desk throws in
            let plain = Client(SocketStream(try desk.network.connect("169.254.169.254", 80)))
            plain.send("GET /latest/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
            #expect(plain.answer()?.status == 403)
            let tls = Client(SocketStream(try desk.network.connect("93.184.216.34", 443)))
            tls.send(clientHello(name: "example.com"))
            #expect(tls.isClosed())
            #expect(desk.nothingLeft)
        }
    }
}
