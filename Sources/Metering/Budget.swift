import Documents

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

    /// Reads limits of a tenant or the host: `{dollars: 50.00, tokens: 20000000, per: day}`.
    public init(_ node: Node, file: String) throws(Problems) {
        let reader = DocumentReader(file: file)
        reader.check(node, "", members: ["dollars", "tokens", "per"])
        self.init(node, reader)
        period = reader.oneOf(node, "per", "") ?? .forever
        if !reader.problems.isEmpty { throw Problems(reader.problems) }
    }

    fileprivate init(_ node: Node, _ reader: DocumentReader) {
        nanodollars = node["dollars"] == nil ? nil : reader.millionths(node, "dollars", "").map { $0 * 1000 }
        tokens = node["tokens"] == nil ? nil : reader.count(node, "tokens", "")
        period = .forever
    }
}

/// A session's budget: `{dollars: 5.00, tokens: 2000000, soft: 60%, at-limit: pause}`.
public struct SessionBudget: Sendable, Equatable {
    /// What happens to a session whose budget is spent.
    public enum AtLimit: String, Sendable, CaseIterable {
        /// It is frozen until its budget is raised.
        case pause
        /// It ends, with reason `budget`.
        case end
    }

    /// How much it may spend.
    public var limits: BudgetLimits
    /// The soft mark, in percent of the limits, 1 to 100.
    public var soft: UInt64
    /// What happens at the limit.
    public var atLimit: AtLimit

    /// A budget; unlimited by default.
    public init(limits: BudgetLimits = BudgetLimits(), soft: UInt64 = 60, atLimit: AtLimit = .pause) {
        self.limits = limits
        self.soft = soft
        self.atLimit = atLimit
    }

    /// Reads a policy's `budget`; a missing or `null` node stands for none.
    public init(_ node: Node?, file: String) throws(Problems) {
        self.init()
        guard let node, !node.isNull else { return }
        let reader = DocumentReader(file: file)
        reader.check(node, "", members: ["dollars", "tokens", "soft", "at-limit"])
        limits = BudgetLimits(node, reader)
        atLimit = reader.oneOf(node, "at-limit", "") ?? .pause
        if let found = node["soft"] {
            let text = found.string ?? ""
            if let percent = UInt64(text.dropLast()), text.hasSuffix("%"), 1...100 ~= percent {
                soft = percent
            } else {
                reader.report(found, "soft", "expected a share from 1% to 100%, such as 60%")
            }
        }
        if !reader.problems.isEmpty { throw Problems(reader.problems) }
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
    public var atLimit: SessionBudget.AtLimit

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
