import EgressPolicy
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

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
        addresses(of: upstream).assumeIsolated().whenComplete { result in
            switch result {
            case .failure(let error): done(.failure(error))
            case .success(let addresses): self.connect(upstream, addresses[...], done)
            }
        }
    }

    private func connect(
        _ upstream: Upstream, _ addresses: ArraySlice<SocketAddress>,
        _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void
    ) {
        guard let address = addresses.first else { return done(.failure(ChannelError.connectPending)) }
        let connection = UpstreamConnection(upstream, pool: self)
        let ready = loop.makePromise(of: Void.self)
        connection.ready = ready
        let box = NIOLoopBound(connection, eventLoop: loop)
        let tls = upstream.isTLS ? gateway.upstreamTLS : nil
        let connecting = ClientBootstrap(group: loop)
            .connectTimeout(gateway.limits.connectTimeout)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: .egress)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(
                            try NIOSSLClientHandler(context: tls, serverHostname: upstream.host.text))
                    }
                    try pipeline.addHandler(box.value)
                }
            }
            .connect(to: address)
        let timeout = loop.scheduleTask(in: gateway.limits.connectTimeout) {
            box.value.fail(ChannelError.connectTimeout(.zero))
        }
        connecting.whenFailure { ready.fail($0) }
        ready.futureResult.assumeIsolated().whenComplete { result in
            timeout.cancel()
            switch result {
            case .success: done(.success(connection))
            case .failure(let error):
                connection.close()
                // The next address, unless this one answered and is not whom it should be.
                if addresses.count > 1, !(error is NIOSSLError), !(error is NIOSSLExtraError) {
                    self.connect(upstream, addresses.dropFirst(), done)
                } else {
                    done(.failure(error))
                }
            }
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
