/// What a request to the Messages API came to.
public struct MessagesOutcome: Sendable, Equatable {
    /// A call of a tool that the model asked for.
    public struct ToolCall: Sendable, Equatable {
        /// The tool's name.
        public var name: String
        /// SHA-256 of the input as compact JSON, members in the order sent: what Python's
        /// `json.dumps(input, separators=(',', ':'), ensure_ascii=False)` has; `nil` if the input did not come whole.
        public var inputDigest: String?

        /// Describes a call.
        public init(name: String, inputDigest: String?) {
            self.name = name
            self.inputDigest = inputDigest
        }
    }

    /// What is charged.
    public var charge: Charge
    /// The model that answered; the one asked for if none did.
    public var model: String
    /// Why the model stopped: `end_turn`, `tool_use` …; `nil` if the answer ended before it.
    public var stopReason: String?
    /// The tools that it called, in order, those of the provider too.
    public var toolCalls: [ToolCall]
    /// The type of the error that upstream told of, in a body or in the middle of a stream.
    public var errorType: String?
    /// Whether the whole response was seen.
    public var isComplete: Bool
    /// Whether the request carried the soft mark's note and the agent ended its turn: it was asked and did.
    public var answersNote: Bool
}
