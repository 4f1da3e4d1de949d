import NIOCore
import NIOPosix

/// Connects to one of the checked addresses of a name, IPv4 or IPv6.
///
/// The next address is tried when one has failed, and beside one that has not answered after 250 ms: a host from which no
/// way leads to the IPv6 internet does not wait for time-outs (RFC 8305, "Happy Eyeballs"). The first connection is kept,
/// and nothing is sent over any other. Confined to the loop.
final class Dialer: @unchecked Sendable {
    private let loop: any EventLoop
    private let timeout: TimeAmount
    private let promise: EventLoopPromise<any Channel>
    private var left: ArraySlice<SocketAddress>
    private var underWay = 0
    private var next: Scheduled<Void>?
    private var isOver = false

    private static let patience = TimeAmount.milliseconds(250)
    /// The most addresses of a name that are tried.
    private static let most = 8

    private init(_ addresses: [SocketAddress], _ loop: any EventLoop, _ timeout: TimeAmount) {
        self.loop = loop
        self.timeout = timeout
        promise = loop.makePromise()
        left = addresses.prefix(Self.most)
    }

    /// A connection without a handler, from which nothing is read yet.
    ///
    /// - Parameter timeout: for one address.
    static func connect(
        to addresses: [SocketAddress], on loop: any EventLoop, timeout: TimeAmount
    ) -> EventLoopFuture<any Channel> {
        let dialer = Dialer(addresses, loop, timeout)
        if addresses.isEmpty { dialer.end(.failure(ResolveError.unknown("no address"))) }
        dialer.tryNext()
        return dialer.promise.futureResult
    }

    private func tryNext() {
        next?.cancel()
        guard !isOver, let address = left.popFirst() else { return }
        underWay += 1
        if !left.isEmpty { next = loop.scheduleTask(in: Self.patience) { self.tryNext() } }
        ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: .egress)
            .connect(to: address)
            .assumeIsolated().whenComplete { result in
                self.underWay -= 1
                switch result {
                case .success(let channel):
                    if self.isOver { channel.close(promise: nil) } else { self.end(.success(channel)) }
                case .failure(let error):
                    if !self.left.isEmpty {
                        self.tryNext()
                    } else if self.underWay == 0, !self.isOver {
                        self.end(.failure(error))
                    }
                }
            }
    }

    private func end(_ result: Result<any Channel, any Error>) {
        isOver = true
        next?.cancel()
        promise.completeWith(result)
    }
}
