import Documents

/// What a client is told when its budget is spent: errors in the form of the Messages API, which clients know.
public enum BillingError {
    /// The status of the answer to a request that is not sent.
    public static let status = 402

    /// The headers of that answer: a client library must not try again by itself (`x-should-retry`).
    public static let headers = [("content-type", "application/json"), ("x-should-retry", "false")]

    /// The body of that answer.
    public static func body402(_ refusal: BudgetRefusal) -> [UInt8] { body402(refusal.description) }

    /// The same with other words.
    public static func body402(_ message: String) -> [UInt8] { apiError("billing_error", message) }

    /// The event that ends a stream whose budget is spent in the middle.
    public static func sseError(_ refusal: BudgetRefusal) -> [UInt8] {
        Array("event: error\ndata: ".utf8) + apiError("billing_error", refusal.description) + Array("\n\n".utf8)
    }

    /// The status of the answer where only requests that are still running stand in the way
    /// (`BudgetRefusal.isPassing`): a client library tries again by itself.
    public static let passingStatus = 429

    /// The headers of that answer.
    public static let passingHeaders = [
        ("content-type", "application/json"), ("retry-after", "2"), ("x-should-retry", "true"),
    ]

    /// The body of that answer.
    public static func body429(_ refusal: BudgetRefusal) -> [UInt8] {
        apiError("rate_limit_error", refusal.description)
    }
}

/// An error as the Messages API writes it.
func apiError(_ type: String, _ message: String) -> [UInt8] {
    let node: Node = ["type": "error", "error": ["type": Node(.string(type)), "message": Node(.string(message))]]
    return Array(node.json().utf8)
}
