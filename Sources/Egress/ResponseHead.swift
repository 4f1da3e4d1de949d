import Metering
import NIOCore

/// The head of a response.
struct ResponseHead {
    var status: Int
    var reason: String
    var fields: HeaderFields

    init(status: Int, reason: String? = nil, fields: HeaderFields = HeaderFields()) {
        self.status = status
        self.reason = reason ?? Self.reasons[status] ?? "Status"
        self.fields = fields
    }

    private static let reasons = [
        100: "Continue", 101: "Switching Protocols", 200: "OK", 400: "Bad Request", 402: "Payment Required",
        403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 407: "Proxy Authentication Required",
        408: "Request Timeout", 413: "Content Too Large", 415: "Unsupported Media Type", 417: "Expectation Failed",
        421: "Misdirected Request", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
        500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    ]

    /// How long the body is that follows a response head of an upstream (RFC 9112, section 6.3).
    static func framing(of head: HeadParser.Head, method: String) throws(HTTPRefusal) -> BodyFraming {
        guard let status = Int(head.start.1) else { throw .bad("a status that is no number") }
        let fields = head.fields
        if fields.count(of: "transfer-encoding") > 1 || fields.count(of: "content-length") > 1 {
            throw .bad("a length given twice")
        }
        let coding = fields["transfer-encoding"]
        let length = fields["content-length"]
        if coding != nil, length != nil { throw .bad("Transfer-Encoding beside Content-Length") }
        let known = try length.map(contentLength)
        if method == "HEAD" || status < 200 || status == 204 || status == 304 { return .none }
        if let coding {
            guard coding.lowercased() == "chunked", head.start.0 == "HTTP/1.1" else {
                throw .bad("a transfer coding other than chunked")
            }
            return .chunked
        }
        return known.map { .length($0) } ?? .untilClose
    }

    /// The head as HTTP/1.1 writes it, for a body of this framing.
    func write(into buffer: inout ByteBuffer, framing: BodyFraming, close: Bool) {
        buffer.writeString("HTTP/1.1 \(status) \(reason)\r\n")
        fields.write(into: &buffer)
        switch framing {
        case .none: break
        case .length(let count): buffer.writeString("content-length: \(count)\r\n")
        case .chunked: buffer.writeString("transfer-encoding: chunked\r\n")
        case .untilClose: break
        }
        buffer.writeString(close ? "connection: close\r\n\r\n" : "\r\n")
    }
}

extension HeaderFields {
    func write(into buffer: inout ByteBuffer) {
        for field in list {
            buffer.writeString(field.name)
            buffer.writeStaticString(": ")
            buffer.writeString(field.value)
            buffer.writeStaticString("\r\n")
        }
    }
}

extension ByteBuffer {
    /// Writes bytes as one chunk of a chunked body.
    mutating func writeChunk(_ part: ByteBuffer) {
        writeString(String(part.readableBytes, radix: 16))
        writeStaticString("\r\n")
        writeImmutableBuffer(part)
        writeStaticString("\r\n")
    }
}

/// What a client is told in place of an answer: why, in words, as JSON.
struct Refusal: Sendable {
    var status: Int
    var reason: String
    var fields: [(String, String)] = []
    var body: [UInt8]?

    init(_ status: Int, _ reason: String) {
        self.status = status
        self.reason = reason
    }

    init(_ refusal: HTTPRefusal) {
        self.init(refusal.status, refusal.reason)
        // A session that was stopped for its budget hears it in the words that it was first refused in.
        if refusal.status == BillingError.status {
            (fields, body) = (BillingError.headers, BillingError.body402(reason))
        }
    }

    init(status: Int, reason: String, fields: [(String, String)], body: [UInt8]) {
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body
    }
}
