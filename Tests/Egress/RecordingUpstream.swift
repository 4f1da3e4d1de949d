import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

/// What an upstream answers: parts with pauses between them, and whether it then closes.
struct Script: Sendable {
    var parts: [[UInt8]]
    var pause: Int64 = 0
    var close = false
    /// Whether it reads no more meanwhile, and so does not hear that TLS was closed.
    var isDeaf = false

    static func text(_ text: String, close: Bool = false) -> Script { Script(parts: [Array(text.utf8)], close: close) }

    static func ok(_ body: String, fields: String = "") -> Script {
        text("HTTP/1.1 200 OK\r\ncontent-length: \(body.utf8.count)\r\n\(fields)\r\n\(body)")
    }
}

/// An upstream that remembers every connection, request and byte.
final class RecordingUpstream: Sendable {
    struct Record {
        var connections = 0
        var bytes = 0
        var requests: [String] = []
        /// The addresses of its own that were dialled.
        var addresses: [String] = []
    }

    private let record = NIOLockedValueBox(Record())
    private let answer: NIOLockedValueBox<@Sendable (String) -> Script>
    private let channel: any Channel
    private let last = NIOLockedValueBox<(any Channel)?>(nil)

    /// - Parameters:
    ///   - tls: the server's certificate; without one it speaks in the clear.
    ///   - group: whose threads it runs on, and in whose network it listens.
    init(
        tls: NIOSSLContext? = nil, isEcho: Bool = false, at host: String = "127.0.0.1", port: Int = 0,
        on group: MultiThreadedEventLoopGroup = .singleton
    ) throws {
        let last = last
        let record = record
        let answer = NIOLockedValueBox<@Sendable (String) -> Script>({ _ in .ok("hello") })
        self.answer = answer
        channel = try ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                record.withLockedValue {
                    $0.connections += 1
                    $0.addresses.append(channel.localAddress?.ipAddress ?? "")
                }
                last.withLockedValue { $0 = channel }
                return channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.addHandler(Handler(record, answer, isEcho))
                }
            }
            .bind(host: host, port: port).wait()
    }

    var port: Int { channel.localAddress!.port! }
    var connections: Int { record.withLockedValue { $0.connections } }
    var addresses: [String] { record.withLockedValue { $0.addresses } }
    var bytes: Int { record.withLockedValue { $0.bytes } }
    var requests: [String] { record.withLockedValue { $0.requests } }

    func answers(_ script: @escaping @Sendable (String) -> Script) { answer.withLockedValue { $0 = script } }
    /// Sends more over the newest connection.
    func push(_ text: String) throws { try last.withLockedValue { $0 }?.writeAndFlush(ByteBuffer(string: text)).wait() }
    func forget() { record.withLockedValue { $0 = Record() } }
    func close() { try? channel.close().wait() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        let record: NIOLockedValueBox<Record>
        let answer: NIOLockedValueBox<@Sendable (String) -> Script>
        let isEcho: Bool
        var buffer: [UInt8] = []

        init(
            _ record: NIOLockedValueBox<Record>, _ answer: NIOLockedValueBox<@Sendable (String) -> Script>,
            _ isEcho: Bool
        ) {
            self.record = record
            self.answer = answer
            self.isEcho = isEcho
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let part = unwrapInboundIn(data)
            record.withLockedValue { $0.bytes += part.readableBytes }
            if isEcho { return context.writeAndFlush(wrapOutboundOut(part), promise: nil) }
            buffer += part.readableBytesView
            while let request = takeRequest() {
                record.withLockedValue { $0.requests.append(request) }
                play(answer.withLockedValue { $0 }(request), context)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func play(_ script: Script, _ context: ChannelHandlerContext) {
            var delay: Int64 = 0
            let channel = context.channel
            if script.isDeaf { channel.setOption(.autoRead, value: false).whenFailure { _ in } }
            for part in script.parts {
                if script.pause == 0 {
                    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: part)), promise: nil)
                } else {
                    channel.eventLoop.scheduleTask(in: .milliseconds(delay)) {
                        channel.writeAndFlush(ByteBuffer(bytes: part), promise: nil)
                    }
                    delay += script.pause
                }
            }
            if script.close {
                channel.eventLoop.scheduleTask(in: .milliseconds(delay + 5)) { channel.close(promise: nil) }
            }
        }

        private func takeRequest() -> String? {
            let mark = Array("\r\n\r\n".utf8)
            guard let end = buffer.indices.first(where: { buffer[$0...].starts(with: mark) }) else { return nil }
            let head = String(decoding: buffer[..<end], as: UTF8.self)
            var total = end + 4
            let fields = head.lowercased().split(separator: "\r\n")
            if let length = fields.first(where: { $0.hasPrefix("content-length:") }) {
                total += Int(length.split(separator: ":")[1].trimmingCharacters(in: .whitespaces)) ?? 0
            } else if fields.contains(where: { $0.hasPrefix("transfer-encoding:") }) {
                // Nothing follows a chunked body in these tests.
                guard buffer.suffix(5).elementsEqual("0\r\n\r\n".utf8) else { return nil }
                total = buffer.count
            }
            guard buffer.count >= total else { return nil }
            let request = String(decoding: buffer[..<total], as: UTF8.self)
            buffer.removeFirst(total)
            return request
        }
    }
}
