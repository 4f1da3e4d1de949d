import Syscalls
import SystemPackage

/// Tells when the kernel kills for want of memory, without asking again and again.
public struct OutOfMemoryWatch: Sendable {
    /// What to give to `epollControl` or `poll`.
    public let descriptor: FileDescriptor
    /// What to watch it for.
    public let readiness: Readiness
    /// How many it has told of.
    private var seen: UInt64 = 0

    /// A watch whose descriptor has come through execve(2).
    public init(descriptor: FileDescriptor, readiness: Readiness) {
        self.descriptor = descriptor
        self.readiness = readiness
    }

    /// Whether it has happened since the last call, and arms the watch again. To be asked whenever the descriptor is ready,
    /// which it is for lesser events too.
    ///
    /// On a hybrid host the kernel tells just before it kills, so ``CgroupUsage/oomKills`` may still be 0; it tells too
    /// when the cgroup is removed.
    public mutating func happened() throws(CgroupError) -> Bool {
        if readiness == .readable {
            return try kernel { () throws(SystemError) in try takeCount(descriptor) != nil }
        }
        let count = try withContents(descriptor) { value("oom_kill", in: $0) ?? 0 }
        defer { seen = count }
        return count > seen
    }

    /// Ends the watch.
    public func close() { Syscalls.close(descriptor) }
}
