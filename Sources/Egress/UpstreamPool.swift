import EgressPolicy
import NIOCore
import NIOSSL

/// Whom a connection leads to.
struct Upstream: Hashable, Sendable {
    let host: HostName
    let port: UInt16
    let isTLS: Bool
}

/// The connections of one session to upstreams: no other session ever uses them. Confined to the session's event loop.
final class UpstreamPool {
    private let loop: any EventLoop
    private let gateway: Gateway
    private var idle: [Upstream: [UpstreamConnection]] = [:]
    private var resolved: [Upstream: (addresses: [SocketAddress], until: NIODeadline)] = [:]
    /// Unused connections that are kept for one upstream.
    private static let kept = 32

    init(loop: any EventLoop, gateway: Gateway) {
        self.loop = loop
        self.gateway = gateway
    }

    /// The checked addresses of an upstream: those that were checked are those that are dialled.
    func addresses(of upstream: Upstream) -> EventLoopFuture<[SocketAddress]> {
        let now = NIODeadline.now()
        if let known = resolved[upstream], known.until > now { return loop.makeSucceededFuture(known.addresses) }
        let future = gateway.resolver.resolve(upstream.host, port: upstream.port, on: loop)
        future.assumeIsolated().whenSuccess { addresses in
            if self.resolved.count > 1024 { self.resolved.removeAll() }
            self.resolved[upstream] = (addresses, now + self.gateway.limits.resolvedFor)
        }
        return future
    }

    /// A connection that is ready for a request: a kept one, or a new one.
    func acquire(_ upstream: Upstream, _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        while let connection = idle[upstream]?.popLast() {
            if connection.take() { return done(.success(connection)) }
        }
        dial(upstream, done)
    }

    private func dial(_ upstream: Upstream, _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        let (loop, timeout) = (loop, gateway.limits.connectTimeout)
        addresses(of: upstream).flatMap { Dialer.connect(to: $0, on: loop, timeout: timeout) }
            .assumeIsolated().whenComplete { result in
                switch result {
                case .failure(let error): done(.failure(error))
                case .success(let channel): self.begin(upstream, channel, done)
                }
            }
    }

    /// Has a connection speak HTTP, within TLS that proves the upstream's name where it is asked for.
    private func begin(
        _ upstream: Upstream, _ channel: any Channel,
        _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void
    ) {
        let connection = UpstreamConnection(upstream, pool: self)
        let ready = loop.makePromise(of: Void.self)
        connection.ready = ready
        let box = NIOLoopBound(connection, eventLoop: loop)
        let timeout = loop.scheduleTask(in: gateway.limits.connectTimeout) {
            box.value.fail(ChannelError.connectTimeout(.zero))
        }
        ready.futureResult.assumeIsolated().whenComplete { result in
            timeout.cancel()
            if case .failure = result { channel.close(promise: nil) }
            done(result.map { connection })
        }
        do {
            let pipeline = channel.pipeline.syncOperations
            if upstream.isTLS {
                try pipeline.addHandler(
                    NIOSSLClientHandler(context: gateway.upstreamTLS, serverHostname: upstream.host.text))
            }
            try pipeline.addHandler(connection)
        } catch {
            connection.fail(error)
        }
    }

    /// Takes a connection back whose exchange is over.
    func give(_ connection: UpstreamConnection) {
        guard idle[connection.upstream, default: []].count < Self.kept else { return connection.close() }
        idle[connection.upstream, default: []].append(connection)
    }

    func forget(_ connection: UpstreamConnection) {
        idle[connection.upstream]?.removeAll { $0 === connection }
    }

    var isEmpty: Bool { idle.values.allSatisfy(\.isEmpty) }

    func sweep(_ now: NIODeadline) {
        for connection in idle.values.joined() where connection.idleSince + gateway.limits.upstreamIdle < now {
            connection.close()
        }
    }

    func closeAll() {
        for connection in idle.values.joined() { connection.close() }
        idle = [:]
    }
}

extension ChannelOptions.Types.WriteBufferWaterMark {
    /// Above the high mark the other side is not read any more.
    static let egress = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
}
