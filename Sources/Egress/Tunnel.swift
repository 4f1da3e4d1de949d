import EgressPolicy
import Metering
import NIOCore

/// Bytes passed on both ways, unseen: spliced TLS, and WebSocket once it is agreed on.
///
/// Bounded in time, idleness and bytes. Each side is read only while the other takes what was read.
///
/// Confined to the session's event loop.
final class Tunnel: SessionMember, @unchecked Sendable {
    private let session: EgressSession
    private var entry: RequestEntry
    private let began: NIODeadline
    private var lastMoved = NIODeadline.now()
    private var up = 0
    private var down = 0
    private var ends: [TunnelEnd] = []
    /// The client for as long as its upstream is being dialled.
    private var waiting: (any Channel)?
    private var isOver = false
    /// What the client must not see of what comes: the credential of the request by which the tunnel was made.
    private let secrets: SecretText

    private init(
        _ session: EgressSession, _ entry: RequestEntry, began: NIODeadline, hiding secrets: SecretText = SecretText([])
    ) {
        self.secrets = secrets
        self.session = session
        self.entry = entry
        self.began = began
        session.tunnels += 1
        session.gateway.metrics.tunnel()
        session.join(self)
    }

    /// Dials for a client whose hello has been read, and passes that on first.
    static func open(
        _ session: EgressSession, _ client: any Channel, to upstream: Upstream, early: ByteBuffer, rule: String,
        began: NIODeadline
    ) {
        let entry = RequestEntry(
            phase: .request, id: session.nextRequestID(), session: session.id, tenant: session.tenant, rule: rule,
            method: "CONNECT", host: upstream.host.text, port: upstream.port)
        let tunnel = Tunnel(session, entry, began: began)
        let written = session.loop.makePromise(of: Void.self)
        session.gateway.journal.append(entry, written)
        tunnel.entry.phase = .response
        tunnel.waiting = client
        client.closeFuture.assumeIsolated().whenComplete { _ in tunnel.finish(nil) }
        written.futureResult.flatMap { session.pool.connect(to: upstream) }
            .assumeIsolated().whenComplete { result in
                switch result {
                case .success(let channel):
                    guard !tunnel.isOver else { return channel.close(promise: nil) }
                    tunnel.join(client, channel, early: early, late: ByteBuffer())
                case .failure(let error):
                    tunnel.finish("\(upstream.host) cannot be reached: \(error)")
                    client.close(promise: nil)
                }
            }
    }

    /// Joins two channels that stand already.
    static func start(
        _ session: EgressSession, _ client: any Channel, _ upstream: any Channel, early: ByteBuffer, late: ByteBuffer,
        entry: RequestEntry, began: NIODeadline, hiding secrets: SecretText
    ) {
        Tunnel(session, entry, began: began, hiding: secrets).join(client, upstream, early: early, late: late)
    }

    private func join(_ client: any Channel, _ upstream: any Channel, early: ByteBuffer, late: ByteBuffer) {
        waiting = nil
        let near = TunnelEnd(self, isClient: true)
        let far = TunnelEnd(self, isClient: false)
        near.other = far
        far.other = near
        ends = [near, far]
        do {
            for channel in [client, upstream] { _ = channel.setOption(.allowRemoteHalfClosure, value: true) }
            try client.pipeline.syncOperations.addHandler(near)
            try upstream.pipeline.syncOperations.addHandler(far)
            if early.readableBytes > 0 { near.take(early) }
            if late.readableBytes > 0 { far.take(late) }
            near.other?.flush()
            far.other?.flush()
        } catch {
            finish("\(error)")
            client.close(promise: nil)
            upstream.close(promise: nil)
        }
    }

    /// Stars in the place of the credential, where it came whole: nothing is held back, for nobody knows where a message of a
    /// WebSocket ends.
    fileprivate func covered(_ part: ByteBuffer) -> ByteBuffer {
        guard !secrets.isEmpty, part.withUnsafeReadableBytes({ secrets.isFound(in: $0) }) else { return part }
        var part = part
        part.withUnsafeMutableReadableBytes { _ = secrets.cover($0) }
        return part
    }

    fileprivate func moved(_ count: Int, up isUp: Bool) {
        lastMoved = .now()
        if isUp { up += count } else { down += count }
        session.count(up: isUp ? count : 0, down: isUp ? 0 : count)
        if up + down > session.gateway.limits.tunnelBytes { close("the tunnel has passed its bytes on") }
    }

    fileprivate func finish(_ reason: String?) {
        guard !isOver else { return }
        isOver = true
        entry.phase = .response
        entry.refusal = reason
        entry.bytesUp = UInt64(up)
        entry.bytesDown = UInt64(down)
        entry.timings.append(("end", UInt64((NIODeadline.now() - began).nanoseconds)))
        session.gateway.journal.append(entry, nil)
        session.gateway.metrics.finished(
            nanoseconds: (NIODeadline.now() - began).nanoseconds, firstByte: nil, up: up, down: down)
        session.tunnels -= 1
        session.leave(self)
    }

    private func close(_ reason: String?) {
        finish(reason)
        for end in ends { end.close() }
        ends = []
        waiting?.close(promise: nil)
    }

    func sweep(_ now: NIODeadline) {
        let limits = session.gateway.limits
        if began + limits.tunnelLifetime < now { return close("the tunnel's lifetime is over") }
        if lastMoved + limits.tunnelIdle < now { close("the tunnel was idle") }
    }

    func closeNow() { close("the session's egress ended") }
}

/// One end of a tunnel.
final class TunnelEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let tunnel: Tunnel
    private let isClient: Bool
    weak var other: TunnelEnd?
    private var context: ChannelHandlerContext?

    fileprivate init(_ tunnel: Tunnel, isClient: Bool) {
        self.tunnel = tunnel
        self.isClient = isClient
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        context.read()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func take(_ part: ByteBuffer) {
        tunnel.moved(part.readableBytes, up: isClient)
        guard let there = other?.context else { return }
        there.write(wrapOutboundOut(isClient ? part : tunnel.covered(part)), promise: nil)
    }

    func flush() { context?.flush() }

    func close() { context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { take(unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) {
        other?.flush()
        if other?.context?.channel.isWritable == true { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { other?.context?.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { other?.context?.close(mode: .output, promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        tunnel.finish(nil)
        other?.close()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
