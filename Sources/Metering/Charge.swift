/// What one request costs: the bound that is reserved before it is sent, or what is charged after.
public struct Charge: Sendable, Hashable {
    /// Billionths of a dollar, rounded up.
    public var nanodollars: UInt64
    /// All tokens: prompt (cached or not) and answer.
    public var tokens: UInt64
    /// What was used, all samplings together.
    public var usage: Usage
    /// The model that answered; the one asked for as long as nobody has answered.
    public var model: String
    /// Whether this is an upper bound, since the response did not tell all of the truth.
    public var isEstimated: Bool
    /// Which price table was applied: the digest of it.
    public var priceDigest: String

    /// Describes a charge.
    public init(
        nanodollars: UInt64, tokens: UInt64, usage: Usage = Usage(), model: String, isEstimated: Bool = false,
        priceDigest: String
    ) {
        self.nanodollars = nanodollars
        self.tokens = tokens
        self.usage = usage
        self.model = model
        self.isEstimated = isEstimated
        self.priceDigest = priceDigest
    }

    /// Millionths of a dollar, rounded up.
    public var microdollars: UInt64 { nanodollars / 1000 + (nanodollars % 1000 == 0 ? 0 : 1) }
}
