import EgressPolicy
import NIOCore

/// A connection that its client meant for some address: the socket's local address says which.
///
/// An address of the session's own names a host; an address of that range that this gateway has not given leaves the
/// name to the hello or the Host field, which the policy decides as ever. Any other address is one that no name leads
/// to.
final class TransparentFront: ChannelInboundHandler, RemovableChannelHandler, SessionMember {
    typealias InboundIn = ByteBuffer

    private let session: EgressSession
    private let listener: Listener
    private let began = NIODeadline.now()
    private var context: ChannelHandlerContext?

    init(_ session: EgressSession, _ listener: Listener) {
        self.session = session
        self.listener = listener
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session.join(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        session.leave(self)
    }

    func channelActive(context: ChannelHandlerContext) { context.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let first = unwrapInboundIn(data).readableBytesView.first
        let port = UInt16(context.channel.localAddress?.port ?? Int(listener.port))
        let isTLS = first == 22 || !(first.map(isUpper) ?? false)
        var name: HostName?
        switch wanted(context.channel.localAddress) {
        case .name(let host): name = host
        case .forgotten: break
        case .foreign:
            let address = context.channel.localAddress?.ipAddress ?? ""
            let reason = "a connection to the address \(address); only names can be allowed"
            session.logRefusal(reason, status: 403, method: isTLS ? "CONNECT" : "", host: address, port: port)
            if !isTLS { return refusePlain(reason, context) }
            return context.close(promise: nil)
        }
        do {
            if isTLS {
                try context.pipeline.syncOperations.addHandler(
                    TLSFront(session, name: name, port: port, wasAsked: false), position: .after(self))
            } else {
                try context.pipeline.syncOperations.addHandler(
                    ClientConnection(session, .plain(name, port: port)), position: .after(self))
            }
            context.fireChannelRead(data)
            context.fireChannelReadComplete()
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    private func refusePlain(_ reason: String, _ context: ChannelHandlerContext) {
        let body = "{\"error\":{\"type\":\"carrel_egress\",\"message\":\(jsonText(reason))}}\n"
        let message = ByteBuffer(
            string: "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\n"
                + "content-length: \(body.utf8.count)\r\nconnection: close\r\n\r\n\(body)")
        let channel = context.channel
        context.writeAndFlush(NIOAny(message)).assumeIsolated().whenComplete { _ in channel.close(promise: nil) }
    }

    private func wanted(_ address: SocketAddress?) -> SyntheticNames.Meaning {
        guard case .v4(let address)? = address else { return .foreign }
        return session.names.meaning(of: UInt32(bigEndian: address.address.sin_addr.s_addr))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func sweep(_ now: NIODeadline) {
        if began + session.gateway.limits.headTimeout < now { context?.close(promise: nil) }
    }

    func closeNow() { context?.close(promise: nil) }
}
