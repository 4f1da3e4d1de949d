import Synchronization

/// How many tokens the beginnings of a session's prompts have, as upstream counted them.
///
/// An agent sends its whole conversation with every request. What was counted once need not be bounded by its bytes
/// again, which are about four times the tokens: a budget is used to its end, not to three quarters.
public final class PromptMemory: Sendable {
    private struct State {
        var tokens: [[UInt8]: UInt64] = [:]
        var order: [[UInt8]] = []
    }

    private let state = Mutex(State())
    /// Conversations that go on at the same time: an agent's own, its helpers', its titles'.
    private static let most = 256
    /// How many messages are looked along.
    private static let looked = 4096

    /// A memory of nothing.
    public init() {}

    /// The tokens of the longest known beginning, and what of messages follows it.
    func known(_ prefixes: PromptPrefixes) -> KnownPrompt? {
        guard let last = prefixes.ends.last else { return nil }
        let head = prefixes.head
        return state.withLock { state in
            // A request goes on from one of the last before it.
            for end in prefixes.ends.suffix(Self.looked).reversed() {
                guard let tokens = state.tokens[head + end.digest] else { continue }
                return KnownPrompt(
                    tokens: tokens, bytes: last.offset - end.offset - (last.imageBytes - end.imageBytes),
                    images: last.images - end.images, describedTools: last.describedTools - end.describedTools)
            }
            return nil
        }
    }

    func remember(_ prefixes: PromptPrefixes, tokens: UInt64) {
        guard let last = prefixes.ends.last else { return }
        let key = prefixes.head + last.digest
        state.withLock { state in
            if state.tokens.updateValue(tokens, forKey: key) == nil { state.order.append(key) }
            if state.order.count > Self.most { state.tokens[state.order.removeFirst()] = nil }
        }
    }
}

/// The tokens of a prompt's beginning, and what follows it: bytes beside images, and what counts by its own measure.
struct KnownPrompt: Sendable {
    var tokens: UInt64
    var bytes: Int
    var images: Int
    var describedTools: Int
}

/// What a prompt is made of, message by message, as digests that do not depend on cache marks, which clients move.
struct PromptPrefixes: Sendable {
    /// The members of a body that the prompt is made of.
    static let members: Set<String> = [
        "model", "messages", "system", "tools", "tool_choice", "thinking", "context_management", "output_config",
        "output_format", "speed",
    ]

    /// The digest of all but the messages; known when the body is read.
    var head: [UInt8] {
        var copy = others
        return copy.digest()
    }
    struct End: Sendable {
        /// Of all messages up to this one.
        let digest: [UInt8]
        /// Behind this message.
        let offset: Int
        // What there was up to here.
        let images: Int
        let imageBytes: Int
        let describedTools: Int
    }

    /// The end of each message.
    private(set) var ends: [End] = []

    private var others = JSONDigest()
    private var messages = JSONDigest()
    private var isInMessages = false
    private var isInValue = false
    private var depth = 0
    /// At which depth there is a member that is left out.
    private var leftOut: Int?

    mutating func open(_ container: JSONContainer) {
        if leftOut == nil {
            if isInMessages { messages.open(container, at: 0) } else { others.open(container, at: 0) }
        }
        depth += 1
    }

    /// - Parameter facts: what was found so far, where a message ends here.
    mutating func close(_ container: JSONContainer, before offset: Int, facts: CostFacts?) {
        depth -= 1
        if leftOut == nil {
            if isInMessages { messages.close(container, before: 0) } else { others.close(container, before: 0) }
            if let facts {
                ends.append(
                    End(
                        digest: messages.digest(), offset: offset, images: facts.images, imageBytes: facts.imageBytes,
                        describedTools: facts.describedTools))
            }
        }
        ended()
    }

    mutating func key(_ text: [UInt8], isLeftOut: Bool) {
        if leftOut != nil { return }
        if isLeftOut {
            leftOut = depth
            return
        }
        if depth == 1 {
            isInMessages = text.elementsEqual("messages".utf8)
            if isInMessages { return }
        }
        begin(.key, at: 0)
        text.withUnsafeBufferPointer { part($0) }
        end(.key)
    }

    mutating func begin(_ token: JSONToken, at offset: Int) {
        guard leftOut == nil else { return }
        isInValue = true
        if isInMessages { messages.begin(token, at: 0) } else { others.begin(token, at: 0) }
    }

    mutating func part(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard isInValue else { return }
        if isInMessages { messages.part(bytes) } else { others.part(bytes) }
    }

    mutating func end(_ token: JSONToken) {
        if isInValue {
            isInValue = false
            if isInMessages { messages.end(token, before: 0) } else { others.end(token, before: 0) }
        }
        if token != .key { ended() }
    }

    /// A value is over: also what was left out, if it was that.
    private mutating func ended() {
        if leftOut == depth { leftOut = nil }
        if depth == 1 { isInMessages = false }
    }
}
