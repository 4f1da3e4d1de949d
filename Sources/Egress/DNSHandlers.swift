import EgressPolicy
import NIOCore

extension EgressSession {
    /// Answers a query from the policy alone: nothing is asked of anyone.
    func answer(_ message: [UInt8]) -> [UInt8]? {
        switch DNSQuestion.read(message) {
        case .none: return nil
        case .refused(let answer):
            countDenied("dns")
            return answer
        case .question(let question):
            guard !isClosed, let name = question.name, policy.resolves(name) else {
                logRefusal(
                    "no rule allows the name", status: nil, method: "DNS",
                    host: question.name?.text ?? "(not a host name)", port: 53, of: "names")
                return question.response(.noSuchName)
            }
            guard question.type == DNSQuestion.Kind.a else { return question.response(.empty) }
            guard let address = names.address(of: name) else {
                logRefusal(
                    "more than \(names.limit) names in one session", status: nil, method: "DNS", host: name.text,
                    port: 53, of: "names")
                return question.response(.failure)
            }
            return question.response(.address(SyntheticNames.bytes(address)))
        }
    }
}

/// DNS over UDP.
final class DatagramDNS: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let session: EgressSession

    init(_ session: EgressSession) { self.session = session }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let answer = session.answer(Array(envelope.data.readableBytesView)) else { return }
        // From the address that was asked: a client takes an answer from no other.
        context.write(
            wrapOutboundOut(
                AddressedEnvelope(
                    remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: answer),
                    metadata: envelope.metadata.flatMap { $0.packetInfo }.map {
                        .init(ecnState: .transportNotCapable, packetInfo: $0)
                    })),
            promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    // A client that is gone by the time of its answer.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// DNS over TCP: messages behind their lengths (RFC 7766).
final class StreamDNS: ChannelInboundHandler, SessionMember {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let session: EgressSession
    private var context: ChannelHandlerContext?
    private var buffer = ByteBuffer()
    private var lastRead = NIODeadline.now()

    init(_ session: EgressSession) { self.session = session }

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
        var part = unwrapInboundIn(data)
        lastRead = .now()
        buffer.writeBuffer(&part)
        while let length = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self),
            let message = buffer.getBytes(at: buffer.readerIndex + 2, length: Int(length))
        {
            buffer.moveReaderIndex(forwardBy: 2 + Int(length))
            guard length >= 12, length <= 1024, let answer = session.answer(message) else {
                return context.close(promise: nil)
            }
            var reply = ByteBuffer(integer: UInt16(answer.count))
            reply.writeBytes(answer)
            context.write(wrapOutboundOut(reply), promise: nil)
        }
        if buffer.readableBytes > 4096 { context.close(promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
        if context.channel.isWritable { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { if context.channel.isWritable { context.read() } }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func sweep(_ now: NIODeadline) { if lastRead + .seconds(30) < now { closeNow() } }

    func closeNow() { context?.close(promise: nil) }
}
