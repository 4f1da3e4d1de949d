import Syscalls
import SystemPackage

/// Why a container did not start: the step of the launch sequence, and what failed in it.
public struct LaunchError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The step, by the names of ``LaunchStep``.
    public let step: LaunchStep
    /// The failed call, its object and its errno; `nil` where no call failed.
    public let cause: SystemError?
    /// What to know beyond the call, or to do about it; empty where the call says it all.
    public let message: String

    /// Describes a failed step.
    public init(_ step: LaunchStep, _ cause: SystemError? = nil, _ message: String = "") {
        self.step = step
        self.cause = cause
        self.message = message
    }

    /// 127 where the program was not found, 126 where it cannot be executed, else 125.
    public var exitStatus: Int32 {
        guard let cause, cause.call.hasPrefix("exec") else { return 125 }
        return cause.errno == .noSuchFileOrDirectory || cause.errno == .notDirectory ? 127 : 126
    }

    /// For example `mounts: move_mount /workspace: Permission denied (13); the workdir must be readable`.
    public var description: String {
        var text = step.rawValue
        if let cause { text += ": \(cause)" }
        if !message.isEmpty { text += (cause == nil ? ": " : "; ") + message }
        return text
    }
}

/// The steps of a launch, in the order in which the kernel sees them. Their durations are the phases of the report.
public enum LaunchStep: String, Sendable, CaseIterable {
    /// The parent: the request is checked and everything that needs no child is prepared.
    case prepare
    /// The parent: clone3(2) with all namespaces.
    case clone
    /// The parent: the ids of the user namespace.
    case idMap = "id map"
    /// The parent: detached, id-mapped trees for the child.
    case binds
    /// The child: its cgroups, and their namespace.
    case cgroup
    /// The child: its own filesystems, detached.
    case filesystems
    /// The child: the root and every mount in it.
    case mounts
    /// The child: devices, masked and read-only paths.
    case devices
    /// Programs that the specification has run beside a container's life.
    case hooks
    /// The child: pivot_root(2).
    case pivot
    /// The child: host name, loopback, sysctls.
    case network
    /// The child: a terminal of the session's own.
    case terminal
    /// The child: ids, capabilities, limits, keyring, no_new_privs.
    case privileges
    /// The child: Landlock.
    case landlock
    /// The child: the seccomp filter.
    case seccomp
    /// The child: the payload itself.
    case exec
}

extension LaunchError {
    /// The error as one message between two processes.
    var bytes: [UInt8] {
        // Paths can be of any length, and one message is not: each is cut for itself, so that the rest is told.
        let fields = [
            step.rawValue, cause?.call ?? "", cause?.object ?? "\u{1}", String(cause?.errno.rawValue ?? 0), message,
        ].map { $0.utf8.prefix(1500) }
        return Array(fields.joined(separator: [0]))
    }

    /// Reads what `bytes` wrote.
    init(bytes: [UInt8]) {
        let fields = bytes.split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard fields.count >= 5, let step = LaunchStep(rawValue: fields[0]) else {
            self.init(
                .prepare, nil, "the child sent a message that is not one: \(String(decoding: bytes, as: UTF8.self))")
            return
        }
        let cause =
            fields[1].isEmpty
            ? nil
            : SystemError(
                fields[1], fields[2] == "\u{1}" ? nil : fields[2], errno: Errno(rawValue: Int32(fields[3]) ?? 0))
        self.init(step, cause, fields[4])
    }
}

/// Runs `body` as part of `step`: a system call that fails in it becomes a failure of that step.
@discardableResult
@inline(__always)
func during<Result>(
    _ step: LaunchStep, _ message: @autoclosure () -> String = "", _ body: () throws(SystemError) -> Result
) throws(LaunchError) -> Result {
    do throws(SystemError) { return try body() } catch { throw LaunchError(step, error, message()) }
}
