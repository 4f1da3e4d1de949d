/// What in a request's body bears on the most that it can cost.
struct CostFacts: Sendable, Equatable {
    enum Caching: Sendable, Comparable {
        case none, fiveMinutes, hour
    }

    /// The longest life of what it may write to the cache.
    var caching = Caching.none
    var isFast = false
    /// Whether it may be charged for staying in a region: always, unless it asks for `global`, for a workspace can have
    /// a region by default.
    var mayStayInRegion = true
    var images = 0
    /// The bytes of base64 of images, whose tokens go by their own count.
    var imageBytes = 0
    /// Whether there is input whose length the body does not tell: PDF, URLs, files.
    var hasUnboundedInput = false
    /// Tools that the provider describes to the model by itself.
    var describedTools = 0
    var hasServerTools = false
    /// Whether the provider may summarise first, which is a sampling of its own.
    var compacts = false
    /// Further models that may be asked.
    var fallbacks: [String] = []
    /// Whether the provider may choose further models.
    var hasAnyFallback = false

    mutating func caches(forAnHour: Bool) { caching = max(caching, forAnHour ? .hour : .fiveMinutes) }
}

/// The most that a request can cost, from what its body tells.
///
/// Every token of text stands for at least one byte of it (tokenizers of these models split bytes, they do not invent
/// them), a JSON text is never shorter than what it means, and what the provider puts around messages and tools is less
/// than their JSON around them. So a body of n bytes has at most n tokens, beside images (each at most
/// `image-tokens`), documents (at most `context-tokens` with all the rest, or the provider refuses the request), and
/// what the provider puts before the prompt by itself (`overhead-tokens`, also for each tool that it describes).
struct CostBound: Sendable {
    /// The most tokens of the prompt.
    let prompt: UInt64
    /// The most tokens of the answer.
    let output: UInt64
    let charge: Charge

    /// How often a server tool may have the whole prompt sampled again: the provider pauses a turn after ten rounds.
    private static let rounds: UInt64 = 10

    /// - Parameter known: tokens of the prompt's beginning and what follows it, if it was seen before.
    init(
        bytes: Int, known: KnownPrompt?, facts: CostFacts, model: String, maxTokens: UInt64, rates: Rates,
        prices: PriceTable
    ) {
        func most(_ bytes: Int, _ images: Int, _ describedTools: Int) -> UInt64 {
            UInt64(bytes) + UInt64(images).saturatingMultiply(prices.imageTokens)
                + UInt64(1 + describedTools).saturatingMultiply(prices.overheadTokens)
        }
        var prompt = most(bytes - facts.imageBytes, facts.images, facts.describedTools)
        if let known {
            prompt = min(prompt, known.tokens.saturatingAdd(most(known.bytes, known.images, known.describedTools)))
        }
        prompt =
            facts.hasUnboundedInput || facts.hasServerTools ? prices.contextTokens : min(prompt, prices.contextTokens)
        self.prompt = prompt
        output = maxTokens

        var models = [rates]
        for fallback in facts.fallbacks { models.append(prices.rates(for: fallback) ?? prices.ceiling) }
        if facts.hasAnyFallback { models.append(prices.ceiling) }
        var rounds = UInt64(models.count) + (facts.compacts ? 1 : 0)
        if facts.hasServerTools { rounds += Self.rounds }
        var dearest: UInt128 = 0
        for rates in models {
            let tier = rates.ceiling(prompt: prompt)
            var input = max(tier.input, tier.cacheRead)
            if facts.caching >= .fiveMinutes { input = max(input, tier.cacheWrite5m) }
            if facts.caching == .hour { input = max(input, tier.cacheWrite1h) }
            var cost = UInt128(prompt) * UInt128(input) + UInt128(maxTokens) * UInt128(tier.output)
            if facts.isFast { cost = (rates.fast ?? prices.ceilingFast).of(cost) }
            if facts.mayStayInRegion { cost = prices.geo.of(cost) }
            dearest = max(dearest, cost)
        }
        var cost = dearest * UInt128(rounds)
        if facts.hasServerTools { cost += UInt128(prices.webSearch) * 100 }
        charge = Charge(
            nanodollars: nanodollars(cost), tokens: (prompt + maxTokens).saturatingMultiply(rounds),
            usage: Usage(input: prompt, output: maxTokens), model: model, isEstimated: true, priceDigest: prices.digest)
    }
}
