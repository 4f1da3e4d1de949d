import Documents
import EgressPolicy

/// What happens to a model that the price table does not have.
public enum UnknownModelPolicy: String, Sendable, CaseIterable {
    /// Its requests are refused.
    case refuse
    /// It is charged at the highest rate of the table in every respect.
    case ceiling
}

/// One request to the Messages API, from its body to its end.
///
/// ```swift
/// var exchange = try MessagesExchange(method: "POST", path: "/v1/messages", body: body, rules: rules, prices: prices,
///     policy: .refuse, note: book.note(session: id), memory: memory)
/// let reservation = try book.reserve(session: id, exchange.reservation)
/// // send exchange.upstreamBody; then
/// exchange.response(status: 200, headers: headers)
/// exchange.received(bytes)  // as they come; they are passed on unchanged
/// let outcome = exchange.finish(aborted: false)
/// try book.settle(reservation, outcome)
/// ```
public struct MessagesExchange: Sendable {
    /// What to send in place of the client's body: the same, with the note where one was asked for.
    public let upstreamBody: [UInt8]
    /// The most that the request can cost. Counting tokens costs nothing.
    public let reservation: Charge
    /// The model asked for.
    public let model: String
    /// Whether a stream of events was asked for.
    public let isStreaming: Bool
    /// What the response so far is known to have cost, if that is more than was reserved: the caller asks the budget book
    /// for the rest (`BudgetBook.grow`), and ends the stream if it is refused.
    public private(set) var excess: Charge?

    private let prices: PriceTable
    private let costs: CostReading
    private let bound: CostBound
    /// Whether the bound is all that is known where the end of a response is not: the provider could do more than answer.
    private let hasSideCosts: Bool
    private let isFree: Bool
    private let carriesNote: Bool
    private let memory: PromptMemory?
    private let prefixes: PromptPrefixes?

    private var status: Int?
    private var reading: MessageReading?
    private var events: EventStream?
    private var decoder: ContentDecoder?
    /// Whether the response's body is, or became, something that cannot be read.
    private var isUnreadable = false
    private var receivedBytes = 0
    private var decodedBytes = 0
    private var pricedReports = 0

    /// No response of the API is as long as this; a stream that is, decoded, is there to keep the gateway busy. So is one
    /// that is many times as long as what was sent, beyond a length: text, however dull, is not.
    private var mostDecodedBytes: Int { min(1 << 30, 16 << 20 + 64 * receivedBytes) }

    /// Checks a request's body by the rules and bounds what it can cost.
    ///
    /// - Parameters:
    ///   - path: `/v1/messages` or `/v1/messages/count_tokens`, without the query.
    ///   - body: the whole body; the request must have no `content-encoding`.
    ///   - note: text to put behind the last block of the last user message, if the budget's soft mark asks for it.
    ///   - memory: what is known of the session's prompts, which makes the bound tighter.
    public init(
        method: String, path: String, body: [UInt8], rules: MessagesBodyRules, prices: PriceTable,
        policy: UnknownModelPolicy, note: String? = nil, memory: PromptMemory? = nil
    ) throws(MeteringRefusal) {
        var read = MessagesBody(rules: rules, remembers: memory != nil)
        body.withUnsafeBytes { read.read($0) }
        try self.init(
            method: method, path: path, body: body, read: read, rules: rules, prices: prices, policy: policy,
            note: note, memory: memory)
    }

    /// The same for a body that was read as it came.
    public init(
        method: String, path: String, body: [UInt8], read: MessagesBody, rules: MessagesBodyRules, prices: PriceTable,
        policy: UnknownModelPolicy, note: String? = nil, memory: PromptMemory? = nil
    ) throws(MeteringRefusal) {
        guard method == "POST", path == "/v1/messages" || path == "/v1/messages/count_tokens" else {
            throw MeteringRefusal(.notGranted, "\(method) \(path), which is not metered")
        }
        var read = read
        let scan = try read.finish(body)
        guard let model = scan.model else { throw MeteringRefusal(.malformed, "model: expected a string") }
        // Whoever answers in its place is held to the same list.
        for model in [model] + scan.facts.fallbacks { try Self.check(model, rules) }
        if scan.facts.hasAnyFallback, !rules.models.isEmpty {
            throw MeteringRefusal(
                .notGranted, "fallbacks: a model of the provider's choice, which the rule does not grant")
        }
        isFree = path != "/v1/messages"
        guard let maxTokens = scan.maxTokens ?? (isFree ? 0 : nil) else {
            throw MeteringRefusal(.malformed, "max_tokens: expected a whole number")
        }
        if let most = rules.maxTokens, maxTokens > most {
            throw MeteringRefusal(.notGranted, "max_tokens: expected at most \(most), found \(maxTokens)")
        }
        guard let rates = prices.rates(for: model) ?? (policy == .ceiling ? prices.ceiling : nil) else {
            throw MeteringRefusal(
                .unknownModel,
                "the price table of \(prices.date) has no model \(model.prefix(64)); its models: "
                    + prices.models.joined(separator: ", "))
        }
        bound = CostBound(
            bytes: body.count, known: scan.prefixes.flatMap { memory?.known($0) }, facts: scan.facts, model: model,
            maxTokens: maxTokens, rates: rates, prices: prices)
        reservation =
            isFree ? Charge(nanodollars: 0, tokens: 0, model: model, priceDigest: prices.digest) : bound.charge
        self.model = model
        self.prices = prices
        isStreaming = scan.isStreaming
        let facts = scan.facts
        costs = CostReading(prices: prices, policy: policy, mayWriteHour: facts.caching == .hour)
        hasSideCosts = facts.hasServerTools || facts.compacts || facts.hasAnyFallback || !facts.fallbacks.isEmpty
        self.memory = hasSideCosts || facts.hasUnboundedInput ? nil : memory
        prefixes = scan.prefixes
        // A request without tools is a title or a summary of the client's own: nobody there could commit anything.
        if let note, let place = scan.lastUser, scan.hasTools, !isFree {
            upstreamBody = Self.body(body, with: note, at: place)
            carriesNote = true
        } else {
            upstreamBody = body
            carriesNote = false
        }
    }

    private static func check(_ model: String, _ rules: MessagesBodyRules) throws(MeteringRefusal) {
        let isGranted =
            rules.models.isEmpty
            || rules.models.contains { pattern in
                pattern.hasSuffix("*") ? model.hasPrefix(pattern.dropLast()) : model == pattern
            }
        if !isGranted {
            throw MeteringRefusal(.notGranted, "the model \(model.prefix(64)), which the rule does not grant")
        }
    }

    /// The body with a block of text behind the last of the last user message. It has no cache mark, and stands behind
    /// all that have one: what is cached is the same with and without it.
    private static func body(_ body: [UInt8], with note: String, at place: RequestScan.NotePlace) -> [UInt8] {
        let block = Array((["type": "text", "text": Node(.string(note))] as Node).json().utf8)
        switch place {
        case .text(let range):
            return body[..<range.lowerBound] + Array(#"[{"type":"text","text":"#.utf8) + body[range] + Array("},".utf8)
                + block + Array("]".utf8) + body[range.upperBound...]
        case .list(let close, let isEmpty):
            return body[..<close] + Array(isEmpty ? "".utf8 : ",".utf8) + block + body[close...]
        }
    }

    // The response.

    /// Takes the head of the response. 1xx heads are not to be handed over.
    public mutating func response(status: Int, headers: [(String, String)]) {
        self.status = status
        func header(_ name: String) -> String? {
            let values = headers.filter { $0.0.lowercased() == name }.map(\.1)
            return values.isEmpty ? nil : values.joined(separator: ",")
        }
        let type = (header("content-type") ?? "").prefix { $0 != ";" }.lowercased().filter { $0 != " " }
        decoder = ContentDecoder(header("content-encoding"))
        isUnreadable = decoder == nil || type != "application/json" && type != "text/event-stream"
        if type == "text/event-stream" { events = EventStream() }
        reading = MessageReading(isStream: events != nil)
    }

    /// Observes bytes of the response's body as they come from upstream; they are to be passed on unchanged.
    public mutating func received(_ bytes: UnsafeRawBufferPointer) {
        guard !isUnreadable, !bytes.isEmpty, let decoder, var reading else { return }
        self.reading = nil
        var events = events
        var count = decodedBytes
        receivedBytes += bytes.count
        let most = mostDecodedBytes
        let isSound = decoder.decode(bytes) { bytes, isBetween in
            count += bytes.count
            if count > most { return false }
            if isBetween { return true }
            if events == nil { reading.read(bytes) } else { events?.read(bytes, to: &reading) }
            return true
        }
        decodedBytes = count
        if reading.reports > pricedReports, !isFree {
            pricedReports = reading.reports
            let charge = charge(reading)
            let exceeds = charge.nanodollars > reservation.nanodollars || charge.tokens > reservation.tokens
            excess = exceeds ? charge : nil
        }
        self.events = events
        self.reading = reading
        if !isSound { isUnreadable = true }
    }

    /// Observes bytes of the response's body as they come from upstream; they are to be passed on unchanged.
    public mutating func received(_ bytes: [UInt8]) { bytes.withUnsafeBytes { received($0) } }

    // The end.

    /// The end of the exchange, whatever ended it; to be called once.
    ///
    /// - Parameter aborted: whether anything but the end of the response ended it: the client went, upstream reset.
    public mutating func finish(aborted: Bool) -> MessagesOutcome {
        if events != nil { reading?.streamEnded() }
        // A response that was seen to its last count is whole, whoever closed the connection after it.
        let isComplete = !isUnreadable && reading?.isComplete == true && reading?.isDamaged == false
        let charge = finalCharge(isComplete: isComplete, aborted: aborted)
        if let memory, let prefixes, let reading, isComplete, !charge.isEstimated {
            let prompt = reading.report.counts.usage(mayWriteHour: false).prompt
            if prompt > 0, (reading.report.iterations ?? []).count <= 1 { memory.remember(prefixes, tokens: prompt) }
        }
        return MessagesOutcome(
            charge: charge, model: reading?.model ?? model, stopReason: reading?.stopReason,
            toolCalls: reading?.tools.finish() ?? [], errorType: reading?.errorType, isComplete: isComplete,
            answersNote: carriesNote && isComplete && reading?.stopReason == "end_turn")
    }

    /// The end of an exchange of which no byte of the body was sent upstream: it costs nothing.
    public func unsent() -> MessagesOutcome {
        MessagesOutcome(charge: nothing, model: model, toolCalls: [], isComplete: false, answersNote: false)
    }

    private var nothing: Charge { Charge(nanodollars: 0, tokens: 0, model: model, priceDigest: prices.digest) }

    private func finalCharge(isComplete: Bool, aborted: Bool) -> Charge {
        if isFree { return nothing }
        guard let status, let reading else { return reservation }
        // Errors are not charged.
        guard 200..<300 ~= status else { return nothing }
        if isComplete, reading.hasUsage { return charge(reading) }
        // A stream that begins with an error never came to a model.
        if reading.errorType != nil, !reading.hasBegun, !reading.isDamaged, !isUnreadable { return nothing }
        return estimate(reading)
    }

    /// What the usage that was told comes to.
    private func charge(_ reading: MessageReading) -> Charge {
        let model = reading.model ?? self.model
        let (picodollars, usage, isCeiling) = costs.cost(reading.report, model: model)
        return Charge(
            nanodollars: nanodollars(picodollars), tokens: usage.tokens, usage: usage, model: model,
            isEstimated: isCeiling, priceDigest: prices.digest)
    }

    /// The most that a response can have cost whose end was not seen: the prompt as it was told, an answer of all
    /// tokens that were asked for. What was sampled upstream after the last byte that came here, nobody tells.
    private func estimate(_ reading: MessageReading) -> Charge {
        let seen = charge(reading)
        var worst = reservation
        if reading.hasBegun, reading.hasUsage, !reading.isDamaged, !isUnreadable, !hasSideCosts {
            var report = reading.report
            report.counts.output = max(report.counts.output ?? 0, bound.output)
            report.iterations = nil
            let (picodollars, usage, _) = costs.cost(report, model: seen.model)
            worst = Charge(
                nanodollars: nanodollars(picodollars), tokens: usage.tokens, usage: usage, model: seen.model,
                priceDigest: prices.digest)
        }
        if seen.nanodollars > worst.nanodollars { worst.nanodollars = seen.nanodollars }
        if seen.tokens > worst.tokens { worst.tokens = seen.tokens }
        worst.model = seen.model
        worst.isEstimated = true
        return worst
    }
}
