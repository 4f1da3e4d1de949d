import Documents
import EgressPolicy
import Synchronization
import Syscalls
import SystemPackage

/// A place taken in the budgets for one request.
public struct Reservation: Sendable, Equatable {
    /// Its number in the book.
    public let id: UInt64
    /// Whose request it is.
    public let session: String
}

/// Why the book cannot do what it was asked.
public enum BudgetFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// A budget does not suffice.
    case refused(BudgetRefusal)
    /// The book cannot be written: nothing may leave the host.
    case notWritten(SystemError)
    /// The book has no such session.
    case unknownSession(String)
    /// The session's budget has no limit of this unit (`dollars` or `tokens`) that could be raised.
    case unlimited(session: String, unit: String)
    /// The book has a line that is not what it wrote: budgets are not known.
    case damaged(path: String, line: Int, why: String)

    /// What failed and, where there is something to be done, what.
    public var description: String {
        switch self {
        case .refused(let refusal): refusal.description
        case .notWritten(let error): "the budget book cannot be written: \(error)"
        case .unknownSession(let session): "there is no budget of a session \(session)"
        case .unlimited(let session, let unit): "session \(session) has no limit of \(unit)"
        case .damaged(let path, let line, let why):
            "\(path): line \(line) is not what was written: \(why); mend or remove the line: what it charged is forgotten"
        }
    }
}

/// A budget as it stands.
public struct BudgetState: Sendable, Equatable, CustomStringConvertible {
    /// How much of one unit.
    public struct Account: Sendable, Equatable {
        /// Charged.
        public var spent: UInt64
        /// Reserved for running requests.
        public var reserved: UInt64
        /// The limit, raises included; `nil` for none.
        public var limit: UInt64?
    }

    /// Billionths of a dollar.
    public var nanodollars: Account
    /// Tokens.
    public var tokens: Account
    /// Whether the soft mark is passed.
    public var isPastSoftMark: Bool
    /// Whether the agent has done what the soft mark's note asks for.
    public var hasAnsweredNote: Bool

    /// What is spent of what is limited, in whole cents: `$3.02 of $5.00, 1200 of 20000 tokens`.
    public var description: String {
        /// Rounded up: nobody needs more digits here.
        func cents(_ nanodollars: UInt64) -> UInt64 { nanodollars.saturatingAdd(9_999_999) / 10_000_000 * 10_000_000 }
        var used: [String] = []
        if let limit = nanodollars.limit {
            used.append("$\(dollars(cents(nanodollars.spent))) of $\(dollars(cents(limit)))")
        }
        if let limit = tokens.limit { used.append("\(tokens.spent) of \(limit) tokens") }
        return used.joined(separator: ", ")
    }
}

/// What a settlement changed.
public struct Settlement: Sendable, Equatable {
    /// Whether this charge took the session past its soft mark: an event is due.
    public var passedSoftMark: Bool
    /// The session's budget as it now stands; `nil` for a session that is over.
    public var state: BudgetState?
}

/// The budgets of sessions, tenants and the host, crash-safe in a directory.
///
/// A request is reserved for before it is sent, at the most that it can cost, in all scopes at once; afterwards it is
/// charged and the rest given back. So whatever runs at the same time, what is spent and what is reserved stay within
/// each limit. Every change is in the book's file before it is made: after a kill a new gateway goes on from there, and
/// charges in full what was reserved and never settled.
public final class BudgetBook: Sendable {
    private struct State: ~Copyable {
        var journal: BudgetJournal
        var accounts: BudgetAccounts
        var nextSize: Int
        /// Sessions that what was never settled took past their soft marks.
        var passed: Set<String>

        /// Writes entries down, then makes them true.
        mutating func enter(_ entries: BudgetEntry..., day: String) throws(BudgetFailure) {
            try journal.append(entries)
            for entry in entries { accounts.apply(entry) }
            guard journal.size > nextSize else { return }
            // The old book is as good: a failure here is told when an entry cannot be appended.
            try? journal.replace(with: accounts.entries(on: day))
            nextSize = max(Self.leastSize, 2 * journal.size)
        }

        /// From here on the book is written anew when it has doubled.
        static let leastSize = 4 << 20
    }

    private let state: Mutex<State>

    /// Opens the book in `directory`, which is made if it is missing, and takes it for this process alone.
    ///
    /// - Parameters:
    ///   - host: limits of the whole host.
    ///   - tenants: limits of tenants by name; `*` stands for each of all others.
    public init(
        directory: String, host: BudgetLimits = BudgetLimits(), tenants: [String: BudgetLimits] = [:],
        at time: Timestamp = .now
    ) throws(BudgetFailure) {
        var accounts = BudgetAccounts(host: host, tenants: tenants)
        var journal = try BudgetJournal.open(directory: directory) { accounts.apply($0) }
        var passed: Set<String> = []
        for (id, place) in accounts.places {
            let wasPast = accounts.isPastSoftMark(place.session)
            accounts.apply(.settle(id: id, place.amount, answersNote: false))
            if !wasPast, accounts.isPastSoftMark(place.session) { passed.insert(place.session) }
        }
        try journal.replace(with: accounts.entries(on: time.day))
        state = Mutex(State(journal: journal, accounts: accounts, nextSize: State.leastSize, passed: passed))
    }

    /// Takes a session in; one that is in the book already (the gateway was started anew) keeps what it spent and what it
    /// was raised by.
    ///
    /// - Returns: whether what was reserved when the book's last owner died took the session past its soft mark: an event
    ///   is due.
    @discardableResult
    public func open(session: String, tenant: String, budget: EgressBudget?) throws(BudgetFailure) -> Bool {
        try change { state throws(BudgetFailure) in
            try state.enter(
                .open(
                    session: session, tenant: tenant, limits: BudgetLimits(budget),
                    soft: UInt64(clamping: budget?.softPercent ?? 100), atLimit: budget?.atLimit ?? .end),
                day: Timestamp.now.day)
            return state.passed.remove(session) != nil
        }
    }

    /// Forgets a session once its last request is settled; what it spent stays with its tenant and the host.
    public func close(session: String) throws(BudgetFailure) {
        try change { state throws(BudgetFailure) in
            guard state.accounts.sessions[session] != nil else { return }
            try state.enter(.close(session: session), day: Timestamp.now.day)
        }
    }

    /// Takes the place for a request before it is sent, in all scopes or in none.
    public func reserve(
        session: String, _ bound: Charge, at time: Timestamp = .now
    ) throws(BudgetFailure) -> Reservation {
        try change { state throws(BudgetFailure) in
            guard let found = state.accounts.sessions[session], !found.isClosed else { throw .unknownSession(session) }
            let amount = Amount(bound)
            for entry in state.accounts.misdated(session, on: time.day) { try state.enter(entry, day: time.day) }
            if let refusal = state.accounts.refusal(session, amount, on: time.day) { throw .refused(refusal) }
            let id = state.accounts.nextID
            try state.enter(
                .reserve(id: id, session: session, tenant: found.tenant, amount, day: time.day), day: time.day)
            return Reservation(id: id, session: session)
        }
    }

    /// Makes a reservation greater: a running request turns out to cost more than its bound.
    public func grow(
        _ reservation: Reservation, to bound: Charge, at time: Timestamp = .now
    ) throws(BudgetFailure) {
        try change { state throws(BudgetFailure) in
            guard let place = state.accounts.places[reservation.id] else { throw .unknownSession(reservation.session) }
            let amount = Amount(
                nanodollars: max(place.amount.nanodollars, bound.nanodollars),
                tokens: max(place.amount.tokens, bound.tokens))
            if amount == place.amount { return }
            if let refusal = state.accounts.refusal(reservation.session, amount, beside: place, on: time.day) {
                throw .refused(refusal)
            }
            try state.enter(.grow(id: reservation.id, amount), day: time.day)
        }
    }

    /// Charges a request and gives the rest of its place back. If the book cannot be written the place stays taken.
    @discardableResult
    public func settle(_ reservation: Reservation, _ outcome: MessagesOutcome) throws(BudgetFailure) -> Settlement {
        try change { state throws(BudgetFailure) in
            guard state.accounts.places[reservation.id] != nil else { throw .unknownSession(reservation.session) }
            let wasPast = state.accounts.isPastSoftMark(reservation.session)
            try state.enter(
                .settle(id: reservation.id, Amount(outcome.charge), answersNote: outcome.answersNote),
                day: Timestamp.now.day)
            let now = state.accounts.state(session: reservation.session)
            return Settlement(passedSoftMark: !wasPast && now?.isPastSoftMark == true, state: now)
        }
    }

    /// How a session's budget stands; `nil` for a session that the book does not have.
    public func state(session: String) -> BudgetState? { state.withLock { $0.accounts.state(session: session) } }

    /// How a tenant's budget stands, or the host's (whose name is empty).
    public func state(_ scope: BudgetScope, _ name: String, at time: Timestamp = .now) -> BudgetState {
        state.withLock { $0.accounts.state(.init(scope: scope, name: name), on: time.day) }
    }

    /// Raises a session's limits by so much; throws where one of them is not set.
    @discardableResult
    public func raise(
        session: String, nanodollars: UInt64 = 0, tokens: UInt64 = 0
    ) throws(BudgetFailure) -> BudgetState {
        try change { state throws(BudgetFailure) in
            guard let before = state.accounts.state(session: session) else { throw .unknownSession(session) }
            for (unit, account, more) in [
                ("dollars", before.nanodollars, nanodollars), ("tokens", before.tokens, tokens),
            ] where more > 0 && account.limit == nil { throw .unlimited(session: session, unit: unit) }
            let amount = Amount(nanodollars: nanodollars, tokens: tokens)
            try state.enter(.raise(session: session, amount), day: Timestamp.now.day)
            guard let now = state.accounts.state(session: session) else { throw .unknownSession(session) }
            return now
        }
    }

    /// The note to put into the session's next request: from the soft mark on, until the agent did what it asks for.
    public func note(session: String) -> String? {
        guard let now = state(session: session), now.isPastSoftMark, !now.hasAnsweredNote else { return nil }
        return SoftMark.note(now)
    }

    /// Waits until all that was written is on the disk (fdatasync(2): milliseconds); to be called about once a second, so
    /// that the loss of power forgets no more than that.
    public func synchronise() throws(SystemError) {
        try synchronise { (file) throws(SystemError) in try Syscalls.synchronise(file) }
    }

    /// Requests go on meanwhile, however slow the disk is. Where the book is written anew, that was synchronised by then.
    func synchronise(_ wait: (FileDescriptor) throws(SystemError) -> Void) throws(SystemError) {
        let file = try state.withLock { state throws(SystemError) in try state.journal.descriptor() }
        defer { Syscalls.close(file) }
        try wait(file)
    }

    private func change<Result: Sendable>(
        _ body: (inout State) throws(BudgetFailure) -> Result
    ) throws(BudgetFailure) -> Result {
        try state.withLock { state throws(BudgetFailure) in try body(&state) }
    }
}

extension BudgetAccounts {
    fileprivate func state(session: String) -> BudgetState? {
        sessions[session] == nil ? nil : state(Key(scope: .session, name: session), on: "")
    }

    fileprivate func state(_ key: Key, on day: String) -> BudgetState {
        let account = account(key, on: day)
        let limits = limits(key)
        return BudgetState(
            nanodollars: .init(
                spent: account.spent.nanodollars, reserved: account.reserved.nanodollars, limit: limits.nanodollars),
            tokens: .init(spent: account.spent.tokens, reserved: account.reserved.tokens, limit: limits.tokens),
            isPastSoftMark: key.scope == .session && isPastSoftMark(key.name),
            hasAnsweredNote: key.scope == .session && sessions[key.name]?.hasAnsweredNote == true)
    }
}

extension Amount {
    fileprivate init(_ charge: Charge) { self.init(nanodollars: charge.nanodollars, tokens: charge.tokens) }
}

extension Timestamp {
    /// `2026-11-21`, in UTC.
    fileprivate var day: String { String(description.prefix(10)) }
}
