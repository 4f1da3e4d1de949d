/// What one sampling of a model used, as the Messages API counts it.
///
/// `input` excludes what was read from or written to the prompt cache.
public struct Usage: Sendable, Hashable {
    /// Tokens of the prompt that are neither cache reads nor cache writes.
    public var input: UInt64
    /// Tokens of the answer, thinking included.
    public var output: UInt64
    /// Tokens written to the prompt cache for five minutes.
    public var cacheWrite5m: UInt64
    /// Tokens written to the prompt cache for an hour.
    public var cacheWrite1h: UInt64
    /// Tokens read from the prompt cache.
    public var cacheRead: UInt64
    /// Searches of the web that the server made.
    public var webSearches: UInt64

    /// A count of each; nothing by default.
    public init(
        input: UInt64 = 0, output: UInt64 = 0, cacheWrite5m: UInt64 = 0, cacheWrite1h: UInt64 = 0,
        cacheRead: UInt64 = 0, webSearches: UInt64 = 0
    ) {
        self.input = input
        self.output = output
        self.cacheWrite5m = cacheWrite5m
        self.cacheWrite1h = cacheWrite1h
        self.cacheRead = cacheRead
        self.webSearches = webSearches
    }

    /// The whole prompt, by which long-prompt tiers go.
    public var prompt: UInt64 {
        input.saturatingAdd(cacheWrite5m).saturatingAdd(cacheWrite1h).saturatingAdd(cacheRead)
    }

    /// All tokens: prompt and answer.
    public var tokens: UInt64 { prompt.saturatingAdd(output) }

    /// Both together.
    public static func + (left: Usage, right: Usage) -> Usage {
        Usage(
            input: left.input.saturatingAdd(right.input), output: left.output.saturatingAdd(right.output),
            cacheWrite5m: left.cacheWrite5m.saturatingAdd(right.cacheWrite5m),
            cacheWrite1h: left.cacheWrite1h.saturatingAdd(right.cacheWrite1h),
            cacheRead: left.cacheRead.saturatingAdd(right.cacheRead),
            webSearches: left.webSearches.saturatingAdd(right.webSearches))
    }
}

extension UInt64 {
    /// The sum, or the greatest number where it would not fit: a count from outside must not stop the gateway.
    package func saturatingAdd(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    /// The product, or the greatest number where it would not fit.
    package func saturatingMultiply(_ other: UInt64) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }

    /// The difference, or 0 where it would be less.
    func saturatingSubtract(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
