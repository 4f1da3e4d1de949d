import Glibc
import Syscalls
import SystemPackage

/// Why a cgroup could not be had, or not as asked.
public enum CgroupError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A limit was asked for that this host cannot hold a cgroup to.
    ///
    /// - Parameters:
    ///   - control: what is missing, for example `memory` or `swap`.
    ///   - fix: what the operator can do about it.
    case controlAbsent(control: String, reason: String, fix: String)
    /// There is no place where this user can create cgroups.
    case noPlace(reason: String, fix: String)
    /// The path of a cgroup is not one that Carrel creates.
    case invalidPath(String, reason: String)
    /// The cgroup exists already: it belongs to another, running or left behind.
    case exists(String)
    /// The cgroup, or one above it, is frozen: no process that is made in it would begin.
    case frozen(String)
    /// A call of the kernel failed.
    case system(SystemError)

    /// One line: what failed, why and, where the operator can help, how.
    public var description: String {
        switch self {
        case .controlAbsent(let control, let reason, let fix): "control \(control) is absent: \(reason); \(fix)"
        case .noPlace(let reason, let fix): "no place for cgroups: \(reason); \(fix)"
        case .invalidPath(let path, let reason): "cgroup path \"\(path)\": \(reason)"
        case .exists(let path): "cgroup \(path) exists already"
        case .frozen(let directory):
            "\(directory) is frozen, by itself or with a cgroup above it: let that go on first (echo 0 > cgroup.freeze)"
        case .system(let error): error.description
        }
    }
}

extension CgroupError {
    /// Whether the cgroup is not there, or not any more (also of files of it that were open then).
    public var isGone: Bool { errno == .noSuchFileOrDirectory || errno?.rawValue == ENODEV }

    /// The kernel's reason, where a call of it failed.
    var errno: Errno? {
        if case .system(let error) = self { error.errno } else { nil }
    }
}

/// Makes calls of the kernel whose failure is this room's.
@inline(__always)
func kernel<Result>(_ body: () throws(SystemError) -> Result) throws(CgroupError) -> Result {
    do throws(SystemError) {
        return try body()
    } catch {
        throw .system(error)
    }
}
