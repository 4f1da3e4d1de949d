import Documents
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

    /// Reads `hosts.yaml`.
    ///
    /// ```yaml
    /// version: 1
    /// factor: 1.25
    /// hosts:
    ///   - { name: build-1, berths: 60, sessions: 12 }
    ///   - { name: build-2, berths: 120, draining: true }
    /// ```
    public init(_ node: Node, file: String) throws(Problems) {
        self.init([])
        var problems: [Problem] = []
        func refuse(_ node: Node?, _ field: String, _ expected: String) {
            problems.append(
                Problem(
                    file: file, mark: node?.mark, field: field,
                    message: "expected \(expected), found \(node?.kind ?? "nothing")"))
        }
        func unknown(_ entries: [Node.Entry], _ known: [String], _ path: String) {
            for entry in entries where !known.contains(entry.key) {
                problems.append(
                    Problem(
                        file: file, mark: entry.keyMark, field: path + entry.key,
                        message: "unknown; the fields here are \(known.joined(separator: ", "))"))
            }
        }
        unknown(node.entries ?? [], ["version", "factor", "hosts"], "")
        if node["version"]?.int != 1 { refuse(node["version"], "version", "1") }
        if let given = node["factor"] {
            if let value = given.number, value >= 1 {
                factor = value
            } else {
                refuse(given, "factor", "a number from 1")
            }
        }
        if node["hosts"]?.elements?.isEmpty ?? true { refuse(node["hosts"], "hosts", "a list of hosts") }
        for (index, entry) in (node["hosts"]?.elements ?? []).enumerated() {
            let path = "hosts[\(index)]."
            unknown(entry.entries ?? [], ["name", "berths", "sessions", "draining"], path)
            var host = PinHost(name: "", berths: 0)
            if let name = entry["name"]?.string, !name.isEmpty {
                host.name = name
            } else {
                refuse(entry["name"] ?? entry, path + "name", "a name")
            }
            if hosts.contains(where: { $0.name == host.name }) {
                refuse(entry["name"] ?? entry, path + "name", "each host once")
            }
            if let berths = entry["berths"]?.int, 0...1_000_000 ~= berths {
                host.berths = Int(berths)
            } else {
                refuse(entry["berths"] ?? entry, path + "berths", "a number from 0 to 1000000")
            }
            if let given = entry["sessions"] {
                if let value = given.int, 0...1_000_000 ~= value {
                    host.sessions = Int(value)
                } else {
                    refuse(given, path + "sessions", "a number from 0 to 1000000")
                }
            }
            if let given = entry["draining"] {
                if let value = given.bool {
                    host.isDraining = value
                } else {
                    refuse(given, path + "draining", "true or false")
                }
            }
            hosts.append(host)
        }
        if !problems.isEmpty { throw Problems(problems) }
    }
}
