import Glibc
import OCISpec
import Syscalls

/// The resource limits of a process (setrlimit(2)).
public struct ResourceLimits: Sendable, Equatable {
    private struct Limit: Sendable, Equatable {
        let name: String
        let resource: Int32
        let soft: UInt64
        let hard: UInt64
    }
    private var limits: [Limit] = []
    private let dumpsCores: Bool

    /// The limits of an OCI process, and no core dumps where the list says nothing of `RLIMIT_CORE`.
    ///
    /// "None" is a limit of one byte, not of zero: where `kernel.core_pattern` is a pipe to a program of the host, the
    /// kernel ignores a limit of zero and hands that program the dump; a limit of exactly 1 stops both kinds (core(5),
    /// `fs/coredump.c`).
    ///
    /// - Parameter dumpsCores: leaves the limit of core dumps as it is.
    /// - Throws: `ControlError` for a name that is no resource, one given twice, a soft limit above the hard one.
    public init(_ rlimits: [POSIXRlimit], dumpsCores: Bool = false) throws(ControlError) {
        for limit in rlimits {
            guard let index = Self.names.firstIndex(of: limit.type) else {
                throw ControlError("process.rlimits", "\(limit.type) is no resource of setrlimit(2)")
            }
            if limits.contains(where: { $0.resource == index }) {
                throw ControlError("process.rlimits", "\(limit.type) is given twice")
            }
            if limit.soft > limit.hard {
                throw ControlError(
                    "process.rlimits",
                    "\(limit.type): the soft limit \(limit.soft) is above the hard one, \(limit.hard)")
            }
            limits.append(Limit(name: limit.type, resource: Int32(index), soft: limit.soft, hard: limit.hard))
        }
        self.dumpsCores = dumpsCores || limits.contains { $0.name == "RLIMIT_CORE" }
    }

    /// Sets the limits of process `pid`, 0 being the caller.
    ///
    /// A hard limit above the present one needs `CAP_SYS_RESOURCE` in the initial user namespace. A process in a user
    /// namespace never has that, whatever it has inside: such limits are set by the parent, on the child.
    public func apply(to pid: pid_t = 0) throws(SystemError) {
        for limit in limits {
            try setResourceLimit(limit.resource, soft: limit.soft, hard: limit.hard, of: pid, named: limit.name)
        }
        if dumpsCores { return }
        let core = Int32(RLIMIT_CORE.rawValue)
        do throws(SystemError) {
            try setResourceLimit(core, soft: 1, hard: 1, of: pid, named: "RLIMIT_CORE")
        } catch {
            guard error.errno == .notPermitted else { throw error }
            try setResourceLimit(core, soft: 0, hard: 0, of: pid, named: "RLIMIT_CORE")
        }
    }

    /// Raises the hard limits of process `pid`, 0 being the caller, to what ``apply(to:)`` then needs no privilege for.
    public func raise(of pid: pid_t = 0) throws(SystemError) {
        for limit in limits {
            let now = try resourceLimit(limit.resource, of: pid, named: limit.name)
            if limit.hard <= now.hard { continue }
            try setResourceLimit(limit.resource, soft: now.soft, hard: limit.hard, of: pid, named: limit.name)
        }
    }

    /// By number, as on every architecture but alpha, mips and sparc (`asm-generic/resource.h`).
    private static let names = [
        "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
        "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
    ]
}
