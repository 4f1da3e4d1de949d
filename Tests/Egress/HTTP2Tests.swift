import NIOCore
import NIOHPACK
import Testing

@testable import Egress

/// A client of HTTP/2 that writes whatever frames a test wants.
private final class FrameClient {
    let client: Client
    private var buffer: [UInt8] = []
    private var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
    private(set) var goAway: UInt32?

    struct Frame {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]
    }

    init(_ client: Client) {
        self.client = client
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        send(type: 4, flags: 0, stream: 0, [])
    }

    func send(type: UInt8, flags: UInt8, stream: UInt32, _ payload: [UInt8]) {
        client.send(frame(type, flags, stream, payload))
    }

    func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        var bytes = [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
        for shift in [24, 16, 8, 0] { bytes.append(UInt8(stream >> UInt32(shift) & 255)) }
        return bytes + payload
    }

    /// Fields as literals that are not indexed (RFC 7541, section 6.2.2).
    func block(_ fields: [(String, String)]) -> [UInt8] {
        var block: [UInt8] = []
        for (name, value) in fields {
            block += [0, UInt8(name.utf8.count)]
            block += Array(name.utf8)
            block.append(UInt8(value.utf8.count))
            block += Array(value.utf8)
        }
        return block
    }

    func get(_ stream: UInt32, _ authority: String, path: String = "/", _ more: [(String, String)] = []) {
        let fields = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", path)] + more
        send(type: 1, flags: 5, stream: stream, block(fields))
    }

    func next(timeout: Int = 15_000) -> Frame? {
        while true {
            if buffer.count >= 9 {
                let length = Int(buffer[0]) << 16 | Int(buffer[1]) << 8 | Int(buffer[2])
                if buffer.count >= 9 + length {
                    let stream = buffer[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                    let frame = Frame(
                        type: buffer[3], flags: buffer[4], stream: stream, payload: Array(buffer[9..<9 + length]))
                    buffer.removeFirst(9 + length)
                    return frame
                }
            }
            guard let bytes = client.stream.receive(timeout: timeout), !bytes.isEmpty else { return nil }
            buffer += bytes
        }
    }

    /// What a stream is answered with: its status and body; -1 for a reset, `nil` for nothing.
    func answer(_ stream: UInt32) -> (status: Int, body: String)? {
        var status = 0
        var body: [UInt8] = []
        while let frame = next() {
            switch frame.type {
            case 1:
                var payload = ByteBuffer(bytes: frame.payload)
                guard let headers = try? decoder.decodeHeaders(from: &payload) else { return nil }
                guard frame.stream == stream else { continue }
                status = headers.first(name: ":status").flatMap { Int($0) } ?? 0
                if frame.flags & 1 != 0 { return (status, "") }
            case 0 where frame.stream == stream:
                body += frame.payload
                if frame.flags & 1 != 0 { return (status, String(decoding: body, as: UTF8.self)) }
            case 3 where frame.stream == stream: return (-1, "")
            case 7: goAway = frame.payload[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            default: break
            }
        }
        return nil
    }

    /// Whether the connection ends.
    func isClosed() -> Bool {
        for _ in 0..<1000 {
            guard let bytes = client.stream.receive(timeout: 15_000) else { return true }
            if bytes.isEmpty { return false }
        }
        return false
    }
}

/// Rows of the attack table about HTTP/2.
@Suite("HTTP/2", .serialized)
struct HTTP2Tests {
    private func connect(_ desk: Desk, _ host: String = "www.example.org") throws -> FrameClient {
        let client = try desk.tunnel(host, protocols: ["h2"])
        let stream = try #require(client.stream as? TLSStream)
        #expect(stream.handshake())
        #expect(stream.negotiated == "h2")
        return FrameClient(client)
    }

    @Test("requests on streams reach the upstream as HTTP/1.1, with the credential")
    func requests() throws {
        try atDesk { desk throws in
            let client = try connect(desk, "api.anthropic.com")
            client.get(1, "api.anthropic.com", path: "/v1/models", [("x-api-key", "theirs")])
            #expect(client.answer(1)?.status == 200)
            client.get(3, "api.anthropic.com", path: "/v1/models?limit=1")
            #expect(client.answer(3)?.body == "hello")
            #expect(desk.secure.requests.count == 2)
            #expect(desk.secure.requests.allSatisfy { $0.contains("x-api-key: \(Desk.secret)\r\n") })
            #expect(desk.secure.connections == 1)
        }
    }

    @Test("a second stream for another host: 421")
    func coalescing() throws {
        try atDesk { desk throws in
            let client = try connect(desk)
            client.get(1, "www.example.org")
            #expect(client.answer(1)?.status == 200)
            client.get(3, "api.anthropic.com", path: "/v1/models")
            #expect(client.answer(3)?.status == 421)
            #expect(desk.secure.requests.count == 1)
        }
    }

    @Test("line breaks in a path or a value: the stream is reset")
    func lineBreaks() throws {
        try atDesk { desk throws in
            let client = try connect(desk)
            client.get(1, "www.example.org", [("x-a", "b\r\nx-injected: 1")])
            #expect(client.answer(1)?.status == -1)
            let other = try connect(desk)
            other.get(1, "www.example.org", path: "/a HTTP/1.1\r\nx: y")
            #expect(other.answer(1)?.status == -1)
            #expect(desk.nothingLeft)
        }
    }

    @Test("a refused path, and a response without a body")
    func refusals() throws {
        try atDesk { desk throws in
            let client = try connect(desk, "api.anthropic.com")
            client.get(1, "api.anthropic.com", path: "/v1/files")
            #expect(client.answer(1)?.status == 403)
            desk.secure.answers { _ in .text("HTTP/1.1 204 No Content\r\n\r\n") }
            client.get(3, "api.anthropic.com", path: "/v1/models")
            #expect(client.answer(3)?.status == 204)
        }
    }

    @Test("two Host fields and no :authority: 400")
    func hosts() throws {
        try atDesk { desk throws in
            let client = try connect(desk)
            let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/")]
            let hosts = [("host", "www.example.org"), ("host", "secure.example.org")]
            client.send(type: 1, flags: 5, stream: 1, client.block(fields + hosts))
            #expect(client.answer(1)?.status == 400)
            #expect(desk.nothingLeft)
        }
    }

    @Test("a refusal is told whole to a client that has not sent its body yet")
    func refusalBeforeTheBody() throws {
        try atDesk { desk throws in
            let client = try connect(desk, "api.anthropic.com")
            let fields = [
                (":method", "POST"), (":scheme", "https"), (":authority", "api.anthropic.com"), (":path", "/v1/files"),
            ]
            client.send(type: 1, flags: 4, stream: 1, client.block(fields))
            let answer = client.answer(1)
            #expect(answer?.status == 403)
            #expect(answer?.body.contains("no path /v1/files") == true)
            // And then: the body is not wanted.
            #expect(client.answer(1)?.status == -1)
        }
    }

    @Test("answers that nobody takes are no more than a session may have requests, and are thrown away in time")
    func stalled() throws {
        try atDesk(change: {
            $0.requests = 8
            $0.keepAlive = .seconds(1)
        }) { desk throws in
            let client = try connect(desk)
            // SETTINGS_INITIAL_WINDOW_SIZE 0: no byte of a body is wanted.
            client.send(type: 4, flags: 0, stream: 0, [0, 4, 0, 0, 0, 0])
            let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "www.example.org"), (":path", "/")]
            let streams = stride(from: UInt32(1), through: 39, by: 2)
            client.client.send(streams.flatMap { client.frame(1, 5, $0, client.block(fields)) })
            #expect(client.answer(39)?.status == -1)
            #expect(eventually { desk.secure.requests.count == 8 })
            #expect(client.answer(15)?.status == -1)
            #expect(client.isClosed())
            #expect(eventually { desk.gateway.session("s-1")?.connections == 0 })
        }
    }

    @Test("floods end the connection", arguments: ["reset", "continuation", "settings", "ping"])
    func floods(_ kind: String) throws {
        try atDesk { desk throws in
            let client = try connect(desk)
            var bytes: [UInt8] = []
            let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "www.example.org"), (":path", "/")]
            switch kind {
            case "reset":
                for index in 0..<UInt32(5000) {
                    bytes += client.frame(1, 5, 1 + 2 * index, client.block(fields))
                    bytes += client.frame(3, 0, 1 + 2 * index, [0, 0, 0, 8])
                }
            case "continuation":
                bytes += client.frame(1, 1, 1, client.block(fields))
                for _ in 0..<20000 { bytes += client.frame(9, 0, 1, client.block([("x", "y")])) }
            case "settings": for _ in 0..<20000 { bytes += client.frame(4, 0, 0, [0, 3, 0, 0, 0, 100]) }
            default: for _ in 0..<20000 { bytes += client.frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]) }
            }
            client.client.send(bytes)
            #expect(client.isClosed())
            #expect(desk.secure.connections <= 256)
            // Others are served as before.
            let other = try desk.proxy()
            other.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
            #expect(other.answer()?.status == 200)
        }
    }
}
