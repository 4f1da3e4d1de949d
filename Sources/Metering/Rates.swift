/// What one model costs. All arithmetic is in picodollars (10⁻¹² dollars), which hold every price of up to six
/// decimals per million tokens exactly, and rounds up.
public struct Rates: Sendable, Hashable {
    /// Prices that hold from a length of the prompt on, in picodollars a token.
    struct Tier: Sendable, Hashable {
        /// They hold for prompts of more tokens than this.
        var above: UInt64
        var input: UInt64
        var output: UInt64
        var cacheWrite5m: UInt64
        var cacheWrite1h: UInt64
        var cacheRead: UInt64

        /// The higher of both, price by price.
        func ceiling(_ other: Tier) -> Tier {
            Tier(
                above: min(above, other.above), input: max(input, other.input), output: max(output, other.output),
                cacheWrite5m: max(cacheWrite5m, other.cacheWrite5m),
                cacheWrite1h: max(cacheWrite1h, other.cacheWrite1h), cacheRead: max(cacheRead, other.cacheRead))
        }
    }

    /// In ascending order of `above`; the first holds from 0 on.
    var tiers: [Tier]
    /// What fast output multiplies the price by, if the table says so for this model.
    var fast: Factor?

    /// What a sampling costs, in picodollars, without searches; the factors are applied in order.
    func cost(of usage: Usage, _ factors: [Factor] = []) -> UInt128 {
        let prompt = usage.prompt
        let tier = tiers.last { $0.above < prompt } ?? tiers[0]
        let sum =
            price(usage.input, tier.input) + price(usage.output, tier.output)
            + price(usage.cacheWrite5m, tier.cacheWrite5m) + price(usage.cacheWrite1h, tier.cacheWrite1h)
            + price(usage.cacheRead, tier.cacheRead)
        return factors.reduce(sum) { $1.of($0) }
    }

    /// The highest prices that a prompt of at most so many tokens can have.
    func ceiling(prompt: UInt64) -> Tier {
        tiers.dropFirst().filter { $0.above < prompt }.reduce(tiers[0]) { $0.ceiling($1) }
    }

    /// 2⁴⁸ tokens are more than all that was ever sampled in one request; beyond, the product would not fit.
    private func price(_ tokens: UInt64, _ rate: UInt64) -> UInt128 { UInt128(min(tokens, 1 << 48)) * UInt128(rate) }
}

/// A factor of a price, in millionths.
struct Factor: Sendable, Hashable, Comparable {
    var millionths: UInt64

    static let one = Factor(millionths: 1_000_000)

    /// The product, rounded up.
    func of(_ picodollars: UInt128) -> UInt128 { (picodollars * UInt128(millionths) + 999_999) / 1_000_000 }

    static func < (left: Factor, right: Factor) -> Bool { left.millionths < right.millionths }
}

/// Picodollars as nanodollars, rounded up.
func nanodollars(_ picodollars: UInt128) -> UInt64 { UInt64(clamping: (picodollars + 999) / 1000) }
