import Records
import Syscalls

/// A place taken in the budgets for one request.
public struct Reservation: Sendable, Equatable {
    /// Its number in the book.
    public let id: UInt64
    /// Whose request it is.
    public let session: String
}

/// Why the book cannot do what it was asked.
public enum BudgetFailure: Error, Sendable, Equatable {
    /// A budget does not suffice.
    case refused(BudgetRefusal)
    /// The book cannot be written: nothing may leave the host.
    case notWritten(SystemError)
    /// The book has no such session.
    case unknownSession(String)
    /// The book has a line that is not what it wrote: budgets are not known.
    case damaged(path: String, line: Int, why: String)
}

/// A budget as it stands.
public struct BudgetState: Sendable, Equatable {
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
}

/// What a settlement changed.
public struct Settlement: Sendable, Equatable {
    /// Whether this charge took the session past its soft mark: an event is due.
    public var passedSoftMark: Bool
    /// The session's budget as it now stands.
    public var state: BudgetState
}

/// The budgets of sessions, tenants and the host, crash-safe in a directory.
public final class BudgetBook: Sendable {
    /// Opens the book in `directory`, which is made if it is missing, and takes it for this process alone.
    ///
    /// - Parameters:
    ///   - host: limits of the whole host.
    ///   - tenants: limits of tenants by name; `*` stands for all others.
    public init(
        directory: String, host: BudgetLimits = BudgetLimits(), tenants: [String: BudgetLimits] = [:],
        at time: Timestamp = .now
    ) throws(BudgetFailure) {}

    /// Takes a session in; one that is in the book already (the gateway was started anew) keeps what it spent.
    public func open(session: String, tenant: String, budget: SessionBudget) throws(BudgetFailure) {}

    /// Forgets a session; what it spent stays with its tenant and the host. What is still reserved counts in full.
    public func close(session: String) throws(BudgetFailure) {}

    /// Takes the place for a request before it is sent, in all scopes or in none.
    public func reserve(session: String, _ bound: Charge, at time: Timestamp = .now) throws(BudgetFailure)
        -> Reservation
    { throw .unknownSession(session) }

    /// Makes a reservation greater: a running request turns out to cost more than its bound.
    public func grow(_ reservation: Reservation, to bound: Charge) throws(BudgetFailure) {}

    /// Charges a request and gives the rest of its place back.
    @discardableResult
    public func settle(_ reservation: Reservation, _ outcome: MessagesOutcome) throws(BudgetFailure) -> Settlement {
        throw .unknownSession(reservation.session)
    }

    /// How a session's budget stands; `nil` for a session that the book does not have.
    public func state(session: String) -> BudgetState? { nil }

    /// How a tenant's or the host's budget stands (`name` is ignored for the host).
    public func state(_ scope: BudgetScope, _ name: String, at time: Timestamp = .now) -> BudgetState? { nil }

    /// Raises a session's limits by so much; a limit that is not set stays so.
    @discardableResult
    public func raise(session: String, nanodollars: UInt64 = 0, tokens: UInt64 = 0) throws(BudgetFailure)
        -> BudgetState
    { throw .unknownSession(session) }

    /// The note to put into the session's next request: from the soft mark on, until the agent did what it asks for.
    public func note(session: String) -> String? { nil }

    /// Waits until all that was written is on the disk; to be called about once a second (the loss of power).
    public func synchronise() throws(SystemError) {}
}
