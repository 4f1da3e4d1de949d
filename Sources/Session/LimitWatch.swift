import Cgroups
import Glibc
import Syscalls
import SystemPackage

/// The limits of a session that no kernel event tells of by itself, and when to look at each: processor time in all, time
/// beyond the ceiling, and on a hybrid host whether it was this session that the kernel killed in.
struct LimitWatch {
    /// The limit in nanoseconds of processor time.
    private let cpuTime: UInt64?
    private let ceiling: UInt64?
    private let recycle: UInt64
    /// How fast processor time can pass.
    private let processors: UInt64
    private var cpuLook: UInt64?
    private var ceilingLook: UInt64?
    private var oomLook: (at: UInt64, pause: UInt64)?
    /// Since when it has been beyond its ceiling; 0: it is not.
    private(set) var overSince: UInt64 = 0
    /// Tells that a fork was refused, once.
    private(set) var pids: FileDescriptor?

    init(_ limits: Profile.Limits, _ cgroup: Cgroup?, now: UInt64 = monotonicNanoseconds()) {
        cpuTime = limits.cpuTime.map { UInt64($0) }
        ceiling = limits.recycle == nil ? nil : limits.ceiling.map { UInt64($0) }
        recycle = UInt64(limits.recycle ?? 0)
        processors = UInt64(max(usableProcessors(), 1))
        cpuLook = cpuTime.map { now + $0 / processors }
        ceilingLook = ceiling == nil ? nil : now + pause
    }

    /// Also tells the supervisor's epoll descriptor of refused forks.
    init(_ limits: Profile.Limits, _ cgroup: Cgroup?, _ descriptors: SupervisorDescriptors) {
        self.init(limits, cgroup)
        guard let cgroup, let descriptor = try? cgroup.watchRefusedForks() else { return }
        if (try? descriptors.watch(.pids, descriptor, .priority)) == nil {
            close(descriptor)
        } else {
            pids = descriptor
        }
    }

    /// What came through execve(2) with a parked supervisor.
    mutating func resume(pids: FileDescriptor?, overSince: UInt64) {
        self.pids = pids
        self.overSince = overSince
    }

    private var pause: UInt64 { max(recycle / 10, 100_000_000) }

    /// When to look again, monotonic nanoseconds.
    var next: UInt64? { [cpuLook, ceilingLook, oomLook?.at].compactMap { $0 }.min() }

    /// The kernel told of want of memory: on a hybrid host to all below the level that wants it, and before it kills.
    /// Answers whether it was in this session; where it is not sure it looks again soon.
    mutating func isOutOfMemory(_ cgroup: Cgroup?, now: UInt64 = monotonicNanoseconds()) -> Bool {
        if cgroup.map({ $0.oomKills() > 0 }) ?? true {
            oomLook = nil
            return true
        }
        oomLook = (now + 2_000_000, 2_000_000)
        return false
    }

    /// Looks at what is due; answers what the session came up against.
    mutating func look(_ now: UInt64, _ cgroup: Cgroup?) -> Ending? {
        if let due = oomLook, now >= due.at {
            if cgroup?.oomKills() ?? 0 > 0 {
                oomLook = nil
                return .outOfMemory
            }
            // The kernel kills within milliseconds, or it was a neighbour.
            oomLook = due.pause > 500_000_000 ? nil : (now + due.pause * 2, due.pause * 2)
        }
        if let due = cpuLook, let cpuTime, now >= due {
            guard let used = try? cgroup?.cpuTime() else {
                cpuLook = nil
                return nil
            }
            if used >= cpuTime { return .cpuTime }
            cpuLook = now + max((cpuTime - used) / processors, 10_000_000)
        }
        if let due = ceilingLook, let ceiling, now >= due {
            ceilingLook = now + pause
            guard let memory = cgroup?.memoryNow(), memory > ceiling else {
                overSince = 0
                return nil
            }
            if overSince == 0 { overSince = now }
            if now - overSince >= recycle { return .recycled }
        }
        return nil
    }

    /// A fork was refused: told once, and not again.
    mutating func takeRefusedFork(_ descriptors: SupervisorDescriptors) {
        guard let pids else { return }
        descriptors.unwatch(pids)
        close(pids)
        self.pids = nil
    }
}
