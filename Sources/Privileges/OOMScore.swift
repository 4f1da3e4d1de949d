import CSyscalls
import Glibc
import Syscalls
import SystemPackage

/// Sets the caller's `oom_score_adj` (proc(5)): how willingly the kernel kills it when memory runs out.
///
/// - Parameters:
///   - score: -1000 (never) to 1000 (first). Below the present minimum needs `CAP_SYS_RESOURCE` in the initial user
///     namespace.
///   - proc: the root of a procfs. It is verified to be one, and nothing mounted over parts of it is crossed: a write
///     that lands in another file of the image's choice has been an escape (CVE-2019-16884, CVE-2025-52881).
public func setOOMScore(_ score: Int, proc: FileDescriptor) throws(SystemError) {
    guard try fileSystemKind(proc) == .proc else {
        throw SystemError("fstatfs", "/proc", errno: .init(rawValue: EMEDIUMTYPE))
    }
    let path = "self/oom_score_adj"
    let file = try open(path, O_WRONLY, in: proc, [.beneath, .noCrossing, .noMagicLinks])
    defer { close(file) }
    try writeAll("\(score)".utf8, to: file, named: path)
}
