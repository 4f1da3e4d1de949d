import Documents
import EgressPolicy

/// The budgets as the entries of the book make them: the same whether they are read again or just happen.
struct BudgetAccounts: Sendable {
    struct Key: Hashable {
        let scope: BudgetScope
        let name: String
    }

    struct Account {
        var spent = Amount()
        var reserved = Amount()
        /// The period that `spent` is of: a day, a month, or nothing.
        var period = ""
    }

    struct Session {
        var tenant: String
        var limits: BudgetLimits
        var soft: UInt64
        var atLimit: EgressBudget.AtLimit
        var raised = Amount()
        var hasAnsweredNote = false
        var isClosed = false
        var running = 0
    }

    struct Place {
        let session: String
        let tenant: String
        var amount: Amount
    }

    private(set) var accounts: [Key: Account] = [:]
    private(set) var sessions: [String: Session] = [:]
    private(set) var places: [UInt64: Place] = [:]
    private(set) var nextID: UInt64 = 1
    private let host: BudgetLimits
    private let tenants: [String: BudgetLimits]

    init(host: BudgetLimits, tenants: [String: BudgetLimits]) {
        self.host = host
        self.tenants = tenants
    }

    private static func keys(_ session: String, _ tenant: String) -> [Key] {
        [Key(scope: .session, name: session), Key(scope: .tenant, name: tenant), Key(scope: .host, name: "")]
    }

    /// The limits of a scope, raises included.
    func limits(_ key: Key) -> BudgetLimits {
        switch key.scope {
        case .host: return host
        case .tenant: return tenants[key.name] ?? tenants["*"] ?? BudgetLimits()
        case .session:
            guard let session = sessions[key.name] else { return BudgetLimits() }
            return BudgetLimits(
                nanodollars: session.limits.nanodollars.map { $0.saturatingAdd(session.raised.nanodollars) },
                tokens: session.limits.tokens.map { $0.saturatingAdd(session.raised.tokens) })
        }
    }

    /// The period of a scope that a day is in.
    private func period(of key: Key, on day: String) -> String {
        switch limits(key).period {
        case .forever: ""
        case .day: day
        case .month: String(day.prefix(7))
        }
    }

    /// The accounts of a session, its tenant and the host that a clock has put into a period which is long to come: what they
    /// have spent is of the period that it is, which ends as every other.
    func misdated(_ session: String, on day: String) -> [BudgetEntry] {
        guard let tenant = sessions[session]?.tenant else { return [] }
        return Self.keys(session, tenant).compactMap { key in
            guard let account = accounts[key], Self.isLongToCome(account.period, on: day) else { return nil }
            return .spent(key.scope, name: key.name, period: period(of: key, on: day), account.spent)
        }
    }

    /// Whether a period begins more than a day after another day: nobody waits for it who has put his clock back by hours.
    private static func isLongToCome(_ period: String, on day: String) -> Bool {
        func start(_ date: String) -> Int64? {
            Timestamp((date.utf8.count == 7 ? date + "-01" : date) + "T00:00:00Z")?.seconds
        }
        guard let there = start(period), let here = start(day) else { return false }
        return there - here > 86_400
    }

    /// The account of a scope as it is on a day.
    func account(_ key: Key, on day: String) -> Account {
        var account = accounts[key] ?? Account()
        let period = period(of: key, on: day)
        // A period that is a part of the other is the same one, told by another configuration. A clock that was put back
        // gives nothing back.
        let isSame = period.hasPrefix(account.period) || account.period.hasPrefix(period)
        if !isSame, period > account.period { account.spent = Amount() }
        if period > account.period || isSame { account.period = period }
        return account
    }

    /// Why this amount may not be reserved; `nil` if it may.
    func refusal(_ session: String, _ amount: Amount, beside place: Place? = nil, on day: String) -> BudgetRefusal? {
        guard let found = sessions[session] else { return nil }
        for key in Self.keys(session, found.tenant) {
            let account = account(key, on: day)
            let reserved = account.reserved - (place?.amount ?? Amount())
            let limits = limits(key)
            for (unit, limit, spent, reserved, bound): (BudgetRefusal.Unit, UInt64?, UInt64, UInt64, UInt64) in [
                (
                    .nanodollars, limits.nanodollars, account.spent.nanodollars, reserved.nanodollars,
                    amount.nanodollars
                ),
                (.tokens, limits.tokens, account.spent.tokens, reserved.tokens, amount.tokens),
            ] {
                guard let limit, spent.saturatingAdd(reserved).saturatingAdd(bound) > limit else { continue }
                return BudgetRefusal(
                    scope: key.scope, unit: unit, spent: spent, reserved: reserved, bound: bound, limit: limit,
                    atLimit: found.atLimit)
            }
        }
        return nil
    }

    /// Whether a session is past its soft mark; 100 percent mean never.
    func isPastSoftMark(_ name: String) -> Bool {
        guard let session = sessions[name], session.soft < 100 else { return false }
        let key = Key(scope: .session, name: name)
        let spent = accounts[key]?.spent ?? Amount()
        let limits = limits(key)
        func isPast(_ spent: UInt64, _ limit: UInt64?) -> Bool {
            limit.map { UInt128(spent) * 100 >= UInt128($0) * UInt128(session.soft) } ?? false
        }
        return isPast(spent.nanodollars, limits.nanodollars) || isPast(spent.tokens, limits.tokens)
    }

    /// Makes an entry true. One that names what is not there changes nothing.
    mutating func apply(_ entry: BudgetEntry) {
        switch entry {
        case .open(let name, let tenant, let limits, let soft, let atLimit):
            // A session whose supervisor was killed never said that it was over: its name is another's now.
            if let old = sessions[name], old.tenant != tenant {
                sessions[name] = nil
                accounts[Key(scope: .session, name: name)] = nil
            }
            var session = sessions[name] ?? Session(tenant: tenant, limits: limits, soft: soft, atLimit: atLimit)
            session.limits = limits
            session.soft = soft
            session.atLimit = atLimit
            session.isClosed = false
            sessions[name] = session
        case .reserve(let id, let session, let tenant, let amount, let day):
            for key in Self.keys(session, tenant) {
                var account = account(key, on: day)
                account.reserved = account.reserved + amount
                accounts[key] = account
            }
            places[id] = Place(session: session, tenant: tenant, amount: amount)
            sessions[session]?.running += 1
            nextID = max(nextID, id + 1)
        case .grow(let id, let amount):
            guard let place = places[id] else { return }
            for key in Self.keys(place.session, place.tenant) {
                let reserved = (accounts[key]?.reserved ?? Amount()) - place.amount
                accounts[key, default: Account()].reserved = reserved + amount
            }
            places[id]?.amount = amount
        case .settle(let id, let amount, let answersNote):
            guard let place = places.removeValue(forKey: id) else { return }
            for key in Self.keys(place.session, place.tenant) {
                var account = accounts[key] ?? Account()
                account.reserved = account.reserved - place.amount
                account.spent = account.spent + amount
                accounts[key] = account
            }
            sessions[place.session]?.running -= 1
            if answersNote { sessions[place.session]?.hasAnsweredNote = true }
            forgetIfOver(place.session)
        case .raise(let session, let amount):
            guard let raised = sessions[session]?.raised else { return }
            sessions[session]?.raised = raised + amount
            // What was done for the old mark does not count for the new one.
            if !isPastSoftMark(session) { sessions[session]?.hasAnsweredNote = false }
        case .close(let session):
            sessions[session]?.isClosed = true
            forgetIfOver(session)
        case .spent(let scope, let name, let period, let amount):
            let key = Key(scope: scope, name: name)
            accounts[key] = Account(spent: amount, reserved: accounts[key]?.reserved ?? Amount(), period: period)
        case .answered(let session): sessions[session]?.hasAnsweredNote = true
        }
    }

    private mutating func forgetIfOver(_ name: String) {
        guard let session = sessions[name], session.isClosed, session.running <= 0 else { return }
        sessions[name] = nil
        accounts[Key(scope: .session, name: name)] = nil
    }

    /// The shortest book that makes the same budgets.
    func entries(on day: String) -> [BudgetEntry] {
        var entries: [BudgetEntry] = []
        for (name, session) in sessions {
            entries.append(
                .open(
                    session: name, tenant: session.tenant, limits: session.limits, soft: session.soft,
                    atLimit: session.atLimit))
            if session.raised != Amount() { entries.append(.raise(session: name, session.raised)) }
        }
        for (key, account) in accounts where account.spent != Amount() {
            entries.append(.spent(key.scope, name: key.name, period: account.period, account.spent))
        }
        for (id, place) in places {
            entries.append(.reserve(id: id, session: place.session, tenant: place.tenant, place.amount, day: day))
        }
        for (name, session) in sessions {
            if session.hasAnsweredNote { entries.append(.answered(session: name)) }
            if session.isClosed { entries.append(.close(session: name)) }
        }
        return entries
    }
}
