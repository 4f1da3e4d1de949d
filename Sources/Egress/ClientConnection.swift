import EgressPolicy
import NIOCore

/// A client's connection that speaks HTTP/1.1: heads read strictly, one exchange at a time.
///
/// It reads only while somebody wants the bytes, so a client that sends faster than its upstream takes waits in its own
/// socket. Requests behind the one under way wait there too.
final class ClientConnection: ChannelInboundHandler, RemovableChannelHandler, SessionMember, ExchangeClient {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How the client came here, and so whom its requests are for.
    enum Way {
        /// By the proxy's address: the target says.
        case proxy
        /// By the relay's: the API.
        case relay
        /// By the address of a name (`nil` where a gateway before this one gave it), in the clear.
        case plain(HostName?, port: UInt16)
        /// Through TLS that was ended here for this name.
        case terminated(HostName, port: UInt16)
        /// Through TLS with another name in its hello than was asked for before: every request is refused.
        case misdirected(String)
    }

    private let session: EgressSession
    private let way: Way
    private var context: ChannelHandlerContext?
    private var buffer = ByteBuffer()
    private var parser = HeadParser(.request)
    private var body: BodyReader?
    private var exchange: Exchange?
    private var responseFraming = BodyFraming.none
    private var isClosing = false
    private var keepAlive = true
    private var requestsSeen = 0
    private var since = NIODeadline.now()
    private var isProcessing = false
    /// Whether the addresses of a name are waited for, and nothing else is read.
    private var isResolving = false

    init(_ session: EgressSession, _ way: Way) {
        self.session = session
        self.way = way
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session.join(self)
        if context.channel.isActive { context.read() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        session.leave(self)
    }

    func channelActive(context: ChannelHandlerContext) { context.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var part = unwrapInboundIn(data)
        if isClosing { return }
        if buffer.readableBytes == 0 {
            if !parser.isInside, body == nil { since = .now() }
            buffer = part
        } else {
            buffer.writeBuffer(&part)
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) { readIfWanted() }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        if let exchange { exchange.clientWritable() } else { resumeRequest() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        exchange?.clientGone()
        exchange = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func readIfWanted() {
        guard let context, !isClosing, !isResolving, exchange != nil || canTakeResponse else { return }
        if let exchange, exchange.requestWasRead || !exchange.wantsRequestBytes { return }
        context.read()
    }

    func resumeRequest() {
        // A body that ends with its last byte has no more of them by which its end would be told.
        if buffer.readableBytes > 0 || body?.isDone == true { process() }
        readIfWanted()
    }

    // MARK: Requests

    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        defer { isProcessing = false }
        do throws(HTTPRefusal) {
            while !isClosing, !isResolving {
                if body != nil {
                    guard let exchange, exchange.wantsRequestBytes, let part = try body?.next(&buffer) else { break }
                    switch part {
                    case .bytes(let bytes): exchange.requestBody(bytes)
                    case .end:
                        body = nil
                        exchange.requestWasRead = true
                        exchange.requestEnd()
                    }
                } else {
                    // Who does not take the answers is not heard: they would wait in memory.
                    guard exchange == nil, canTakeResponse else { break }
                    if buffer.readableBytes == 0 { break }
                    guard let head = try parser.next(&buffer) else { break }
                    try begin(head)
                }
            }
            if buffer.readableBytes == 0 { buffer.clear() }
        } catch {
            fail(error)
        }
    }

    private func begin(_ parsed: HeadParser.Head) throws(HTTPRefusal) {
        var isRelay = false
        if case .relay = way { isRelay = true }
        let head = try RequestHead(parsed, hostIsLocal: isRelay)
        since = .now()
        requestsSeen += 1
        keepAlive = head.keepAlive
        if case .misdirected(let why) = way { throw HTTPRefusal(421, why) }
        if case .authority(let authority) = head.target { return try connect(authority, head) }
        let (destination, path, query) = try destination(of: head)
        let exchange = Exchange(session, head, to: destination, client: self)
        self.exchange = exchange
        if head.framing == .none {
            exchange.requestWasRead = true
            exchange.begin(path: path, query: query)
            exchange.requestEnd()
        } else {
            body = BodyReader(head.framing, strict: true)
            exchange.begin(path: path, query: query)
        }
    }

    /// Whom a request is for, by the way it came and nothing that could say otherwise.
    private func destination(of head: RequestHead) throws(HTTPRefusal) -> (Upstream, String, String?) {
        var path = "/"
        var query: String?
        var named: (scheme: String, authority: Authority)?
        switch head.target {
        case .origin(let target, let text): (path, query) = (target, text)
        case .absolute(let scheme, let authority, let target, let text):
            (path, query) = (target, text)
            named = (scheme, authority)
        case .asterisk: throw .bad("a request for the server as a whole")
        case .authority: throw .bad("CONNECT inside another connection")
        }
        if let named, let host = head.host {
            let usual: UInt16 = named.scheme == "https" ? 443 : 80
            guard named.authority.host == host.host, named.authority.port ?? usual == host.port ?? usual else {
                throw .bad("a URL for \(named.authority.host) with a Host field for \(host.host)")
            }
        }
        switch way {
        case .relay:
            if named != nil { throw .bad("a URL in the place of a path") }
            if let host = head.host, host.host != EgressPolicy.relayHost {
                throw HTTPRefusal(421, "the relay is for \(EgressPolicy.relayHost)")
            }
            return (Upstream(host: EgressPolicy.relayHost, port: 443, isTLS: true), path, query)
        case .proxy:
            if let named, named.scheme == "https" {
                throw .bad("a URL of https to a proxy: CONNECT is for that")
            }
            guard let host = head.host else { throw .bad("no Host field") }
            return (Upstream(host: host.host, port: host.port ?? 80, isTLS: false), path, query)
        case .plain(let name, let port):
            guard let host = head.host, host.port ?? 80 == port, name == nil || name == host.host else {
                throw HTTPRefusal(421, "a Host field for another host than was connected to")
            }
            if named?.scheme == "https" { throw .bad("a URL of https in the clear") }
            return (Upstream(host: host.host, port: port, isTLS: false), path, query)
        case .terminated(let name, let port):
            if let named, named.authority.host != name || named.scheme != "https" {
                throw .bad("a URL for another host than this connection is for")
            }
            guard let host = head.host, host.host == name, host.port ?? 443 == port else {
                throw HTTPRefusal(421, "a Host field for another host than this connection is for")
            }
            return (Upstream(host: name, port: port, isTLS: true), path, query)
        case .misdirected(let why): throw HTTPRefusal(421, why)
        }
    }

    private func fail(_ error: HTTPRefusal) {
        if let exchange {
            // The body broke off: the exchange answers, where it can.
            exchange.requestFailed(error)
        } else {
            session.logRefusal(error.reason, status: error.status, method: "", host: "", port: 0)
            refuse(Refusal(error), close: true)
        }
        body = nil
        closeSoon()
    }

    // MARK: CONNECT

    private func connect(_ authority: Authority, _ head: RequestHead) throws(HTTPRefusal) {
        guard case .proxy = way else { throw .bad("CONNECT inside another connection") }
        guard let port = authority.port else { throw .bad("CONNECT without a port") }
        if let host = head.host, host.host != authority.host || host.port ?? port != port {
            throw .bad("CONNECT to \(authority.host) with a Host field for \(host.host)")
        }
        let decision = session.policy.connection(to: authority.host, port: port)
        if case .refuse(let reason) = decision {
            session.logRefusal(
                reason, status: 403, method: "CONNECT", host: authority.host.text, port: port)
            return refuse(Refusal(403, reason), close: true)
        }
        if let stopped = session.stopped {
            session.logRefusal(
                stopped.detail, status: 503, method: "CONNECT", host: authority.host.text, port: port)
            return refuse(Refusal(503, "egress is stopped: \(stopped.detail)"), close: true)
        }
        isResolving = true
        let upstream = Upstream(host: authority.host, port: port, isTLS: true)
        session.pool.addresses(of: upstream).assumeIsolated().whenComplete { result in
            self.isResolving = false
            guard !self.isClosing else { return }
            switch result {
            case .success: self.establish(authority.host, port)
            case .failure(let error):
                let refusal = (error as? ResolveError)?.refusal ?? Refusal(502, "\(error)")
                self.session.logRefusal(
                    refusal.reason, status: refusal.status, method: "CONNECT", host: authority.host.text, port: port)
                self.refuse(refusal, close: true)
            }
        }
    }

    private func establish(_ host: HostName, _ port: UInt16) {
        guard let context else { return }
        var answer = context.channel.allocator.buffer(capacity: 64)
        answer.writeStaticString("HTTP/1.1 200 Connection established\r\n\r\n")
        context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        let front = TLSFront(session, name: host, port: port, wasAsked: true)
        handOver(to: front, context)
    }

    /// Leaves the pipeline to another handler, with what was read already.
    private func handOver(
        to next: some ChannelInboundHandler & RemovableChannelHandler, _ context: ChannelHandlerContext
    ) {
        isClosing = true
        let rest = buffer
        buffer = ByteBuffer()
        do {
            try context.pipeline.syncOperations.addHandler(next, position: .after(self))
            if rest.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(rest)) }
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    typealias InboundOut = ByteBuffer

    // MARK: Answers

    var canTakeResponse: Bool { context?.channel.isWritable ?? false }

    func respond(_ head: ResponseHead, framing: BodyFraming) {
        guard let context else { return }
        // An HTTP/1.0 client knows no chunks, and gets the end of the connection for one.
        responseFraming = framing == .untilClose ? (keepAlive ? .chunked : .untilClose) : framing
        if !keepAlive, framing == .chunked { responseFraming = .untilClose }
        var message = context.channel.allocator.buffer(capacity: 1024)
        head.write(into: &message, framing: responseFraming, close: !keepAlive)
        context.write(wrapOutboundOut(message), promise: nil)
        if framing == .none { context.flush() }
    }

    func flushResponse() { context?.flush() }

    func respondBody(_ part: ByteBuffer) {
        guard let context, part.readableBytes > 0 else { return }
        if case .chunked = responseFraming {
            var message = context.channel.allocator.buffer(capacity: part.readableBytes + 16)
            message.writeChunk(part)
            context.writeAndFlush(wrapOutboundOut(message), promise: nil)
        } else {
            context.writeAndFlush(wrapOutboundOut(part), promise: nil)
        }
    }

    func respondEnd(close: Bool) {
        guard let context else { return }
        exchange = nil
        since = .now()
        if case .chunked = responseFraming {
            var message = context.channel.allocator.buffer(capacity: 8)
            message.writeStaticString("0\r\n\r\n")
            context.writeAndFlush(wrapOutboundOut(message), promise: nil)
        } else {
            context.flush()
        }
        if close || !keepAlive || body != nil {
            body = nil
            return closeSoon()
        }
        if session.gateway.isDraining { return closeSoon() }
        if buffer.readableBytes > 0 {
            // Not from within the exchange's own call.
            context.eventLoop.assumeIsolated().execute { self.resumeRequest() }
        } else if !isProcessing {
            readIfWanted()
        }
    }

    func respondContinue() {
        guard let context else { return }
        var message = context.channel.allocator.buffer(capacity: 32)
        message.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
        context.writeAndFlush(wrapOutboundOut(message), promise: nil)
    }

    func abortResponse() {
        exchange = nil
        isClosing = true
        context?.close(promise: nil)
    }

    private var isInTheClear: Bool {
        switch way {
        case .terminated, .misdirected: false
        default: true
        }
    }

    /// Closes behind the answer, and waits a little for the client to read it: a reset would take it away.
    private func closeSoon() {
        guard let context, !isClosing else { return }
        isClosing = true
        since = .now()
        buffer.clear()
        let channel = context.channel
        let isPlain = isInTheClear
        // An empty write comes behind all that waits: what a slow client has not taken yet is not cut off.
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { _ in
            if isPlain { channel.close(mode: .output, promise: nil) }
            channel.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(500)) { channel.close(promise: nil) }
        }
        context.read()
    }

    func releaseChannel(after head: ResponseHead) -> (channel: any Channel, rest: ByteBuffer)? {
        guard let context, context.channel.isActive else { return nil }
        var message = context.channel.allocator.buffer(capacity: 512)
        head.write(into: &message, framing: .none, close: false)
        context.writeAndFlush(wrapOutboundOut(message), promise: nil)
        isClosing = true
        exchange = nil
        let channel = context.channel
        let rest = buffer
        buffer = ByteBuffer()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        return (channel, rest)
    }

    // MARK: Time

    func sweep(_ now: NIODeadline) {
        guard exchange == nil else { return }
        if isClosing {
            if since + session.gateway.limits.keepAlive < now { context?.close(promise: nil) }
            return
        }
        if parser.isInside || buffer.readableBytes > 0 || requestsSeen == 0 {
            if since + session.gateway.limits.headTimeout < now {
                fail(HTTPRefusal(408, "the head of a request did not come"))
            }
        } else if since + session.gateway.limits.keepAlive < now {
            abortResponse()
        }
    }

    func closeNow() {
        // The exchange closes itself, and this with it.
        if exchange == nil { abortResponse() }
    }
}
