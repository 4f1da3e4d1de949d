import EgressPolicy
import NIOCore
import NIOHPACK
import NIOHTTP2

/// Has a connection speak HTTP/2 from here on: bounded streams, headers and windows; floods of frames end it
/// (NIOHTTP2's limits: CVE-2023-44487, CVE-2024-27316 and their like).
func addHTTP2(
    to channel: any Channel, _ session: EgressSession, host: HostName, port: UInt16, misdirected: String?,
    after handler: TLSEnd
) throws {
    var connection = NIOHTTP2Handler.ConnectionConfiguration()
    connection.initialSettings = [
        HTTP2Setting(parameter: .maxConcurrentStreams, value: 64),
        HTTP2Setting(parameter: .maxHeaderListSize, value: 64 << 10),
        HTTP2Setting(parameter: .initialWindowSize, value: 256 << 10),
    ]
    connection.maximumBufferedControlFrames = 1000
    connection.targetWindowSize = 256 << 10
    var stream = NIOHTTP2Handler.StreamConfiguration()
    stream.targetWindowSize = 256 << 10
    stream.outboundBufferSizeHighWatermark = 256 << 10
    stream.outboundBufferSizeLowWatermark = 64 << 10
    let member = HTTP2Connection(session, channel)
    let box = NIOLoopBound(member, eventLoop: channel.eventLoop)
    _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
        mode: .server, connectionConfiguration: connection, streamConfiguration: stream
    ) { stream in
        stream.eventLoop.makeCompletedFuture {
            try stream.pipeline.syncOperations.addHandler(
                HTTP2Stream(session, host: host, port: port, misdirected: misdirected, of: box.value))
        }
    }
    try channel.pipeline.syncOperations.addHandler(member)
    // The windows bound what is read: the connection itself reads on for its control frames.
    _ = channel.setOption(.autoRead, value: true)
}

/// A connection that carries streams: closed when none has been there for long, and by what is wrong with it as a whole.
final class HTTP2Connection: ChannelInboundHandler, SessionMember {
    typealias InboundIn = HTTP2Frame

    private let session: EgressSession
    private weak var channel: (any Channel)?
    var streams = 0
    var lastUsed = NIODeadline.now()

    init(_ session: EgressSession, _ channel: any Channel) {
        self.session = session
        self.channel = channel
        session.join(self)
        channel.closeFuture.assumeIsolated().whenComplete { _ in self.session.leave(self) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What is wrong with one stream ends that stream.
        if !(error is NIOHTTP2Errors.StreamError) { context.close(promise: nil) }
    }

    func sweep(_ now: NIODeadline) {
        if streams == 0, lastUsed + session.gateway.limits.keepAlive < now || session.gateway.isDraining { closeNow() }
    }

    func closeNow() { channel?.close(promise: nil) }
}

/// One stream: one request, whose `:authority` is held against the connection's own name.
///
/// A client that opens no window leaves the answer here, whose exchange is over: so open streams are counted, not only the
/// requests under way, and one whose answer is not taken is closed in time.
final class HTTP2Stream: ChannelInboundHandler, ExchangeClient, SessionMember {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let session: EgressSession
    private let host: HostName
    private let port: UInt16
    private let misdirected: String?
    private let connection: HTTP2Connection
    private var context: ChannelHandlerContext?
    private var exchange: Exchange?
    private var hasBegun = false
    private var isOver = false
    private var answered = NIODeadline.now()
    private var pending: [ByteBuffer] = []
    private var pendingEnd = false
    private var heldHead: HPACKHeaders?

    init(
        _ session: EgressSession, host: HostName, port: UInt16, misdirected: String?, of connection: HTTP2Connection
    ) {
        self.session = session
        self.host = host
        self.port = port
        self.misdirected = misdirected
        self.connection = connection
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session.streams += 1
        connection.streams += 1
        _ = context.channel.setOption(.autoRead, value: false)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        session.leave(self)
        session.streams -= 1
        connection.streams -= 1
        connection.lastUsed = .now()
    }

    func channelActive(context: ChannelHandlerContext) { context.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let headers):
            // Fields behind the body are trailers, which no request has here.
            guard !hasBegun else { return fail(.bad("trailers")) }
            hasBegun = true
            pendingEnd = headers.endStream
            do throws(HTTPRefusal) {
                try begin(headers.headers, isWhole: headers.endStream)
            } catch {
                fail(error)
            }
        case .data(let data):
            if case .byteBuffer(let part) = data.data, part.readableBytes > 0 { pending.append(part) }
            if data.endStream { pendingEnd = true }
            feed()
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { readIfWanted() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { exchange?.clientWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isOver = true
        exchange?.clientGone()
        exchange = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func readIfWanted() {
        guard let context, !isOver else { return }
        if let exchange, exchange.requestWasRead || !exchange.wantsRequestBytes { return }
        context.read()
    }

    private func feed() {
        while let exchange, exchange.wantsRequestBytes, !pending.isEmpty { exchange.requestBody(pending.removeFirst()) }
        if pendingEnd, pending.isEmpty, let exchange, !exchange.requestWasRead {
            exchange.requestWasRead = true
            exchange.requestEnd()
        }
    }

    func resumeRequest() {
        feed()
        readIfWanted()
    }

    // MARK: The request

    private func begin(_ headers: HPACKHeaders, isWhole: Bool) throws(HTTPRefusal) {
        let most = session.gateway.limits.requests
        guard session.streams <= most else { return reset("more than \(most) streams at once", .refusedStream) }
        var pseudo: [String: String] = [:]
        var fields = HeaderFields()
        for (name, value, _) in headers {
            // What HTTP/1.1 could not carry would be something else there (RFC 9113, section 8.2.1).
            guard value.utf8.allSatisfy(isValue), name.utf8.allSatisfy({ isToken($0) || $0 == 0x3A }) else {
                return reset("a field with control characters or bytes above 0x7E")
            }
            if name.utf8.first == 0x3A {
                pseudo[name] = value
            } else {
                if fields.list.count == 128 { throw HTTPRefusal(431, "more than 128 fields") }
                fields.append(name, value)
            }
        }
        guard let method = pseudo[":method"], let path = pseudo[":path"], pseudo[":scheme"] == "https",
            path.utf8.allSatisfy({ $0 > 0x20 }), method.utf8.allSatisfy({ isUpper($0) || $0 == 0x2D })
        else { return reset("a request without method, path or scheme") }
        if let misdirected { throw HTTPRefusal(421, misdirected) }
        guard let name = pseudo[":authority"] ?? fields["host"] else { throw .bad("no :authority") }
        let authority = try Authority(name)
        if let other = fields["host"], try Authority(other) != authority || fields.count(of: "host") > 1 {
            throw .bad("two hosts in one request")
        }
        guard authority.host == host, authority.port ?? 443 == port else {
            throw HTTPRefusal(421, "an :authority for another host than this connection is for")
        }
        guard method != "CONNECT", case .origin(let path, let query) = try RequestTarget(method: method, path) else {
            throw .bad("a request without a path")
        }
        fields.remove { $0 == "host" }
        var framing = BodyFraming.chunked
        if let length = fields["content-length"] { framing = .length(try contentLength(length)) }
        if isWhole { framing = .none }
        let head = try RequestHead(
            method: method, target: .origin(path: path, query: query), host: authority, fields: fields,
            framing: framing)
        let exchange = Exchange(session, head, to: Upstream(host: host, port: port, isTLS: true), client: self)
        self.exchange = exchange
        exchange.begin(path: path, query: query)
        if isWhole { feed() }
    }

    private func fail(_ error: HTTPRefusal) {
        if let exchange {
            exchange.requestFailed(error)
        } else {
            session.logRefusal(error.reason, status: error.status, method: "", host: host.text, port: port)
            refuse(Refusal(error), close: true)
        }
    }

    private func reset(_ reason: String, _ code: HTTP2ErrorCode = .protocolError) {
        session.logRefusal(reason, status: nil, method: "", host: host.text, port: port)
        abortResponse(code)
    }

    // MARK: The answer

    var canTakeResponse: Bool { context?.channel.isWritable ?? false }

    func respond(_ head: ResponseHead, framing: BodyFraming) {
        var headers = HPACKHeaders()
        headers.add(name: ":status", value: "\(head.status)")
        for field in head.fields.list { headers.add(name: field.name, value: field.value) }
        if case .length(let count) = framing { headers.add(name: "content-length", value: "\(count)") }
        if framing == .none { return heldHead = headers }
        context?.writeAndFlush(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
    }

    /// Nothing that was written waits.
    func flushResponse() {}

    func respondBody(_ part: ByteBuffer) {
        guard part.readableBytes > 0 else { return }
        context?.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(part)))), promise: nil)
    }

    func respondEnd(close: Bool) {
        exchange = nil
        guard let context, !isOver else { return }
        isOver = true
        answered = .now()
        session.join(self)
        let end: HTTP2Frame.FramePayload =
            if let heldHead {
                .headers(.init(headers: heldHead, endStream: true))
            } else {
                .data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))
            }
        context.writeAndFlush(wrapOutboundOut(end)).assumeIsolated().whenComplete { result in
            // The request's rest is not read: the client is told so, behind the answer, which a reset would take away.
            guard close, !self.pendingEnd, case .success = result, let context = self.context else { return }
            context.writeAndFlush(self.wrapOutboundOut(.rstStream(.noError)), promise: nil)
        }
    }

    func respondContinue() {
        var headers = HPACKHeaders()
        headers.add(name: ":status", value: "100")
        context?.writeAndFlush(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
    }

    func abortResponse() { abortResponse(.internalError) }

    private func abortResponse(_ code: HTTP2ErrorCode) {
        exchange = nil
        guard let context, !isOver else { return }
        isOver = true
        context.writeAndFlush(wrapOutboundOut(.rstStream(code)), promise: nil)
    }

    /// There is no WebSocket over HTTP/2 here (RFC 8441 is not offered).
    func releaseChannel(after head: ResponseHead) -> (channel: any Channel, rest: ByteBuffer)? { nil }

    // MARK: Time

    /// As long as an HTTP/1.1 client has to take its answer and ask again.
    func sweep(_ now: NIODeadline) {
        if answered + session.gateway.limits.keepAlive < now { closeNow() }
    }

    func closeNow() { context?.close(promise: nil) }
}
