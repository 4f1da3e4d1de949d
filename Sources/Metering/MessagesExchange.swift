/// What happens to a model that the price table does not have.
public enum UnknownModelPolicy: String, Sendable, CaseIterable {
    /// Its requests are refused.
    case refuse
    /// It is charged at the highest rate of the table in every respect.
    case ceiling
}

/// One request to the Messages API, from its body to its end.
public struct MessagesExchange: Sendable {
    /// What to send in place of the client's body: the same, with the note where one was asked for.
    public let upstreamBody: [UInt8]
    /// The most that the request can cost. Nothing is to be reserved for `count_tokens`: the bound is 0.
    public let reservation: Charge
    /// The model asked for.
    public let model: String
    /// Whether a stream of events was asked for.
    public let isStreaming: Bool

    /// Checks a request's body by the rules and bounds what it can cost.
    ///
    /// - Parameters:
    ///   - path: `/v1/messages` or `/v1/messages/count_tokens`, without the query.
    ///   - body: the whole body; the request must have no `content-encoding`.
    ///   - note: text to put behind the last block of the last user message, if the budget's soft mark asks for it.
    public init(
        method: String, path: String, body: [UInt8], rules: MessagesBodyRules, prices: PriceTable,
        policy: UnknownModelPolicy, note: String? = nil
    ) throws(MeteringRefusal) {
        throw MeteringRefusal(.notGranted, "the Messages API is not metered yet")
    }

    /// Takes the head of the response. 1xx heads are not to be handed over.
    public mutating func response(status: Int, headers: [(String, String)]) {}

    /// Observes bytes of the response's body as they come from upstream; they are to be passed on unchanged.
    public mutating func received(_ bytes: UnsafeRawBufferPointer) {}

    /// Observes bytes of the response's body as they come from upstream; they are to be passed on unchanged.
    public mutating func received(_ bytes: [UInt8]) { bytes.withUnsafeBytes { received($0) } }

    /// What the response so far is known to have cost, if that is more than was reserved: the caller asks the budget
    /// book for the rest (`BudgetBook.grow`), and ends the stream if it is refused.
    public var excess: Charge? { nil }

    /// The end of the exchange, whatever ended it; to be called once.
    ///
    /// - Parameter aborted: whether anything but the end of the response ended it: the client went, upstream reset.
    public mutating func finish(aborted: Bool) -> MessagesOutcome {
        MessagesOutcome(
            charge: reservation, model: model, toolCalls: [], isComplete: false, answersNote: false)
    }

    /// The end of an exchange of which no byte of the body was sent upstream: it costs nothing.
    public func unsent() -> MessagesOutcome {
        MessagesOutcome(charge: reservation, model: model, toolCalls: [], isComplete: false, answersNote: false)
    }
}
