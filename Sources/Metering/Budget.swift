import Documents
import EgressPolicy

/// How much may be spent in one scope; a member that is `nil` is not limited.
public struct BudgetLimits: Sendable, Equatable {
    /// When a scope's spending starts again from 0, in UTC.
    public enum Period: String, Sendable, CaseIterable {
        /// Never.
        case forever
        /// Each day.
        case day
        /// Each month.
        case month
    }

    /// Billionths of a dollar.
    public var nanodollars: UInt64?
    /// Tokens, prompt (cached or not) and answer.
    public var tokens: UInt64?
    /// When spending starts again from 0; sessions know `forever` alone.
    public var period: Period

    /// Limits of a scope; none by default.
    public init(nanodollars: UInt64? = nil, tokens: UInt64? = nil, period: Period = .forever) {
        self.nanodollars = nanodollars
        self.tokens = tokens
        self.period = period
    }

    /// A session's limits.
    init(_ budget: EgressBudget?) {
        self.init(nanodollars: budget?.microdollars.map { $0.saturatingMultiply(1000) }, tokens: budget?.tokens)
    }

    /// Reads limits of a tenant or the host: `{dollars: 50.00, tokens: 20000000, per: day}`.
    package init(_ node: Node, _ field: String, _ reader: PolicyReader) {
        self.init()
        reader.members(node, field, ["dollars", "tokens", "per"]) { entry, field in
            switch entry.key {
            case "dollars": nanodollars = reader.dollars(entry.value, field).map { $0 * 1000 }
            case "tokens": tokens = reader.whole(entry.value, field, 0...(1 << 53))
            case "per": period = reader.choice(entry.value, field) ?? .forever
            default: return false
            }
            return true
        }
    }
}

/// Whose budget.
public enum BudgetScope: String, Sendable, CaseIterable {
    /// One session.
    case session
    /// All sessions of a tenant.
    case tenant
    /// All sessions of the host.
    case host
}

/// Why a request is not sent: its bound does not fit in what is left.
public struct BudgetRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    /// What a limit counts.
    public enum Unit: String, Sendable {
        /// Billionths of a dollar.
        case nanodollars
        /// Tokens.
        case tokens
    }

    /// Whose budget it is that does not suffice.
    public var scope: BudgetScope
    /// In what.
    public var unit: Unit
    /// What was charged so far.
    public var spent: UInt64
    /// What is reserved for requests that are running.
    public var reserved: UInt64
    /// What this request may cost at most.
    public var bound: UInt64
    /// The limit, raises included.
    public var limit: UInt64
    /// What is to happen to the session.
    public var atLimit: EgressBudget.AtLimit

    /// Whether the request would fit once the running ones are settled at nothing: worth trying again, and no reason
    /// to pause or end the session.
    public var isPassing: Bool { spent.saturatingAdd(bound) <= limit }

    /// For example `the session's budget of $5.00 does not allow this request: …`.
    public var description: String {
        func text(_ amount: UInt64) -> String {
            unit == .tokens ? "\(amount) tokens" : "$" + dollars(amount)
        }
        return "the \(scope.rawValue)'s budget of \(text(limit)) does not allow this request: \(text(spent)) spent, "
            + "\(text(reserved)) reserved for running requests, up to \(text(bound)) for this one"
    }
}

/// Nanodollars as dollars, to the last digit that is not 0, at least two decimals: `5.00`, `0.000125`.
public func dollars(_ nanodollars: UInt64) -> String {
    var fraction = String(nanodollars % 1_000_000_000)
    fraction = String(repeating: "0", count: 9 - fraction.utf8.count) + fraction
    while fraction.utf8.count > 2, fraction.hasSuffix("0") { fraction.removeLast() }
    return "\(nanodollars / 1_000_000_000).\(fraction)"
}
