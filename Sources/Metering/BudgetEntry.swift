import Documents
import EgressPolicy

/// An amount in both units.
struct Amount: Sendable, Equatable {
    var nanodollars: UInt64 = 0
    var tokens: UInt64 = 0

    static func + (left: Amount, right: Amount) -> Amount {
        Amount(
            nanodollars: left.nanodollars.saturatingAdd(right.nanodollars),
            tokens: left.tokens.saturatingAdd(right.tokens))
    }

    static func - (left: Amount, right: Amount) -> Amount {
        Amount(
            nanodollars: left.nanodollars.saturatingSubtract(right.nanodollars),
            tokens: left.tokens.saturatingSubtract(right.tokens))
    }
}

/// One line of the budget book: something that changed.
enum BudgetEntry: Sendable, Equatable {
    /// A session is there, with these limits.
    case open(session: String, tenant: String, limits: BudgetLimits, soft: UInt64, atLimit: EgressBudget.AtLimit)
    /// A place is taken, on a day (`2026-11-21`).
    case reserve(id: UInt64, session: String, tenant: String, Amount, day: String)
    /// A place is made greater.
    case grow(id: UInt64, Amount)
    /// A request is charged, and whether the agent did with it what the note asks for.
    case settle(id: UInt64, Amount, answersNote: Bool)
    /// A session's limits are raised.
    case raise(session: String, Amount)
    /// A session is over.
    case close(session: String)
    /// What a scope had spent when the book was written anew, or the clock was put right.
    case spent(BudgetScope, name: String, period: String, Amount)
    /// That the agent had done what the note asks for, when the book was written anew.
    case answered(session: String)

    var line: [UInt8] {
        func text(_ text: String) -> Node { Node(.string(text)) }
        func number(_ number: UInt64) -> Node { Node(.unsigned(number)) }
        func with(_ amount: Amount, _ node: Node) -> Node {
            Node(
                .mapping(
                    (node.entries ?? []) + [
                        .init(key: "nanodollars", value: number(amount.nanodollars)),
                        .init(key: "tokens", value: number(amount.tokens)),
                    ]))
        }
        let node: Node =
            switch self {
            case .open(let session, let tenant, let limits, let soft, let atLimit):
                [
                    "do": "open", "session": text(session), "tenant": text(tenant),
                    "nanodollars": limits.nanodollars.map(number) ?? nil, "tokens": limits.tokens.map(number) ?? nil,
                    "soft": number(soft), "atLimit": text(atLimit.rawValue),
                ]
            case .reserve(let id, let session, let tenant, let amount, let day):
                with(
                    amount,
                    [
                        "do": "reserve", "id": number(id), "session": text(session), "tenant": text(tenant),
                        "day": text(day),
                    ])
            case .grow(let id, let amount): with(amount, ["do": "grow", "id": number(id)])
            case .settle(let id, let amount, let answersNote):
                with(amount, ["do": "settle", "id": number(id), "answersNote": Node(.bool(answersNote))])
            case .raise(let session, let amount): with(amount, ["do": "raise", "session": text(session)])
            case .close(let session): ["do": "close", "session": text(session)]
            case .spent(let scope, let name, let period, let amount):
                with(
                    amount,
                    ["do": "spent", "scope": text(scope.rawValue), "name": text(name), "period": text(period)])
            case .answered(let session): ["do": "answered", "session": text(session)]
            }
        return Array((node.json() + "\n").utf8)
    }

    /// Reads what `line` writes; `nil` for anything else.
    init?(_ node: Node) {
        func text(_ name: String) -> String? { node[name]?.string }
        let amount = node["nanodollars"]?.uint.flatMap { nanodollars in
            node["tokens"]?.uint.map { Amount(nanodollars: nanodollars, tokens: $0) }
        }
        let id = node["id"]?.uint
        let session = text("session")
        switch text("do") {
        case "open":
            guard let session, let tenant = text("tenant"), let soft = node["soft"]?.uint,
                let atLimit = text("atLimit").flatMap(EgressBudget.AtLimit.init), let nanodollars = node["nanodollars"],
                let tokens = node["tokens"], nanodollars.isNull || nanodollars.uint != nil,
                tokens.isNull || tokens.uint != nil
            else { return nil }
            let limits = BudgetLimits(nanodollars: nanodollars.uint, tokens: tokens.uint)
            self = .open(session: session, tenant: tenant, limits: limits, soft: soft, atLimit: atLimit)
        case "reserve":
            guard let id, let session, let tenant = text("tenant"), let amount, let day = text("day") else {
                return nil
            }
            self = .reserve(id: id, session: session, tenant: tenant, amount, day: day)
        case "grow":
            guard let id, let amount else { return nil }
            self = .grow(id: id, amount)
        case "settle":
            guard let id, let amount, let answersNote = node["answersNote"]?.bool else { return nil }
            self = .settle(id: id, amount, answersNote: answersNote)
        case "raise":
            guard let session, let amount else { return nil }
            self = .raise(session: session, amount)
        case "close":
            guard let session else { return nil }
            self = .close(session: session)
        case "spent":
            guard let scope = text("scope").flatMap(BudgetScope.init), let name = text("name"),
                let period = text("period"), let amount
            else { return nil }
            self = .spent(scope, name: name, period: period, amount)
        case "answered":
            guard let session else { return nil }
            self = .answered(session: session)
        default: return nil
        }
    }
}
