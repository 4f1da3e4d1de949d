import EgressPolicy
import NIOCore
import Testing

@testable import Egress

@Suite("Parsers against arbitrary bytes")
struct ParserFuzzTests {
    private static let seeds = [
        "GET http://example.com/a?b HTTP/1.1\r\nHost: example.com\r\nX-A: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello",
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    ]

    private struct Reading: Equatable {
        var requests: [String] = []
        var bodies: [UInt8] = []
        var refusal: HTTPRefusal?
    }

    /// What the gateway makes of bytes that come in pieces.
    private func read(_ bytes: [UInt8], pieces: [Int]) -> Reading {
        var reading = Reading()
        var buffer = ByteBuffer()
        var parser = HeadParser(.request)
        var body: BodyReader?
        var start = 0
        do throws(HTTPRefusal) {
            for piece in pieces + [bytes.count] {
                let end = min(bytes.count, max(start, piece))
                buffer.writeBytes(bytes[start..<end])
                start = end
                loop: while true {
                    if body != nil {
                        guard let part = try body?.next(&buffer) else { break loop }
                        switch part {
                        case .bytes(let part): reading.bodies += part.readableBytesView
                        case .end: body = nil
                        }
                    } else {
                        if buffer.readableBytes == 0 { break loop }
                        guard let head = try parser.next(&buffer) else { break loop }
                        let request = try RequestHead(head)
                        reading.requests.append("\(request.method) \(request.target)")
                        body = BodyReader(request.framing, strict: true)
                    }
                }
            }
        } catch {
            reading.refusal = error
        }
        return reading
    }

    @Test("mutated requests: never a crash, and the same reading however the bytes are cut")
    func mutations() {
        var random = SystemRandomNumberGenerator()
        let interesting: [UInt8] = [0, 9, 10, 13, 32, 58, 44, 59, 127, 128, 255, 48, 37, 64, 91, 93]
        for round in 0..<20000 {
            var bytes = Array(Self.seeds[round % Self.seeds.count].utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = interesting.randomElement(using: &random)!
                case 1: bytes.insert(interesting.randomElement(using: &random)!, at: at)
                case 2: bytes.remove(at: at)
                default:
                    let end = min(bytes.count, at + Int.random(in: 1...20, using: &random))
                    bytes.insert(contentsOf: Array(bytes[at..<end]), at: at)
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let whole = read(bytes, pieces: [])
            let bytewise = read(bytes, pieces: Array(0..<bytes.count))
            #expect(whole.requests == bytewise.requests && whole.bodies == bytewise.bodies)
            #expect((whole.refusal == nil) == (bytewise.refusal == nil), "\(bytes)")
        }
    }

    @Test("no mutation of one request is read as two with the second hidden in the first's body")
    func neverTwo() {
        // A body that is itself a request: only a reader of another length would see it.
        let inner = "GET /hidden HTTP/1.1\r\nHost: example.com\r\n\r\n"
        let framings = [
            "Content-Length: \(inner.utf8.count)", "content-length:\(inner.utf8.count)",
            "Content-Length: \(inner.utf8.count)\r\nContent-Length: 0", "Content-Length: 0, \(inner.utf8.count)",
            "Content-Length: \(inner.utf8.count)\r\nTransfer-Encoding: chunked",
            "Content-Length: \(inner.utf8.count)\r\nTransfer-Encoding: identity",
            "Content-Length: \(inner.utf8.count)\r\nX: \r\n\tTransfer-Encoding: chunked",
            "Content-Length : \(inner.utf8.count)", "Content-Length: 0\(inner.utf8.count)x",
            "Content_Length: \(inner.utf8.count)\r\nContent-Length: 0", "Transfer-Encoding:\u{b}chunked",
        ]
        for framing in framings {
            let text = "POST / HTTP/1.1\r\nHost: example.com\r\n\(framing)\r\n\r\n\(inner)"
            let reading = read(Array(text.utf8), pieces: [])
            let isHidden = reading.requests.count > 1
            #expect(!isHidden || reading.refusal != nil, "\(framing)")
        }
    }

    @Test("responses, hellos and DNS messages of arbitrary bytes: never a crash")
    func others() {
        var random = SystemRandomNumberGenerator()
        let hello = clientHello(name: "www.example.org")
        let question = query("www.example.org")
        let response = Array(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n".utf8)
        for _ in 0..<20000 {
            var bytes = [hello, question, response].randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            _ = ClientHello.read(bytes)
            if case .question(let question) = DNSQuestion.read(bytes) { _ = question.response(.noSuchName) }
            var buffer = ByteBuffer(bytes: bytes)
            var parser = HeadParser(.response)
            if let head = try? parser.next(&buffer), let framing = try? ResponseHead.framing(of: head, method: "GET") {
                var body = BodyReader(framing, strict: false)
                while let part = try? body.next(&buffer), case .bytes = part {}
            }
        }
        #expect(ClientHello.read(hello) != .notTLS)
    }

    @Test("hosts in Host fields and targets")
    func authorities() throws {
        #expect(try Authority("Example.COM.:8443").host.text == "example.com")
        #expect(try Authority("example.com").port == nil)
        for (text, status) in [
            ("a b", 400), ("a@b.com", 400), ("1.2.3.4", 403), ("[::1]:443", 403), ("[::1", 400), ("a.com:0", 400),
            ("a.com:65536", 400), ("", 400), ("a..com", 400), ("-a.com", 400), ("a_b.com", 400),
        ] {
            let refusal = #expect(throws: HTTPRefusal.self) { try Authority(text) }
            #expect(refusal?.status == status, "\(text)")
        }
    }

    @Test("the commands of a push")
    func push() {
        let policy = PushPolicy(branches: ["carrel/*"])
        let zero = String(repeating: "0", count: 40)
        let one = String(repeating: "1", count: 40)
        func line(_ text: String) -> [UInt8] {
            let length = String(text.utf8.count + 4, radix: 16)
            return Array((String(repeating: "0", count: 4 - length.utf8.count) + length + text).utf8)
        }
        func refusal(_ lines: String...) -> String? {
            refusalOfPush(lines.flatMap { line($0) } + Array("0000PACK".utf8), policy)
        }
        #expect(refusal("\(zero) \(one) refs/heads/carrel/x\0report-status\n") == nil)
        #expect(refusal("\(zero) \(one) refs/heads/main\0report-status\n") != nil)
        #expect(refusal("\(zero) \(one) refs/heads/carrel/x\0 a", "\(zero) \(one) refs/tags/v1") != nil)
        #expect(refusal("\(one) \(zero) refs/heads/carrel/x\0") != nil)
        #expect(refusal("\(one) \(one) refs/heads/carrel/x\0") != nil)
        #expect(refusal("push-cert\0 a") != nil)
        #expect(refusalOfPush(Array("zzzz".utf8), policy) != nil)
        #expect(refusalOfPush(Array("00ff00".utf8), policy) != nil)
        #expect(refusalOfPush(Array("0000".utf8), policy) == nil)
        // They are read while other sessions wait.
        func many(_ count: Int) -> [UInt8] {
            (0..<count).flatMap { line("\(zero) \(one) refs/heads/carrel/\($0)") } + Array("0000PACK".utf8)
        }
        #expect(refusalOfPush(many(5000), policy) == nil)
        #expect(refusalOfPush(many(12_000), policy)?.contains("commands of more than") == true)
    }
}
