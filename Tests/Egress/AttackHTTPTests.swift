import Foundation
import Testing

@testable import Egress

/// Rows of the attack table about HTTP/1.1.
@Suite("Attacks on HTTP", .serialized)
struct AttackHTTPTests {
    @Test(
        "what readers disagree about is refused, and nothing leaves",
        arguments: [
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4, 4\r\n\r\nabcd",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: +4\r\n\r\nabcd",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0x4\r\n\r\nabcd",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length : 4\r\n\r\nabcd",
            "GET http://example.com/ HTTP/1.1\nHost: example.com\n\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nA: b\n c: d\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nA: b\r\n folded\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nA: b\rc\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nA: \u{00e9}\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\n Host: example.com\r\n\r\n",
            "GET  http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "GET http://example.com/ HTTP/1.1 \r\nHost: example.com\r\n\r\n",
            "GET http://example.com/ HTTP/2.0\r\nHost: example.com\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET http://evil.test/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nHost: evil.test\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nHOST: example.com\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX_Api_Key: a\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent_Length: 4\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nx-api-key: a\r\nX-API-KEY: b\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: host\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX_HTTP_Method: PUT\r\nContent-Length: 0\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX-Original-URL: /admin\r\n\r\n",
            "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nx-rewrite-url: /admin\r\n\r\n",
            "GET http://example.com/#x HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "GET http://example.com/%zz HTTP/1.1\r\nHost: example.com\r\nContent-Length: x\r\n\r\n",
            "GET ftp://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc",
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTrailer: x-api-key\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST http://example.com/ HTTP/1.0\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "\r\nGET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
            "get http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        ])
    func malformed(_ bytes: String) throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send(bytes)
            #expect(client.answer()?.status == 400)
            #expect(client.isClosed())
            #expect(desk.nothingLeft)
        }
    }

    @Test(
        "an error of framing behind a valid head: nothing was dialled for the head",
        arguments: [
            "zz\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\r\n0\r\nx-api-key: a\r\n\r\n", "fffffffff\r\n", "-1\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n",
        ])
    func lateFraming(_ body: String) throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(body)
            #expect(client.answer()?.status == 400)
            #expect(client.isClosed())
            #expect(desk.nothingLeft)
        }
    }

    @Test("an error of framing far behind the head cuts the request that is under way off")
    func latestFraming() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = [UInt8](repeating: 0x61, count: 0x10000)
            for _ in 0..<4 { client.send(Array("10000\r\n".utf8) + chunk + Array("\r\n".utf8)) }
            client.send("zz\r\nGET /second HTTP/1.1\r\nHost: example.com\r\n\r\n")
            let answer = client.answer()
            #expect(answer == nil || answer?.status == 400)
            #expect(client.isClosed())
            #expect(desk.plain.requests.isEmpty)
        }
    }

    @Test("TRACE shows a request's fields, so there is none")
    func trace() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("TRACE http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 405)
            #expect(desk.nothingLeft)
        }
    }

    @Test("an encoded line break is a part of the path")
    func encodedLineBreak() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("GET http://example.com/%0d%0aX:1 HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 200)
            #expect(desk.plain.requests == ["GET /%0d%0aX:1 HTTP/1.1\r\nhost: example.com\r\n\r\n"])
        }
    }

    @Test(
        "a response that readers disagree about is not passed on",
        arguments: [
            "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ])
    func responses(_ response: String) throws {
        try atDesk { desk throws in
            desk.plain.answers { _ in .text(response) }
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.status == 502)
        }
    }

    @Test("a second response that nobody asked for is not given to the next request")
    func responseAhead() throws {
        try atDesk { desk throws in
            desk.plain.answers { _ in
                .text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            }
            let client = try desk.proxy()
            for _ in 0..<3 {
                client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
                #expect(client.answer()?.body == "ok")
            }
            #expect(desk.plain.connections == 3)
        }
    }

    @Test("a redirect is passed on, and not followed")
    func redirect() throws {
        try atDesk { desk throws in
            desk.secure.answers { _ in
                .text("HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n")
            }
            let client = try desk.tunnel("api.anthropic.com")
            client.send("GET /v1/models HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n")
            let answer = client.answer()
            #expect(answer?.status == 302)
            #expect(answer?.field("location") == "https://evil.test/")
            #expect(desk.secure.requests.count == 1)
            #expect(desk.queries.isEmpty)
        }
    }

    @Test("WebSocket where a rule grants it, refused where none does")
    func webSocket() throws {
        try atDesk { desk throws in
            let upgrade =
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            desk.secure.answers { _ in
                .text(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nframes")
            }
            let granted = try desk.tunnel("socket.example.com")
            granted.send("GET /chat HTTP/1.1\r\nHost: socket.example.com\r\n\(upgrade)")
            let answer = granted.answer()
            #expect(answer?.status == 101)
            #expect(String(decoding: granted.take(6), as: UTF8.self) == "frames")
            let refused = try desk.tunnel("www.example.org")
            refused.send("GET /chat HTTP/1.1\r\nHost: www.example.org\r\n\(upgrade)")
            #expect(refused.answer()?.status == 403)
        }
    }

    @Test("what a client says of another host or caller goes no further")
    func forwarded() throws {
        try atDesk { desk throws in
            let fields = [
                "Forwarded: host=b.example.org", "X-Forwarded-Host: b.example.org", "X-Forwarded-For: 127.0.0.1",
                "X-Real-IP: 127.0.0.1", "X_Original_Host: b.example.org", "x-forwarded-anything: 1", "X-Host: b",
                "Via: 1.1 b",
            ]
            let client = try desk.proxy()
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nX-Kept: 1\r\n")
            client.send(fields.map { $0 + "\r\n" }.joined() + "\r\n")
            #expect(client.answer()?.status == 200)
            #expect(desk.plain.requests == ["GET / HTTP/1.1\r\nhost: example.com\r\nx-kept: 1\r\n\r\n"])
        }
    }

    @Test("a connection serves on behind a body of any length, and so does the one to the upstream")
    func longBodies() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            for length in [65_535, 65_536, 70_000, 131_072, 300_000, 1] {
                client.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n")
                client.send("Content-Length: \(length)\r\n\r\n")
                client.send([UInt8](repeating: 0x61, count: length))
                #expect(client.answer()?.status == 200, "\(length)")
            }
            #expect(desk.plain.requests.count == 6 && desk.plain.connections == 1)
        }
    }

    @Test("CONNECT of HTTP/1.0 needs no Host field: Python's clients send none")
    func oldConnect() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("CONNECT example.com:443 HTTP/1.0\r\n\r\n")
            #expect(client.answer(method: "CONNECT")?.status == 200)
            let plain = try desk.proxy()
            plain.send("GET http://example.com/ HTTP/1.0\r\n\r\n")
            #expect(plain.answer()?.status == 400)
        }
    }

    @Test("what comes behind CONNECT at once waits until the name is known, and is no request of its own")
    func earlyBytes() throws {
        try atDesk { desk throws in
            let connect = "CONNECT slow.example.org:443 HTTP/1.1\r\nHost: slow.example.org\r\n\r\n"
            let eager = try desk.proxy()
            eager.send(Array(connect.utf8) + clientHello(name: "slow.example.org"))
            let smuggler = try desk.proxy()
            smuggler.send(connect + "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(eventually { desk.queries.count == 1 })
            usleep(200_000)
            desk.answerSlow(["93.184.216.34"])
            #expect(eager.answer(method: "CONNECT")?.status == 200)
            #expect(smuggler.answer(method: "CONNECT")?.status == 200)
            #expect(smuggler.isClosed())
            #expect(desk.upstreamBytes == 0)
        }
    }

    @Test("a refusal comes whole, also of a request whose body is not read, in TLS and in the clear")
    func wholeRefusals() throws {
        try atDesk { desk throws in
            let inside = try desk.tunnel("www.example.org")
            inside.send("PUT / HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 5\r\n\r\n")
            let answer = inside.answer()
            #expect(answer?.status == 403)
            #expect(answer?.body.hasSuffix("}\n") == true)
            #expect(inside.isClosed())
            let outside = try desk.proxy()
            outside.send("PUT http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\n")
            #expect(outside.answer()?.body.hasSuffix("}\n") == true)
            #expect(outside.isClosed())
        }
    }

    @Test("a refusal of HEAD has no body, which would be read as the next answer")
    func refusedHead() throws {
        try atDesk { desk throws in
            let client = try desk.proxy()
            client.send("HEAD http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            #expect(client.answer(method: "HEAD")?.status == 403)
            client.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(client.answer()?.body == "hello")
        }
    }

    @Test("requests in one write are answered one by one, in order")
    func pipelined() throws {
        try atDesk { desk throws in
            desk.plain.answers { request in .ok(String(request.split(separator: " ")[1])) }
            let client = try desk.proxy()
            client.send(
                (0..<5).map { "GET http://example.com/\($0) HTTP/1.1\r\nHost: example.com\r\n\r\n" }.joined())
            for index in 0..<5 { #expect(client.answer()?.body == "/\(index)") }
        }
    }

    @Test("100-continue, a large body with a length and one in chunks reach the upstream")
    func bodies() throws {
        try atDesk { desk throws in
            desk.plain.answers { request in .ok("\(request.utf8.count)") }
            let client = try desk.proxy()
            client.send(
                "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 300000\r\n"
                    + "Expect: 100-continue\r\n\r\n")
            #expect(client.answer()?.status == 100)
            client.send([UInt8](repeating: 0x62, count: 300_000))
            #expect((client.answer()?.body).flatMap { Int($0) } ?? 0 > 300_000)
            client.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<10 { client.send(Array("7530\r\n".utf8) + [UInt8](repeating: 0x63, count: 30000) + [13, 10]) }
            client.send("0\r\n\r\n")
            #expect((client.answer()?.body).flatMap { Int($0) } ?? 0 > 300_000)
        }
    }
}
