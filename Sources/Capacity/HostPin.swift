import Glibc

/// A host that sessions can be given to.
public struct PinHost: Sendable, Equatable {
    /// Its name.
    public var name: String
    /// How many berths it has: its weight.
    public var berths: Int
    /// How many sessions it has now.
    public var sessions: Int
    /// Whether it takes no more.
    public var isDraining: Bool

    /// A host.
    public init(name: String, berths: Int, sessions: Int = 0, isDraining: Bool = false) {
        self.name = name
        self.berths = berths
        self.sessions = sessions
        self.isDraining = isDraining
    }
}

/// Which host a session belongs to: the same for everyone who asks, with as little moving as can be when hosts come and
/// go, and no host above its share.
///
/// Weighted rendezvous hashing (Thaler and Ravishankar 1998; logarithmic weights by Schindelhauer and Schomaker 2005) gives
/// each session an order of all hosts, in which a host comes first as often as it has berths. A host that goes moves only
/// its own sessions; one that comes takes only its share. The bound (Mirrokni, Thorup and Zadimoghaddam, Consistent
/// Hashing with Bounded Loads, 2018) passes a host by that has its share of all sessions times `factor` already.
public struct HostPin: Sendable, Equatable {
    /// The hosts.
    public var hosts: [PinHost]
    /// How far above its share a host may go.
    public var factor: Double

    /// A choice among these hosts.
    public init(_ hosts: [PinHost], factor: Double = 1.25) {
        self.hosts = hosts
        self.factor = factor
    }

    /// The hosts in this session's order, whatever they have to do.
    public func order(of session: String) -> [PinHost] {
        hosts.filter { $0.berths > 0 }.map { (host: $0, score: Self.score(session, $0)) }
            .sorted { ($0.score, $1.host.name) > ($1.score, $0.host.name) }.map(\.host)
    }

    /// The host for a session: the first in its order that is below its bound and has a berth free; `nil` where none has.
    public func host(for session: String) -> PinHost? {
        order(of: session).first { !$0.isDraining && $0.sessions < bound(of: $0) }
    }

    /// The most sessions that a host takes now: its share of all, one more included, times the factor; never more than it
    /// has berths.
    public func bound(of host: PinHost) -> Int {
        let open = hosts.filter { !$0.isDraining }
        let all = open.reduce(0) { $0 + $1.berths }
        guard all > 0 else { return 0 }
        let sessions = hosts.reduce(1) { $0 + $1.sessions }
        let share = Double(sessions) * Double(host.berths) / Double(all)
        return min(host.berths, Int((share * factor).rounded(.up)))
    }

    /// `-berths / ln(u)`, `u` being a number between 0 and 1 that session and host come to.
    private static func score(_ session: String, _ host: PinHost) -> Double {
        var hash = Berth.Name(session + "\0" + host.name).hash
        // FNV leaves the high bits of short words alike; the finalizer of MurmurHash3 spreads them.
        hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        hash ^= hash >> 33
        return -Double(host.berths) / log((Double(hash >> 11) + 0.5) / Double(1 << 53))
    }
}
