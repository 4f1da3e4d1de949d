import Foundation
import Glibc
import NIOCore
import NIOConcurrencyHelpers
import NIOPosix
import NIOSSL
import NIOTLS
import Syscalls
import SystemPackage

/// An answer, as a client read it.
struct Answer {
    var status: Int
    var head: String
    var body: String

    func field(_ name: String) -> String? {
        head.split(separator: "\r\n").dropFirst().first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
            .map { $0.dropFirst(name.utf8.count + 1).trimmingCharacters(in: .whitespaces) }
    }
}

/// A stream of bytes to the gateway: a socket, or TLS on one.
protocol ByteStream: AnyObject {
    func send(_ bytes: [UInt8])
    /// What comes within the time; `nil` at the end.
    func receive(timeout: Int) -> [UInt8]?
    func close()
}

final class SocketStream: ByteStream {
    let descriptor: Int32
    private var isOpen = true

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    func send(_ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            done += count
        }
    }

    func receive(timeout: Int) -> [UInt8]? {
        guard let ready = try? poll([(FileDescriptor(rawValue: descriptor), .readable)], timeout: timeout)[0],
            ready != []
        else { return [] }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count <= 0 ? nil : Array(buffer.prefix(count))
    }

    func close() {
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
    }
}

/// TLS of a client that says what it likes in its hello.
final class TLSStream: ByteStream, @unchecked Sendable {
    private struct Inbox {
        var bytes: [UInt8] = []
        var isClosed = false
        var isReady = false
        var protocolName: String?
        var failure: String?
    }

    private let inbox = NIOLockedValueBox(Inbox())
    let channel: any Channel
    private let descriptor: Int32

    init(
        _ descriptor: Int32, name: String?, trust: String? = nil, protocols: [String] = ["http/1.1"]
    ) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.applicationProtocols = protocols
        if let trust {
            configuration.trustRoots = .file(trust)
        } else {
            configuration.certificateVerification = .none
        }
        let context = try NIOSSLContext(configuration: configuration)
        let inbox = inbox
        self.descriptor = descriptor
        channel = try ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        try NIOSSLClientHandler(context: context, serverHostname: name), Inlet(inbox),
                    ])
                }
            }
            .withConnectedSocket(descriptor).wait()
    }

    private final class Inlet: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let inbox: NIOLockedValueBox<Inbox>

        init(_ inbox: NIOLockedValueBox<Inbox>) { self.inbox = inbox }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(unwrapInboundIn(data).readableBytesView)
            inbox.withLockedValue { $0.bytes += bytes }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted(let name)? = event as? TLSUserEvent {
                inbox.withLockedValue {
                    $0.isReady = true
                    $0.protocolName = name
                }
            }
        }

        func channelInactive(context: ChannelHandlerContext) { inbox.withLockedValue { $0.isClosed = true } }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            inbox.withLockedValue {
                $0.isClosed = true
                $0.failure = "\(error)"
            }
            context.close(promise: nil)
        }
    }

    /// Whether the handshake comes to its end.
    func handshake() -> Bool {
        for _ in 0..<15_000 {
            let state = inbox.withLockedValue { ($0.isReady, $0.isClosed) }
            if state.0 || state.1 { return state.0 }
            usleep(1000)
        }
        return false
    }

    var negotiated: String? { inbox.withLockedValue { $0.protocolName } }

    func send(_ bytes: [UInt8]) { try? channel.writeAndFlush(ByteBuffer(bytes: bytes)).wait() }

    func receive(timeout: Int) -> [UInt8]? {
        for _ in 0...timeout {
            let (bytes, isClosed) = inbox.withLockedValue { inbox in
                defer { inbox.bytes = [] }
                return (inbox.bytes, inbox.isClosed)
            }
            if !bytes.isEmpty { return bytes }
            if isClosed { return nil }
            usleep(1000)
        }
        return []
    }

    func close() { try? channel.close().wait() }

    /// Goes without a word.
    func cut() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}

/// A client that writes exactly what a test says, and reads answers.
final class Client {
    let stream: any ByteStream
    private var buffer: [UInt8] = []
    private(set) var isAtEnd = false

    init(_ stream: any ByteStream) { self.stream = stream }

    func send(_ text: String) { stream.send(Array(text.utf8)) }
    func send(_ bytes: [UInt8]) { stream.send(bytes) }

    private func fill(timeout: Int) -> Bool {
        guard !isAtEnd else { return false }
        guard let bytes = stream.receive(timeout: timeout) else {
            isAtEnd = true
            return false
        }
        buffer += bytes
        return !bytes.isEmpty
    }

    /// The next answer's head, without the empty line behind it.
    func head(timeout: Int = 15_000) -> String? {
        let mark = Array("\r\n\r\n".utf8)
        var end: Int?
        repeat {
            end = buffer.indices.first { buffer[$0...].starts(with: mark) }
        } while end == nil && fill(timeout: timeout)
        guard let end else { return nil }
        defer { buffer.removeFirst(end + 4) }
        return String(decoding: buffer[..<end], as: UTF8.self)
    }

    /// The next answer; `nil` where the connection ends, or nothing comes within the time.
    func answer(method: String = "GET", timeout: Int = 15_000) -> Answer? {
        guard let head = head(timeout: timeout) else { return nil }
        let words = head.split(separator: " ", maxSplits: 2)
        var answer = Answer(status: words.count > 1 ? Int(words[1]) ?? 0 : 0, head: head, body: "")
        if answer.status < 200 || method == "HEAD" || method == "CONNECT" && answer.status == 200 { return answer }
        var body: [UInt8] = []
        if let length = answer.field("content-length").flatMap(Int.init) {
            while buffer.count < length, fill(timeout: timeout) {}
            body = Array(buffer.prefix(length))
            buffer.removeFirst(min(length, buffer.count))
        } else if answer.field("transfer-encoding") == "chunked" {
            while let part = chunk(timeout), !part.isEmpty { body += part }
        } else {
            while fill(timeout: timeout) {}
            body = buffer
            buffer = []
        }
        answer.body = String(decoding: body, as: UTF8.self)
        return answer
    }

    private func chunk(_ timeout: Int) -> [UInt8]? {
        while true {
            if let line = buffer.firstIndex(of: 10),
                let size = Int(String(decoding: buffer[..<(line - 1)], as: UTF8.self), radix: 16)
            {
                if buffer.count >= line + 1 + size + 2 {
                    let part = Array(buffer[(line + 1)..<(line + 1 + size)])
                    buffer.removeFirst(line + 1 + size + 2)
                    return part
                }
            }
            if !fill(timeout: timeout) { return nil }
        }
    }

    /// So many bytes, or what comes until the end.
    func take(_ count: Int, timeout: Int = 10_000) -> [UInt8] {
        while buffer.count < count, fill(timeout: timeout) {}
        defer { buffer.removeFirst(min(count, buffer.count)) }
        return Array(buffer.prefix(count))
    }

    /// Whether the other side closes within the time.
    func isClosed(within timeout: Int = 15_000) -> Bool {
        let end = monotonicNanoseconds() + UInt64(timeout) * 1_000_000
        while !isAtEnd, monotonicNanoseconds() < end { _ = fill(timeout: 50) }
        return isAtEnd
    }

    func close() { stream.close() }
}
