import Syscalls
import SystemPackage

/// What the kernel has counted of a cgroup's own memory limits.
public struct CgroupEvents: Sendable, Equatable {
    /// How often the cgroup went beyond its `memory.high` and was slowed down.
    public var high: UInt64 = 0
    /// How often it came up against its `memory.max`.
    public var max: UInt64 = 0
    /// How often the kernel could not give it memory although it had reclaimed what it could.
    public var oom: UInt64 = 0
    /// How many processes the kernel killed for that.
    public var oomKill: UInt64 = 0

    /// Nothing counted.
    public init() {}
}

extension CgroupUsage {
    /// Whether the cgroup's own limit was run into, as far as this host's kernel tells: see ``memoryIsClipped``.
    var memoryIsClippedByItself: Bool {
        guard let memoryPeak, let memoryMax else { return false }
        return memoryPeak + (2 << 20) > memoryMax
    }
}

extension Cgroup {
    /// The counts of its own limits alone, not those of cgroups below (`memory.events.local`, Linux 5.2). A hybrid host has
    /// none: `nil`.
    public func ownEvents() -> CgroupEvents? {
        try? withContents("\(directory)/memory.events.local") {
            var events = CgroupEvents()
            events.high = value("high", in: $0) ?? 0
            events.max = value("max", in: $0) ?? 0
            events.oom = value("oom", in: $0) ?? 0
            events.oomKill = value("oom_kill", in: $0) ?? 0
            return events
        }
    }

    /// Whether its own limit made the kernel kill, and not one above it.
    ///
    /// A unified host counts that. A hybrid one does not: there it is told by a peak at the limit.
    public func ranIntoItsOwnLimit() -> Bool {
        if let events = ownEvents() { return events.oom > 0 }
        return usage(now: false).memoryIsClippedByItself
    }

    /// A descriptor that is ready whenever its limit of tasks has refused one more fork (`pids.events`): wait on it for
    /// ``Readiness/priority`` (epoll(7), poll(2)). Reading it once arms it again. Unified hosts only.
    public func watchRefusedForks() throws(CgroupError) -> FileDescriptor {
        // cgroup v1 counts refused forks and tells nobody (pids_event in kernel/cgroup/pids.c).
        guard !isHybrid else {
            throw .controlAbsent(
                control: "pids.events", reason: "cgroup v1 tells no one of it",
                fix: "boot with systemd.unified_cgroup_hierarchy=1")
        }
        guard let directory = directoryOf("pids") else {
            throw .controlAbsent(control: "pids", reason: "\(path) was made without a limit of it", fix: "give it one")
        }
        let file = try Cgroups.open("\(directory)/pids.events")
        do throws(CgroupError) {
            try withContents(file) { _ in }  // the first read arms it
        } catch {
            close(file)
            throw error
        }
        return file
    }
}
