import CSyscalls
import Glibc
import SystemPackage

/// How a filter is installed (`SECCOMP_FILTER_FLAG_*`, seccomp(2)).
public struct FilterFlags: OptionSet, Sendable, Hashable {
    /// The bits that seccomp(2) takes.
    public let rawValue: UInt32

    /// Flags from the bits that seccomp(2) takes.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// All threads of the process get the filter.
    public static let allThreads = FilterFlags(rawValue: 1 << 0)
    /// Refusals are logged, where the host's `actions_logged` agrees.
    public static let log = FilterFlags(rawValue: 1 << 1)
    /// Speculative store bypass is not switched off (only kernels before 5.16 do that).
    public static let allowSpeculation = FilterFlags(rawValue: 1 << 2)
    /// The installer gets the descriptor on which `SCMP_ACT_NOTIFY` calls are asked about.
    public static let listener = FilterFlags(rawValue: 1 << 3)
    /// A caller whose notification has been received can be woken only by a fatal signal.
    public static let waitKillable = FilterFlags(rawValue: 1 << 5)
}

/// Puts the calling thread, and what it starts, behind a filter (seccomp(2), `SECCOMP_SET_MODE_FILTER`).
///
/// Allocates nothing unless it fails. The caller must have `no_new_privs` set, or `CAP_SYS_ADMIN`.
///
/// - Parameter instructions: an array of `struct sock_filter`, 8 bytes each.
/// - Returns: the listener's descriptor, close-on-exec, if `flags` asks for one.
@discardableResult
public func installFilter(
    _ instructions: UnsafeRawBufferPointer, flags: FilterFlags = []
) throws(SystemError) -> FileDescriptor? {
    let count = instructions.count / MemoryLayout<sock_filter>.stride
    guard count > 0, count <= BPF_MAXINSNS, instructions.count % MemoryLayout<sock_filter>.stride == 0,
        let start = instructions.baseAddress
    else { throw SystemError("seccomp", "\(instructions.count) bytes of filter", errno: .invalidArgument) }
    var program = sock_fprog(
        len: UInt16(count), filter: UnsafeMutableRawPointer(mutating: start).assumingMemoryBound(to: sock_filter.self))
    let result = try checking("seccomp", "SECCOMP_SET_MODE_FILTER") {
        seccomp(SECCOMP_SET_MODE_FILTER, flags, &program)
    }
    if flags.contains(.listener) { return FileDescriptor(rawValue: Int32(result)) }
    // With allThreads a positive answer is the thread that could not follow.
    if result != 0 { throw SystemError("seccomp", "thread \(result)", errno: .noSuchProcess) }
    return nil
}

/// Whether the kernel knows a filter's return value (seccomp(2), `SECCOMP_GET_ACTION_AVAIL`).
public func filterActionIsAvailable(_ action: UInt32) -> Bool {
    var action = action
    return seccomp(SECCOMP_GET_ACTION_AVAIL, [], &action) == 0
}

private func seccomp(_ operation: Int32, _ flags: FilterFlags, _ argument: UnsafeMutableRawPointer) -> Int {
    carrel_syscall(Int(SYS_seccomp), Int(operation), Int(flags.rawValue), Int(bitPattern: argument), 0, 0, 0)
}
