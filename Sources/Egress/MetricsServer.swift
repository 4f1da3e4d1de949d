import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Syscalls

/// `/metrics` (OpenMetrics) and `/healthz` over HTTP, on a Unix socket and, where asked, on a port of 127.0.0.1.
///
/// A session reaches neither: the socket is in the gateway's directory, the port in the host's network namespace.
struct MetricsServer {
    static func start(_ gateway: Gateway, port: UInt16?) throws {
        let path = gateway.places.directory + "/metrics.sock"
        try? remove(path)
        _ = try bootstrap(gateway).bind(unixDomainSocketPath: path).wait()
        guard let port else { return }
        do {
            _ = try bootstrap(gateway).bind(host: "127.0.0.1", port: Int(port)).wait()
        } catch {
            throw GatewayError(
                "metrics: the port \(port) of 127.0.0.1 cannot be had: \(error)", fix: "name another in gateway.yaml")
        }
    }

    /// Connections at once, of the socket and of the port: whoever is on the host reaches the port, and could take the
    /// descriptors that sessions need.
    static let most = 32
    /// For the whole of a connection.
    private static let patience = TimeAmount.seconds(15)

    private static func bootstrap(_ gateway: Gateway) -> ServerBootstrap {
        let open = NIOLockedValueBox(0)
        return ServerBootstrap(group: gateway.group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                let isTooMany = open.withLockedValue { open in
                    open += 1
                    return open > most
                }
                channel.closeFuture.whenComplete { _ in open.withLockedValue { $0 -= 1 } }
                return channel.eventLoop.makeCompletedFuture {
                    if isTooMany { throw ChannelError.ioOnClosedChannel }
                    try channel.pipeline.syncOperations.addHandler(MetricsConnection(gateway))
                    let timeout = channel.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
                    channel.closeFuture.whenComplete { _ in timeout.cancel() }
                }
            }
    }
}

private final class MetricsConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let gateway: Gateway
    private var buffer = ByteBuffer()
    private var parser = HeadParser(.request, limits: HeadParser.Limits(bytes: 8192, fields: 64))
    private var isOver = false

    init(_ gateway: Gateway) { self.gateway = gateway }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var part = unwrapInboundIn(data)
        buffer.writeBuffer(&part)
        do throws(HTTPRefusal) {
            guard let head = try parser.next(&buffer) else { return }
            let path = head.start.1
            switch (head.start.0, path) {
            case ("GET", "/healthz"):
                let failure = gateway.journal.failure
                answer(failure == nil ? 200 : 503, "text/plain", failure.map { "\($0)\n" } ?? "ok\n", context)
            case ("GET", "/metrics"):
                let type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
                answer(200, type, gateway.metrics.text(sessions: gateway.sessionCount), context)
            default: answer(404, "text/plain", "expected GET /metrics or /healthz\n", context)
            }
        } catch {
            answer(error.status, "text/plain", error.reason + "\n", context)
        }
    }

    private func answer(_ status: Int, _ type: String, _ text: String, _ context: ChannelHandlerContext) {
        isOver = true
        var message = context.channel.allocator.buffer(capacity: text.utf8.count + 256)
        ResponseHead(status: status, fields: HeaderFields([("content-type", type)]))
            .write(into: &message, framing: .length(text.utf8.count), close: true)
        message.writeString(text)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(message)).assumeIsolated().whenComplete { _ in channel.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
