import Glibc
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

    /// A descriptor that is ready whenever `memory.events` or, for ``Event/pids``, `pids.events` counts one more: wait on
    /// it for ``Readiness/priority`` (epoll(7), poll(2)). Reading it once arms it again. Unified hosts only.
    public func watch(_ event: Event) throws(CgroupError) -> FileDescriptor {
        let (controller, name) = event == .pids ? ("pids", "pids.events") : ("memory", "memory.events")
        // cgroup v1 counts refused forks and tells nobody (pids_event in kernel/cgroup/pids.c).
        guard !isHybrid else {
            throw .controlAbsent(
                control: name, reason: "cgroup v1 tells no one of it",
                fix: "boot with systemd.unified_cgroup_hierarchy=1")
        }
        guard let directory = directoryOf(controller) else {
            throw .controlAbsent(
                control: controller, reason: "\(path) was made without a limit of it", fix: "give it one")
        }
        let file = try Cgroups.open("\(directory)/\(name)")
        do throws(CgroupError) {
            try withContents(file) { _ in }  // the first read arms it
        } catch {
            close(file)
            throw error
        }
        return file
    }

    /// What ``watch(_:)`` waits for.
    public enum Event: Sendable {
        /// Reclaim, `memory.high`, `memory.max` and the kernel's killing; see also ``watchOutOfMemory()``.
        case memory
        /// A fork that the limit refused.
        case pids
    }

    /// Waits for pressure: a descriptor that is ready, for ``Readiness/priority``, whenever tasks of the cgroup were held
    /// up by want of a resource for `stall` within `window` (Documentation/accounting/psi.rst, "Monitoring for pressure
    /// thresholds"). Closing it ends the watch.
    ///
    /// - Parameters:
    ///   - full: whether all tasks at once have to be held up, not only some.
    ///   - stall: microseconds.
    ///   - window: microseconds, 500,000 to 10,000,000; without privileges a multiple of 2,000,000.
    /// - Throws: ``CgroupError/controlAbsent(control:reason:fix:)`` where the kernel measures no pressure.
    public func watchPressure(
        _ resource: PressureResource, full: Bool = false, stall: Int, window: Int = 2_000_000
    ) throws(CgroupError) -> FileDescriptor {
        let name = "\(directory)/\(resource.rawValue).pressure"
        let file: FileDescriptor
        do throws(CgroupError) {
            file = try Cgroups.open(name, O_RDWR | O_NONBLOCK)
        } catch {
            guard error.errno == .noSuchFileOrDirectory || error.errno == .notSupported else { throw error }
            throw .controlAbsent(
                control: "pressure", reason: "this kernel has no \(name)", fix: "boot with psi=1 (CONFIG_PSI)")
        }
        var trigger = "\(full ? "full" : "some") \(stall) \(window)\0"
        do throws(CgroupError) {
            _ = try kernel { () throws(SystemError) in
                try retrying("write", "\(trigger.dropLast()) to \(name)") {
                    trigger.withUTF8 { Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
                }
            }
        } catch {
            close(file)
            throw error
        }
        return file
    }

    /// What tasks can be held up for.
    public enum PressureResource: String, Sendable, CaseIterable {
        case memory, cpu, io
    }

    /// Makes the kernel take memory back from it, without killing (`memory.reclaim`, Linux 5.19).
    ///
    /// - Returns: whether all `bytes` could be taken.
    public func reclaim(_ bytes: UInt64) throws(CgroupError) -> Bool {
        guard let memory = directoryOf("memory") else {
            throw .controlAbsent(
                control: "memory", reason: "\(path) was made without it", fix: "give it a memory limit")
        }
        do throws(CgroupError) {
            try write(String(bytes), "\(memory)/memory.reclaim")
            return true
        } catch {
            switch error.errno {
            case .resourceTemporarilyUnavailable: return false
            case .noSuchFileOrDirectory, .permissionDenied:
                throw .controlAbsent(
                    control: "memory.reclaim", reason: "this host's memory controller has no \(memory)/memory.reclaim",
                    fix: "use Linux 5.19 and boot with systemd.unified_cgroup_hierarchy=1")
            default: throw error
            }
        }
    }
}
