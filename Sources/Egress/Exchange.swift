import EgressPolicy
import Metering
import NIOCore
import Syscalls

/// The side of an exchange that a client sees: an HTTP/1.1 connection, or a stream of HTTP/2.
protocol ExchangeClient: AnyObject {
    func respond(_ head: ResponseHead, framing: BodyFraming)
    /// Sends what was written: its body will take a while.
    func flushResponse()
    func respondBody(_ part: ByteBuffer)
    /// - Parameter close: whether nothing more may come on this connection.
    func respondEnd(close: Bool)
    func respondContinue()
    /// Ends the response where it is: what was sent is not all.
    func abortResponse()
    /// The client's own channel, when it becomes a tunnel; with what was read of it already.
    func releaseChannel(after head: ResponseHead) -> (channel: any Channel, rest: ByteBuffer)?
    /// More of the request's body is wanted.
    func resumeRequest()
    var canTakeResponse: Bool { get }
}

/// One request and its response: decided, checked, sent with the credential, watched on the way back, logged.
///
/// Nothing goes upstream before the policy has allowed it, the first bytes of its body have been read without an error
/// of framing, its record stands in the log, and the upstream has proven its name. All on the session's event loop.
final class Exchange: UpstreamReader, SessionMember {
    let session: EgressSession
    let head: RequestHead
    let destination: Upstream
    let client: any ExchangeClient

    /// How it goes out; `nil` where it does not.
    private var admission: RequestAdmission?
    private var entry: RequestEntry
    private let began = NIODeadline.now()
    private var firstByteAt: NIODeadline?
    private var lastMoved = NIODeadline.now()

    /// The body as far as it waits for being sent.
    private var collected = ByteBuffer()
    private var collectedWhole = false
    private var received = 0
    private var sentUp = 0
    private var sentDown = 0

    private enum State {
        case collecting
        /// Waits for the log and the connection.
        case dispatching
        case sending
        case over
    }
    private var state = State.collecting
    private var connection: UpstreamConnection?
    /// Whether its record was handed to the log, and whether it stands there.
    private var isRecorded = false
    private var isLogged = false
    private var sendsChunks = false
    private var hasHead = false

    private var tripwire = Tripwire(SecretText([]))
    private var scrubber = Scrubber(SecretText([]))
    /// The body as far as it was read, where it is one of the Messages API.
    private var messages: MessagesBody?
    private var metered: MeteredExchange?

    /// The most of a body that is collected before the upstream is dialled.
    static let firstPart = 64 << 10

    init(_ session: EgressSession, _ head: RequestHead, to destination: Upstream, client: any ExchangeClient) {
        self.session = session
        self.head = head
        self.destination = destination
        self.client = client
        entry = RequestEntry(
            phase: .request, id: session.nextRequestID(), session: session.id, tenant: session.tenant,
            method: head.method, host: destination.host.text, port: destination.port)
    }

    private var limits: GatewayLimits { session.gateway.limits }

    /// Decides by the head. Body parts come after it, if the exchange is not over by then.
    func begin(path: String, query: String?) {
        session.requests += 1
        session.join(self)
        do throws(HTTPRefusal) {
            let admission = try session.admit(head, to: destination, path: path, query: query, &entry)
            tripwire = Tripwire(admission.forbidden)
            self.admission = admission
            if admission.allowed.isMessagesAPI {
                messages = MessagesBody(rules: admission.allowed.bodyRules ?? MessagesBodyRules())
            }
        } catch {
            refuse(Refusal(error))
            return
        }
        if head.expectsContinue { client.respondContinue() }
    }

    // MARK: The request's body

    /// Whether the client's side should read on.
    var wantsRequestBytes: Bool {
        switch state {
        case .collecting: true
        case .dispatching: collected.readableBytes < Self.firstPart
        case .sending: connection?.isWritable ?? false
        case .over: false
        }
    }

    var isOver: Bool { if case .over = state { true } else { false } }

    func requestBody(_ part: ByteBuffer) {
        guard !isOver, let admission else { return }
        lastMoved = .now()
        received += part.readableBytes
        if tripwire.isTouched(by: part) { return refuse(Refusal(session.trip(destination.host))) }
        if received > admission.requestBytes {
            return refuse(Refusal(413, "a body of more than \(admission.requestBytes) bytes"))
        }
        if case .sending = state, let connection {
            return send(part, over: connection, isLast: false)
        }
        session.bufferedBytes += part.readableBytes
        collected.writeImmutableBuffer(part)
        _ = part.withUnsafeReadableBytes { messages?.read($0) }
        if session.bufferedBytes > limits.bufferedBytes {
            return refuse(Refusal(503, "more than \(limits.bufferedBytes) bytes of requests wait for being sent"))
        }
        if case .collecting = state, !admission.needsWhole, collected.readableBytes >= Self.firstPart { dispatch() }
    }

    func requestEnd() {
        guard !isOver else { return }
        switch state {
        case .collecting:
            collectedWhole = true
            dispatch()
        case .dispatching: collectedWhole = true
        case .sending:
            if let connection { send(ByteBuffer(), over: connection, isLast: true) }
        case .over: break
        }
    }

    /// The rest of the request cannot be read: what was sent of it is cut off.
    func requestFailed(_ refusal: HTTPRefusal) { refuse(Refusal(refusal)) }

    func clientGone() {
        guard !isOver else { return }
        finish(status: nil, refusal: nil, aborted: true)
    }

    // MARK: Sending

    private func dispatch() {
        guard let admission else { return }
        state = .dispatching
        if let push = admission.allowed.pushPolicy,
            let why = refusalOfPush(Array(collected.readableBytesView), push)
        {
            return refuse(Refusal(403, why))
        }
        if admission.allowed.isMessagesAPI {
            do throws(MeteredRefusal) {
                try reserve(admission)
            } catch {
                if let decision = error.decision {
                    session.loop.execute { [session] in session.stop(decision) }
                }
                return refuse(error.refusal)
            }
        }
        session.countAllowed(rule: admission.allowed.rule)
        if session.policy.logBodies, metered != nil { entry.requestBody = Array(collected.readableBytesView) }
        let written = session.loop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success:
                self.isLogged = true
                self.sendIfReady()
            case .failure(let error): self.logFailed(error)
            }
        }
        isRecorded = true
        session.gateway.journal.append(entry, written)
        session.pool.acquire(destination) { result in
            switch result {
            case .success(let connection):
                guard case .dispatching = self.state else { return self.session.pool.give(connection) }
                self.connection = connection
                self.entry.timings.append(("connected", self.elapsed))
                self.sendIfReady()
            case .failure(let error): self.upstreamFailed(error)
            }
        }
    }

    private var elapsed: UInt64 { UInt64((NIODeadline.now() - began).nanoseconds) }

    private func logFailed(_ error: any Error) {
        guard !isOver else { return }
        let detail = "the request log cannot be written: \(error)"
        refuse(Refusal(503, detail))
        if (error as? SystemError)?.errno == RequestJournal.isFull { return }
        session.stop(GatewayDecision(.end, .log, detail: detail))
    }

    private func reserve(_ admission: RequestAdmission) throws(MeteredRefusal) {
        let rules = admission.allowed.bodyRules ?? MessagesBodyRules()
        let read = messages ?? MessagesBody(rules: rules)
        messages = nil
        let exchange = try MeteredExchange(
            session, method: head.method, path: admission.path, body: Array(collected.readableBytesView), read: read,
            rules: rules)
        session.bufferedBytes += exchange.upstreamBody.count - collected.readableBytes
        collected = ByteBuffer(bytes: exchange.upstreamBody)
        metered = exchange
    }

    private func sendIfReady() {
        guard case .dispatching = state, isLogged, let connection, let admission else { return }
        state = .sending
        session.bufferedBytes -= collected.readableBytes
        if let credential = admission.credential { scrubber = Scrubber(credential.spellings) }
        var message = session.gateway.allocator.buffer(capacity: 1024 + collected.readableBytes)
        admission.write(head, to: destination, into: &message)
        sendsChunks = false
        if collectedWhole {
            if head.framing != .none || ["POST", "PUT", "PATCH"].contains(head.method) {
                message.writeString("content-length: \(collected.readableBytes)\r\n")
            }
        } else if case .length(let count) = head.framing {
            message.writeString("content-length: \(count)\r\n")
        } else {
            sendsChunks = true
            message.writeStaticString("transfer-encoding: chunked\r\n")
        }
        message.writeStaticString("\r\n")
        if sendsChunks { message.writeChunk(collected) } else { message.writeImmutableBuffer(collected) }
        count(up: collected.readableBytes)
        collected = ByteBuffer()
        connection.send(
            message, method: head.method, mayUpgrade: head.isWebSocket, isWhole: collectedWhole, to: self)
        if !collectedWhole { client.resumeRequest() }
    }

    private func send(_ part: ByteBuffer, over connection: UpstreamConnection, isLast: Bool) {
        count(up: part.readableBytes)
        guard sendsChunks else { return connection.sendBody(part, isLast: isLast) }
        var message = session.gateway.allocator.buffer(capacity: part.readableBytes + 16)
        if part.readableBytes > 0 { message.writeChunk(part) }
        if isLast { message.writeStaticString("0\r\n\r\n") }
        connection.sendBody(message, isLast: isLast)
    }

    private func count(up: Int = 0, down: Int = 0) {
        sentUp += up
        sentDown += down
        session.count(up: up, down: down)
    }

    // MARK: The response

    var wantsUpstreamBytes: Bool { !isOver && client.canTakeResponse }

    func upstreamWritable() { if !isOver { client.resumeRequest() } }

    func clientWritable() { if case .sending = state { connection?.resume() } }

    func upstreamHead(_ response: ResponseHead, framing: BodyFraming) {
        lastMoved = .now()
        firstByteAt = lastMoved
        entry.timings.append(("first-byte", elapsed))
        hasHead = true
        entry.status = response.status
        metered?.response(response)
        var answer = response
        answer.fields = response.fields.forwarded(dropping: ["content-length", "alt-svc"])
        coverCredential(in: &answer)
        if case .none = framing, let length = response.fields["content-length"], head.method == "HEAD" {
            answer.fields.append("content-length", length)
        }
        client.respond(answer, framing: framing)
    }

    func upstreamWaits() { if !isOver { client.flushResponse() } }

    private func coverCredential(in answer: inout ResponseHead) {
        guard let credential = admission?.credential else { return }
        answer.reason = credential.spellings.covered(answer.reason)
        // Names are in lower case by now; stars are none.
        answer.fields.remove { credential.lowered.isFound(in: $0) }
        answer.fields.mapValues { credential.spellings.covered($0) }
    }

    func upstreamBody(_ part: ByteBuffer) {
        guard !isOver else { return }
        lastMoved = .now()
        count(down: part.readableBytes)
        let most = admission?.responseBytes ?? limits.responseBytes
        if sentDown > most { return upstreamFailed(HTTPRefusal(502, "a response of more than \(most) bytes")) }
        if let refusal = metered?.received(part) {
            client.respondBody(ByteBuffer(bytes: BillingError.sseError(refusal)))
            let decision = refusal.decision
            finish(status: entry.status, refusal: refusal.description, aborted: true)
            client.abortResponse()
            return session.stop(decision)
        }
        let passed = scrubber.scrub(part)
        if passed.readableBytes > 0 { client.respondBody(passed) }
    }

    func upstreamEnd() {
        guard !isOver else { return }
        if let rest = scrubber.finish() { client.respondBody(rest) }
        // The upstream may answer before it has the whole request; nobody reads the rest then.
        let isWhole = collectedWhole || head.framing == .none || sentUp >= (head.framing.length ?? .max)
        // It gives itself back to the pool.
        connection = nil
        finish(status: entry.status, refusal: nil, aborted: false)
        client.respondEnd(close: !isWhole && !requestWasRead)
    }

    /// Set by the client's side when it has read the whole request.
    var requestWasRead = false

    func upstreamSwitched(_ response: ResponseHead, _ connection: UpstreamConnection, _ rest: ByteBuffer) {
        guard !isOver else { return connection.close() }
        var answer = response
        answer.fields = response.fields.forwarded()
        coverCredential(in: &answer)
        answer.fields.append("connection", "upgrade")
        answer.fields.append("upgrade", "websocket")
        entry.status = 101
        guard session.tunnels < limits.tunnels, let upstream = connection.release() else {
            connection.close()
            return refuse(Refusal(503, "more than \(limits.tunnels) tunnels at once"))
        }
        self.connection = nil
        guard let (channel, early) = client.releaseChannel(after: answer) else {
            upstream.close(promise: nil)
            return finish(status: nil, refusal: nil, aborted: true)
        }
        var entry = entry
        entry.phase = .response
        let secrets = admission?.credential?.spellings ?? SecretText([])
        over()
        Tunnel.start(session, channel, upstream, early: early, late: rest, entry: entry, began: began, hiding: secrets)
    }

    func upstreamFailed(_ error: any Error) {
        guard !isOver else { return }
        connection = nil
        if hasHead {
            finish(status: entry.status, refusal: "the response broke off: \(told(error))", aborted: true)
            client.abortResponse()
        } else {
            refuse(refusal(for: error))
        }
    }

    private func told(_ error: any Error) -> String { (error as? HTTPRefusal)?.reason ?? "\(error)" }

    private func refusal(for error: any Error) -> Refusal {
        switch error {
        case let error as ResolveError: error.refusal
        case let error as HTTPRefusal where error.status == 504: Refusal(error)
        case let error as HTTPRefusal: Refusal(502, "the upstream's answer is not one: \(error.reason)")
        default: Refusal(502, "\(destination.host) cannot be asked: \(error)")
        }
    }

    // MARK: The end

    /// Answers in the upstream's place.
    private func refuse(_ refusal: Refusal) {
        guard !isOver else { return }
        finish(status: refusal.status, refusal: refusal.reason, aborted: true)
        if hasHead { return client.abortResponse() }
        client.refuse(refusal, close: !requestWasRead, isHead: head.method == "HEAD")
    }

    private func finish(status: Int?, refusal: String?, aborted: Bool) {
        connection?.close()
        connection = nil
        let wasSent: Bool
        if case .sending = state { wasSent = true } else { wasSent = false }
        // Where the request's own record was not written yet, this is it.
        entry.phase = isRecorded ? .response : .request
        entry.status = status
        entry.refusal = refusal
        var isWritten = true
        if let refusal, !isRecorded {
            session.countDenied(entry.rule ?? "\(status ?? 0)")
            entry.refusal = session.wordsOfRefusal(refusal)
            isWritten = entry.refusal != nil
        }
        entry.bytesUp = UInt64(sentUp)
        entry.bytesDown = UInt64(sentDown)
        entry.timings.append(("end", elapsed))
        if let outcome = metered?.finish(aborted: aborted, wasSent: wasSent) {
            entry.messages = outcome
            session.countCharge(outcome)
        }
        entry.requestBody = nil
        entry.responseBody = metered?.responseCopy
        session.gateway.metrics.finished(
            nanoseconds: Int64(elapsed), firstByte: firstByteAt.map { ($0 - began).nanoseconds }, up: sentUp,
            down: sentDown)
        if isWritten { session.gateway.journal.append(entry, nil) }
        over()
    }

    private func over() {
        if case .sending = state {} else { session.bufferedBytes -= collected.readableBytes }
        collected = ByteBuffer()
        state = .over
        session.requests -= 1
        session.leave(self)
    }

    // MARK: Time

    func sweep(_ now: NIODeadline) {
        switch state {
        case .collecting:
            if lastMoved + limits.bodyTimeout < now { refuse(Refusal(408, "the body did not come")) }
        case .sending, .dispatching:
            if lastMoved + limits.responseTimeout < now { upstreamFailed(tooLate) }
        case .over: break
        }
    }

    private var tooLate: HTTPRefusal {
        HTTPRefusal(504, "no answer of \(destination.host) for \(limits.responseTimeout.nanoseconds / 1_000_000_000) s")
    }

    func closeNow() {
        guard !isOver else { return }
        finish(status: nil, refusal: "the session's egress ended", aborted: true)
        client.abortResponse()
    }
}

extension BodyFraming {
    var length: Int? { if case .length(let count) = self { count } else { nil } }
}

extension ExchangeClient {
    /// Answers with a refusal in words; none where only the head was asked for.
    func refuse(_ refusal: Refusal, close: Bool, isHead: Bool = false) {
        let body =
            refusal.body
            ?? Array(
                "{\"error\":{\"type\":\"carrel_egress\",\"message\":\(jsonText(refusal.reason))}}\n".utf8)
        var fields = HeaderFields(refusal.fields)
        if !fields.contains("content-type") { fields.append("content-type", "application/json") }
        fields.append("x-carrel-egress", "refused")
        if isHead { fields.append("content-length", "\(body.count)") }
        respond(
            ResponseHead(status: refusal.status, fields: fields), framing: isHead ? .none : .length(body.count))
        if !isHead { respondBody(ByteBuffer(bytes: body)) }
        respondEnd(close: close)
    }
}
