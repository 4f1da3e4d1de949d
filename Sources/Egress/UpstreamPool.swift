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
    /// Whose addresses are being asked for.
    private var resolving: [Upstream: EventLoopFuture<[SocketAddress]>] = [:]
    /// Connections that are being made. Each is there until it stands or fails, whoever wanted it may be gone by then.
    private var dialling = 0
    private var isOver = false
    private let tenant: String
    /// Unused connections that are kept for one upstream, and for all: a rule can mean any number of hosts.
    private static let (kept, keptInAll) = (32, 256)

    init(loop: any EventLoop, gateway: Gateway, tenant: String) {
        self.loop = loop
        self.gateway = gateway
        self.tenant = tenant
    }

    /// The checked addresses of an upstream: those that were checked are those that are dialled.
    func addresses(of upstream: Upstream) -> EventLoopFuture<[SocketAddress]> {
        let now = NIODeadline.now()
        if let known = resolved[upstream], known.until > now { return loop.makeSucceededFuture(known.addresses) }
        if let asked = resolving[upstream] { return asked }
        guard resolving.count < gateway.limits.requests else {
            return loop.makeFailedFuture(ResolveError.busy("more than \(resolving.count) names are being asked for"))
        }
        let future = gateway.resolver.resolve(upstream.host, port: upstream.port, on: loop, for: tenant)
        resolving[upstream] = future
        future.assumeIsolated().whenComplete { result in
            self.resolving[upstream] = nil
            guard case .success(let addresses) = result else { return }
            if self.resolved.count > 1024 { self.resolved.removeAll() }
            self.resolved[upstream] = (addresses, now + self.gateway.limits.resolvedFor)
        }
        return future
    }

    /// A new connection, from which nothing is read yet.
    func connect(to upstream: Upstream) -> EventLoopFuture<any Channel> {
        guard dialling < gateway.limits.connections else {
            return loop.makeFailedFuture(ResolveError.busy("more than \(dialling) connections are being made"))
        }
        let (shares, tenant) = (gateway.shares, tenant)
        guard shares.take(tenant) else {
            return loop.makeFailedFuture(ResolveError.busy("the tenant has its share of all connections open"))
        }
        dialling += 1
        let (loop, timeout) = (loop, gateway.limits.connectTimeout)
        let future = addresses(of: upstream).flatMap { Dialer.connect(to: $0, on: loop, timeout: timeout) }
        future.assumeIsolated().whenComplete { result in
            self.dialling -= 1
            switch result {
            case .success(let channel): channel.closeFuture.whenComplete { _ in shares.give(tenant) }
            case .failure: shares.give(tenant)
            }
        }
        return future
    }

    /// A connection that is ready for a request: a kept one, or a new one.
    func acquire(_ upstream: Upstream, _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        while let connection = idle[upstream]?.last {
            forget(connection)
            if connection.take() { return done(.success(connection)) }
        }
        dial(upstream, done)
    }

    private func dial(_ upstream: Upstream, _ done: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        connect(to: upstream).assumeIsolated().whenComplete { result in
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
        dialling += 1
        let box = NIOLoopBound(connection, eventLoop: loop)
        let timeout = loop.scheduleTask(in: gateway.limits.connectTimeout) {
            box.value.fail(ChannelError.connectTimeout(.zero))
        }
        ready.futureResult.assumeIsolated().whenComplete { result in
            timeout.cancel()
            self.dialling -= 1
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
        guard !isOver, idle[connection.upstream, default: []].count < Self.kept, unused < Self.keptInAll else {
            return connection.close()
        }
        idle[connection.upstream, default: []].append(connection)
    }

    func forget(_ connection: UpstreamConnection) {
        guard let kept = idle[connection.upstream] else { return }
        let rest = kept.filter { $0 !== connection }
        idle[connection.upstream] = rest.isEmpty ? nil : rest
    }

    /// How many unused connections are kept.
    var unused: Int { idle.values.reduce(0) { $0 + $1.count } }

    /// Whether there is nothing here that has to be looked at, and nothing to come.
    var isEmpty: Bool { dialling == 0 && idle.isEmpty }

    func sweep(_ now: NIODeadline) {
        for connection in idle.values.joined() where connection.idleSince + gateway.limits.upstreamIdle < now {
            connection.close()
        }
    }

    func closeAll() {
        for connection in idle.values.joined() { connection.close() }
        idle = [:]
    }

    /// Keeps no connection any more.
    func end() {
        isOver = true
        closeAll()
    }
}

extension ChannelOptions.Types.WriteBufferWaterMark {
    /// Above the high mark the other side is not read any more.
    static let egress = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
}
