import Documents

/// The tool calls of one response as they come: names, and digests of inputs that arrive in parts.
struct ToolCallReading: Sendable {
    private struct Call: Sendable {
        var index: UInt64
        var name: String
        /// The digest of the input that came with the start of the block.
        var whole: String?
        var parts: Parts?
        var isOver = false
    }

    /// An input that comes as text in parts.
    private struct Parts: Sendable {
        var tokenizer = JSONTokenizer()
        var digest = JSONDigest()
        var isSound = true
    }

    private var calls: [Call] = []
    /// More than any answer has; what an upstream could make of it otherwise is memory.
    private static let most = 4096

    mutating func start(index: UInt64, name: String, input: String?) {
        if calls.count < Self.most { calls.append(Call(index: index, name: name, whole: input)) }
    }

    mutating func part(index: UInt64, _ text: UnsafeBufferPointer<UInt8>) {
        guard let place = calls.lastIndex(where: { $0.index == index && !$0.isOver }), !text.isEmpty else { return }
        var parts = calls[place].parts ?? Parts()
        calls[place].parts = nil
        do throws(JSONFault) {
            if parts.isSound { try parts.tokenizer.read(text, to: &parts.digest) }
        } catch {
            parts.isSound = false
        }
        calls[place].parts = parts
    }

    mutating func stop(index: UInt64) {
        if let place = calls.lastIndex(where: { $0.index == index && !$0.isOver }) { calls[place].isOver = true }
    }

    func finish() -> [MessagesOutcome.ToolCall] {
        calls.map { call in
            guard var parts = call.parts else {
                return .init(name: call.name, inputDigest: call.isOver ? call.whole : nil)
            }
            let isWhole = call.isOver && parts.isSound && parts.tokenizer.isComplete
            return .init(name: call.name, inputDigest: isWhole ? hexadecimal(parts.digest.digest()) : nil)
        }
    }
}
