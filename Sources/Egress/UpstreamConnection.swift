import NIOCore
import NIOSSL
import NIOTLS

/// Who is told what an upstream answers. All on the session's event loop.
protocol UpstreamReader: AnyObject {
    func upstreamHead(_ head: ResponseHead, framing: BodyFraming)
    /// The head was told, and nothing of its body is there yet.
    func upstreamWaits()
    func upstreamBody(_ part: ByteBuffer)
    func upstreamEnd()
    /// The upstream agreed to another protocol; the channel is the reader's from here on, and what was read already.
    func upstreamSwitched(_ head: ResponseHead, _ connection: UpstreamConnection, _ rest: ByteBuffer)
    func upstreamFailed(_ error: any Error)
    func upstreamWritable()
    /// Whether more of the response may be read.
    var wantsUpstreamBytes: Bool { get }
}

/// One connection to an upstream that speaks HTTP/1.1: one request at a time, the response read strictly.
final class UpstreamConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let upstream: Upstream
    private weak var pool: UpstreamPool?
    private var context: ChannelHandlerContext?
    /// Succeeds when the connection stands and, with TLS, the upstream has proven its name.
    var ready: EventLoopPromise<Void>?
    private(set) var idleSince = NIODeadline.now()
    /// Whether a request was answered on it already.
    private(set) var isReused = false

    private weak var reader: (any UpstreamReader)?
    private var method = ""
    private var mayUpgrade = false
    private var parser = HeadParser(.response)
    private var body: BodyReader?
    private var buffer = ByteBuffer()
    private var keepAlive = false
    private var isRequestSent = false
    private var interim = 0

    init(_ upstream: Upstream, pool: UpstreamPool) {
        self.upstream = upstream
        self.pool = pool
    }

    // MARK: The request

    /// Takes it out of the pool; `false` where it has been closed.
    func take() -> Bool { context?.channel.isActive == true }

    var isWritable: Bool { context?.channel.isWritable ?? false }

    /// Sends a request; the response goes to `reader`.
    func send(
        _ head: ByteBuffer, method: String, mayUpgrade: Bool, isWhole: Bool, to reader: any UpstreamReader
    ) {
        self.reader = reader
        self.method = method
        self.mayUpgrade = mayUpgrade
        isRequestSent = isWhole
        interim = 0
        guard let context else { return reader.upstreamFailed(ChannelError.ioOnClosedChannel) }
        context.writeAndFlush(wrapOutboundOut(head), promise: nil)
        context.read()
    }

    func sendBody(_ part: ByteBuffer, isLast: Bool) {
        isRequestSent = isLast
        context?.writeAndFlush(wrapOutboundOut(part), promise: nil)
    }

    /// Reads on, after the reader could take no more.
    func resume() { context?.read() }

    func close() {
        reader = nil
        context?.close(promise: nil)
    }

    func fail(_ error: any Error) {
        if let ready {
            self.ready = nil
            ready.fail(error)
        }
        let reader = self.reader
        close()
        reader?.upstreamFailed(error)
    }

    // MARK: The channel

    /// The channel is connected by now.
    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if upstream.isTLS { context.read() } else { becomeReady() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    private func becomeReady() {
        ready?.succeed()
        ready = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event { becomeReady() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        // Nothing was asked: an answer to the next request that is there before it.
        guard reader != nil else { return close() }
        if buffer.readableBytes == 0 { buffer = part } else { buffer.writeBuffer(&part) }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if ready != nil || reader?.wantsUpstreamBytes == true { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { reader?.upstreamWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        pool?.forget(self)
        if let body, body.endsAtClose, let reader {
            self.reader = nil
            self.body = nil
            reader.upstreamEnd()
        } else {
            fail(ChannelError.eof)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A peer that closes without close_notify: with a length or chunks the end is known.
        if case NIOSSLError.uncleanShutdown = error, let body, body.endsAtClose { return fail(error) }
        if case NIOSSLError.uncleanShutdown = error { return }
        fail(error)
    }

    private func process() {
        var isHeadLast = false
        do throws(HTTPRefusal) {
            while let reader {
                if body == nil {
                    guard let head = try parser.next(&buffer) else { break }
                    if try !take(head, reader) { return }
                    isHeadLast = true
                } else {
                    guard let part = try body?.next(&buffer) else { break }
                    isHeadLast = false
                    switch part {
                    case .bytes(let bytes): reader.upstreamBody(bytes)
                    case .end:
                        finish(reader)
                        return
                    }
                }
            }
            if buffer.readableBytes == 0 { buffer.clear() }
            if isHeadLast { reader?.upstreamWaits() }
        } catch {
            fail(error)
        }
    }

    /// Takes a head in; `false` when nothing more is read here.
    private func take(_ head: HeadParser.Head, _ reader: any UpstreamReader) throws(HTTPRefusal) -> Bool {
        guard let status = Int(head.start.1), status >= 100, ["HTTP/1.1", "HTTP/1.0"].contains(head.start.0) else {
            throw .bad("a status line that is none")
        }
        let framing = try ResponseHead.framing(of: head, method: method)
        let response = ResponseHead(
            status: status, reason: String(head.start.2.filter(\.isASCII)), fields: head.fields)
        if status == 101 {
            guard mayUpgrade, head.fields["upgrade"]?.lowercased() == "websocket",
                head.fields.contains("sec-websocket-accept")
            else { throw .bad("101 without having been asked") }
            let rest = buffer
            buffer.clear()
            self.reader = nil
            reader.upstreamSwitched(response, self, rest)
            return false
        }
        if status < 200 {
            interim += 1
            if interim > 8 { throw .bad("more than 8 interim responses") }
            return true
        }
        let connection = head.fields.members(of: "connection")
        keepAlive = head.start.0 == "HTTP/1.1" && !connection.contains("close") && framing != .untilClose
        body = BodyReader(framing, strict: false)
        reader.upstreamHead(response, framing: framing)
        return true
    }

    private func finish(_ reader: any UpstreamReader) {
        self.reader = nil
        body = nil
        let isClean = keepAlive && isRequestSent && buffer.readableBytes == 0
        buffer.clear()
        reader.upstreamEnd()
        guard isClean, context?.channel.isActive == true else { return close() }
        isReused = true
        idleSince = .now()
        pool?.give(self)
        // To see its end, and bytes that nobody asked for.
        context?.read()
    }

    /// Gives the channel away: the handler leaves the pipeline.
    func release() -> (any Channel)? {
        guard let context else { return nil }
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        return channel
    }
}
