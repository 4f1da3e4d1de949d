import Documents
import EgressPolicy
import Foundation
import Testing

@testable import Metering

/// A directory of its own for a test, gone with it.
final class Scratch: Sendable {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "carrel-metering-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

enum Files {
    static let repository = #filePath.components(separatedBy: "/Tests/")[0]
    static let prices = repository + "/Profiles/prices/anthropic.json"
    static let shapes = (#filePath as NSString).deletingLastPathComponent + "/Fixtures/shapes.jsonl"
}

/// The shipped table.
func shippedPrices() throws -> PriceTable { try shipped.get() }

private let shipped = Result {
    try PriceTable(Node.parse(Array(Data(contentsOf: URL(fileURLWithPath: Files.prices))), file: "t"), file: "t")
}

func node(_ json: String) throws -> Node { try Node.parse(Array(json.utf8), file: "t") }

/// A request's body with these members beside the usual ones.
func requestBody(
    model: String = "claude-opus-5", maxTokens: Int = 1000, messages: String = #"[{"role":"user","content":"Hi"}]"#,
    more: String = ""
) -> [UInt8] {
    Array(#"{"model":"\#(model)","max_tokens":\#(maxTokens),"messages":\#(messages)\#(more)}"#.utf8)
}

func exchange(
    _ body: [UInt8] = requestBody(), rules: MessagesBodyRules = MessagesBodyRules(),
    policy: UnknownModelPolicy = .refuse, note: String? = nil, memory: PromptMemory? = nil,
    path: String = "/v1/messages"
) throws -> MessagesExchange {
    try MessagesExchange(
        method: "POST", path: path, body: body, rules: rules, prices: shippedPrices(), policy: policy, note: note,
        memory: memory)
}

/// The refusal that a body meets; `nil` if it meets none.
func refusal(_ body: [UInt8], rules: MessagesBodyRules = MessagesBodyRules()) throws -> MeteringRefusal? {
    do {
        _ = try exchange(body, rules: rules)
        return nil
    } catch let refusal as MeteringRefusal {
        return refusal
    }
}

/// Numbers that are the same in every run (xorshift).
struct Random: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
