import Capacity
import Cgroups
import Documents
import Records
import Syscalls

/// What a live session is doing, as `carrel top` shows it.
public struct SessionActivity: Sendable {
    /// Who it is, and what it holds.
    public var status: SessionStatus
    /// The most memory that it ever held, in bytes; `nil` where the host does not count.
    public var peak: UInt64?
    /// Processors' worth of time since the last look; `nil` at the first.
    public var cpus: Double?
    /// The part of the time since the last look in which some task waited for memory; `nil` at the first, and where the
    /// host does not count.
    public var memoryStall: Double?
    /// Whether it came up against its memory limit.
    public var isClipped: Bool
    /// What it has used of the network, by the gateway's count of about a second ago; `nil` where it has no door.
    public var egress: Report.Egress?

    /// The activity as a document.
    public var node: Node {
        var node = status.node
        node.append("memoryPeakBytes", Node(count: peak))
        node.append("cpus", cpus.map { Node(.number($0)) } ?? nil)
        node.append("memoryStall", memoryStall.map { Node(.number($0)) } ?? nil)
        node.append("memoryClipped", Node(.bool(isClipped)))
        node.append(
            "egress", egress?.node ?? nil)
        return node
    }
}

/// Looks at live sessions again and again, and tells what happened in between.
public struct SessionGauge {
    private let carrel: Carrel
    private var last: [String: (time: UInt64, cpu: UInt64?, stall: UInt64?)] = [:]

    /// A gauge that has not looked yet.
    public init(_ carrel: Carrel) { self.carrel = carrel }

    /// Looks at all sessions; the largest is first.
    public mutating func look() throws(SessionError) -> [SessionActivity] {
        let now = monotonicNanoseconds()
        var seen: [String: (time: UInt64, cpu: UInt64?, stall: UInt64?)] = [:]
        var activities: [SessionActivity] = []
        for status in try carrel.sessions() {
            guard let record = carrel.live.find(status.id) else { continue }
            let usage = carrel.cgroup(of: record)?.usage()
            let stall = usage?.memoryPressure?.some
            // A session of the same name may be another one.
            let key = "\(status.id) \(status.pid)"
            seen[key] = (now, usage?.cpu, stall)
            var activity = SessionActivity(
                status: status, peak: usage?.memoryPeak, isClipped: usage?.memoryIsClipped ?? false)
            if let before = last[key], now > before.time {
                let time = Double(now - before.time)
                if let cpu = usage?.cpu, let old = before.cpu { activity.cpus = Double(cpu - min(old, cpu)) / time }
                if let stall, let old = before.stall {
                    activity.memoryStall = min(1, Double(stall - min(old, stall)) * 1000 / time)
                }
            }
            activity.egress = carrel.live.egress(of: record)
            activities.append(activity)
        }
        last = seen
        return activities.sorted {
            ($0.status.memoryBytes ?? 0, $1.status.id) > ($1.status.memoryBytes ?? 0, $0.status.id)
        }
    }
}

/// What of the host's berths is in use.
public struct BerthUse: Sendable, Equatable {
    /// How many are taken.
    public var sessions: Int
    /// How much memory they have, in bytes.
    public var taken: UInt64
    /// How much there is, in bytes; `nil` where admission is off.
    public var capacity: UInt64?
    /// How many starts wait.
    public var waiting: Int
}

extension Carrel {
    /// What of the host's berths is in use.
    public func berthUse() throws(SessionError) -> BerthUse {
        // The next start that finds the host full takes those of the dead.
        let all = try telling("berths") { () throws(SystemError) in try berths.berths() }
            .filter { !hasEnded($0.holder) }
        let taken = all.filter { $0.kind == .taken }
        return BerthUse(
            sessions: taken.count, taken: taken.reduce(0) { $0 + $1.bytes }, capacity: try admissionRules().capacity,
            waiting: all.count - taken.count)
    }
}
