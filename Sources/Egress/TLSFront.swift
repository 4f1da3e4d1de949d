import EgressPolicy
import NIOCore
import NIOSSL
import NIOTLS

/// Reads the hello of a client's TLS, and by the name in it splices, terminates or closes.
///
/// A name that was asked for before (by CONNECT, or by the address that the gateway's DNS gave for it) must be the name
/// in the hello: whoever says two names wants one of them not to be seen.
final class TLSFront: ChannelInboundHandler, RemovableChannelHandler, SessionMember {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let session: EgressSession
    private let name: HostName?
    private let port: UInt16
    private let began = NIODeadline.now()
    private var context: ChannelHandlerContext?
    private var buffer = ByteBuffer()
    private var isOver = false
    private var holdsHandshake = false

    /// - Parameter wasAsked: whether the client is a proxy's, which was told that the connection stands.
    init(_ session: EgressSession, name: HostName?, port: UInt16, wasAsked: Bool) {
        self.session = session
        self.name = name
        self.port = port
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session.join(self)
        if session.handshakes >= session.gateway.limits.handshakes {
            return close("more than \(session.gateway.limits.handshakes) handshakes at once", status: 503)
        }
        session.handshakes += 1
        holdsHandshake = true
        context.read()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        leave()
    }

    private func leave() {
        if holdsHandshake { session.handshakes -= 1 }
        holdsHandshake = false
        session.leave(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var part = unwrapInboundIn(data)
        buffer.writeBuffer(&part)
        switch ClientHello.read(buffer.readableBytesView) {
        case .needsMore:
            if buffer.readableBytes > ClientHello.limit + 512 { close("a hello of more than 16 KiB", status: 400) }
        case .notTLS: close("the first bytes are not TLS", status: 400)
        case .hello(let hello): decide(hello, context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { if !isOver { context.read() } }

    func channelInactive(context: ChannelHandlerContext) { isOver = true }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func decide(_ hello: ClientHello, _ context: ChannelHandlerContext) {
        var sent: HostName?
        if let text = hello.serverName {
            guard let canonical = try? HostName(text) else {
                return close("the name in the hello is none", status: 400)
            }
            sent = canonical
        }
        guard let host = name ?? sent else { return close("a hello without a name", status: 400) }
        let decision = session.policy.connection(to: host, port: port)
        let isMisdirected = sent != nil && sent != host
        switch decision {
        case .refuse(let reason): close(reason, status: 403, host)
        case .splice(let rule):
            if isMisdirected { return close("the hello names \(sent!), the connection \(host)", status: 421, host) }
            guard sent != nil, !hello.isEncrypted else {
                return close("a hello without a name that can be read, to a host that is passed on", status: 400, host)
            }
            splice(host, rule, context)
        case .inspect:
            terminate(host, misdirected: isMisdirected ? sent : nil, context)
        }
    }

    private func splice(_ host: HostName, _ rule: String, _ context: ChannelHandlerContext) {
        if let stopped = session.stopped { return close(stopped.detail, status: 503, host) }
        guard session.tunnels < session.gateway.limits.tunnels else {
            return close("more than \(session.gateway.limits.tunnels) tunnels at once", status: 503, host)
        }
        isOver = true
        session.countAllowed(rule: rule)
        let early = buffer
        buffer = ByteBuffer()
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        Tunnel.open(
            session, channel, to: Upstream(host: host, port: port, isTLS: false), early: early, rule: rule, began: began
        )
    }

    private func terminate(_ host: HostName, misdirected: HostName?, _ context: ChannelHandlerContext) {
        isOver = true
        do {
            let pipeline = context.pipeline.syncOperations
            let way: ClientConnection.Way =
                if let misdirected {
                    .misdirected("the hello names \(misdirected), the connection \(host)")
                } else {
                    .terminated(host, port: port)
                }
            let tls = NIOSSLServerHandler(context: try session.gateway.authority.context(for: host.text))
            try pipeline.addHandlers(
                [tls, TLSEnd(session, way, host: host, port: port)], position: .after(self))
            let hello = buffer
            buffer = ByteBuffer()
            context.fireChannelRead(wrapInboundOut(hello))
            context.fireChannelReadComplete()
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            close("no certificate for \(host): \(error)", status: 500, host)
        }
    }

    private func close(_ reason: String, status: Int, _ host: HostName? = nil) {
        isOver = true
        session.logRefusal(
            reason, status: status, method: "CONNECT", host: (host ?? name)?.text ?? "", port: port)
        guard let context else { return }
        if status == 421 || status == 403 {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: ClientHello.unrecognizedName)), promise: nil)
        }
        context.close(promise: nil)
    }

    func sweep(_ now: NIODeadline) {
        if !isOver, began + session.gateway.limits.headTimeout < now { close("the hello did not come", status: 408) }
    }

    func closeNow() { context?.close(promise: nil) }
}

/// Waits for the end of the client's handshake, and goes on in the protocol that was agreed on.
final class TLSEnd: ChannelInboundHandler, RemovableChannelHandler, SessionMember {
    typealias InboundIn = ByteBuffer

    private let session: EgressSession
    private let way: ClientConnection.Way
    private let host: HostName
    private let port: UInt16
    private let began = NIODeadline.now()
    private var context: ChannelHandlerContext?
    private var isOver = false

    init(_ session: EgressSession, _ way: ClientConnection.Way, host: HostName, port: UInt16) {
        self.session = session
        self.way = way
        self.host = host
        self.port = port
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session.handshakes += 1
        session.join(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        session.handshakes -= 1
        session.leave(self)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        isOver = true
        do {
            if negotiated == "h2" {
                var misdirected: String?
                if case .misdirected(let why) = way { misdirected = why }
                try addHTTP2(
                    to: context.channel, session, host: host, port: port, misdirected: misdirected, after: self)
            } else {
                try context.pipeline.syncOperations.addHandler(ClientConnection(session, way), position: .after(self))
            }
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !isOver { context.read() }
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !isOver {
            // Most often a client that does not trust the host's authority.
            session.logRefusal(
                "TLS with the client: \(error)", status: nil, method: "CONNECT", host: host.text, port: port)
        }
        context.close(promise: nil)
    }

    func sweep(_ now: NIODeadline) {
        if !isOver, began + session.gateway.limits.headTimeout < now { context?.close(promise: nil) }
    }

    func closeNow() { context?.close(promise: nil) }
}
