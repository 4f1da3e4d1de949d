import Documents

/// A part of the host's memory that a session has taken before its start, or waits for.
public struct Berth: Sendable, Equatable {
    /// What its holder has.
    public enum Kind: UInt32, Sendable {
        /// The memory: a session starts or runs on it.
        case taken = 1
        /// A place in the queue, and the host is what it waits for.
        case waiting = 2
        /// A place in the queue, and its tenant's own bounds are what it waits for: it holds up nobody else.
        case waitingForTenant = 3
    }

    /// What its holder has.
    public var kind: Kind
    /// The process that holds it: the session's supervisor, or the call that waits.
    public var holder: Int32
    /// How much memory, in bytes.
    public var bytes: UInt64
    /// Whose session it is.
    public var tenant: Name
    /// When it was taken, or asked for: seconds since 1970.
    public var since: Int64
    /// When its session is expected to end, in seconds since 1970; 0 where nothing is known.
    public var expectedEnd: Int64
    /// The place in the queue of who waits: the lowest is first.
    public var ticket: UInt64

    /// A name in 64 bits (FNV-1a): enough to tell a host's tenants apart, and all slots have one size.
    public struct Name: Sendable, Equatable {
        /// The hash.
        public let hash: UInt64

        /// The short form of a name.
        public init(_ name: String) { hash = fingerprint(name) }

        init(hash: UInt64) { self.hash = hash }
    }

    /// A berth that is asked for.
    public init(holder: Int32, bytes: UInt64, tenant: Name, since: Int64, expectedEnd: Int64) {
        kind = .taken
        self.holder = holder
        self.bytes = bytes
        self.tenant = tenant
        self.since = since
        self.expectedEnd = expectedEnd
        ticket = 0
    }

    /// The size of a slot in the book.
    static let size = 64

    /// Reads a slot; `nil` where it is free. Figures are added up, so what no host has and no clock comes to is read as less.
    init?(_ slot: UnsafeRawBufferPointer) {
        func number<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> Number {
            slot.loadUnaligned(fromByteOffset: offset, as: Number.self)
        }
        guard let kind = Kind(rawValue: number(4)) else { return nil }
        self.kind = kind
        holder = number(0)
        bytes = min(number(8), 1 << 48)
        tenant = Name(hash: number(16))
        since = max(0, min(number(24), 1 << 32))
        expectedEnd = max(0, min(number(32), 1 << 32))
        ticket = number(40)
    }

    /// The slot as the book has it.
    var slot: [UInt8] {
        var slot = [UInt8](repeating: 0, count: Self.size)
        slot.withUnsafeMutableBytes {
            $0.storeBytes(of: holder, toByteOffset: 0, as: Int32.self)
            $0.storeBytes(of: kind.rawValue, toByteOffset: 4, as: UInt32.self)
            $0.storeBytes(of: bytes, toByteOffset: 8, as: UInt64.self)
            $0.storeBytes(of: tenant.hash, toByteOffset: 16, as: UInt64.self)
            $0.storeBytes(of: since, toByteOffset: 24, as: Int64.self)
            $0.storeBytes(of: expectedEnd, toByteOffset: 32, as: Int64.self)
            $0.storeBytes(of: ticket, toByteOffset: 40, as: UInt64.self)
        }
        return slot
    }
}

/// What berths are given out of.
public struct BerthBounds: Sendable, Equatable {
    /// The memory that all berths together may have, in bytes: the host's without its reserve.
    public var capacity: UInt64
    /// The memory that the berths of the asking tenant together may have; `nil` for no bound.
    public var tenantMemory: UInt64?
    /// The most sessions of the asking tenant; `nil` for no bound.
    public var tenantSessions: Int?

    /// What berths are given out of.
    public init(capacity: UInt64, tenantMemory: UInt64? = nil, tenantSessions: Int? = nil) {
        self.capacity = capacity
        self.tenantMemory = tenantMemory
        self.tenantSessions = tenantSessions
    }
}

/// Why there is no berth, with what a caller needs to decide what to do.
public struct BerthRefusal: Sendable, Equatable {
    /// What stands in the way.
    public enum Reason: Sendable, Equatable {
        /// The host's memory is taken.
        case hostMemory
        /// Others wait already.
        case queue
        /// The tenant's memory is taken.
        case tenantMemory
        /// The tenant has as many sessions as it may.
        case tenantSessions
    }

    /// What stands in the way.
    public var reason: Reason
    /// How much was asked for, in bytes.
    public var asked: UInt64
    /// How much is taken of what is full: the host's, or the tenant's. Bytes.
    public var used: UInt64
    /// How much there is of it. Bytes.
    public var capacity: UInt64
    /// How many sessions have it.
    public var sessions: Int
    /// How many wait.
    public var waiting: Int
    /// When the next of these sessions is expected to end, in seconds since 1970; `nil` where nothing is known.
    public var nextEnd: Int64?
}

extension BerthBounds {
    /// Whether `wanted` can be taken beside `berths`, and what stands in the way if not.
    ///
    /// A session that is larger than the whole host takes all of it: alone, its own limit is what bounds it. Who waits is
    /// not overtaken, neither by a smaller session nor by one that would not wait; only who waits for its own tenant's
    /// bounds is passed by, except by that tenant.
    ///
    /// - Parameter ticket: the place in the queue that the asker has already.
    func refusal(of wanted: Berth, beside berths: [Berth], ticket: UInt64? = nil) -> BerthRefusal? {
        var used: UInt64 = 0
        var ofTenant: UInt64 = 0
        var (sessions, tenantSessions, waiting, ahead) = (0, 0, 0, 0)
        var (next, tenantNext): (Int64?, Int64?)
        func earlier(_ one: Int64?, _ other: Int64) -> Int64? { other == 0 ? one : min(one ?? other, other) }
        for berth in berths where berth.holder != wanted.holder || berth.kind == .taken {
            guard berth.kind == .taken else {
                waiting += 1
                let isAhead = ticket.map { berth.ticket < $0 } ?? true
                if isAhead && (berth.kind == .waiting || berth.tenant == wanted.tenant) { ahead += 1 }
                continue
            }
            used += berth.bytes
            sessions += 1
            next = earlier(next, berth.expectedEnd)
            if berth.tenant == wanted.tenant {
                ofTenant += berth.bytes
                tenantSessions += 1
                tenantNext = earlier(tenantNext, berth.expectedEnd)
            }
        }
        func refuse(
            _ reason: BerthRefusal.Reason, _ used: UInt64, _ capacity: UInt64, _ sessions: Int, _ next: Int64?
        ) -> BerthRefusal {
            BerthRefusal(
                reason: reason, asked: wanted.bytes, used: used, capacity: capacity, sessions: sessions,
                waiting: waiting, nextEnd: next)
        }
        if let tenantSessions_ = self.tenantSessions, tenantSessions >= tenantSessions_ {
            return refuse(.tenantSessions, ofTenant, UInt64(max(tenantSessions_, 0)), tenantSessions, tenantNext)
        }
        if let bound = tenantMemory, ofTenant + min(wanted.bytes, bound) > bound {
            return refuse(.tenantMemory, ofTenant, bound, tenantSessions, tenantNext)
        }
        if used + min(wanted.bytes, capacity) > capacity { return refuse(.hostMemory, used, capacity, sessions, next) }
        if ahead > 0 { return refuse(.queue, used, capacity, sessions, next) }
        return nil
    }
}
