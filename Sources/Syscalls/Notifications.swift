import CSyscalls
import Glibc
import SystemPackage

// The listener of a filter (seccomp_unotify(2)).

/// A call that waits for its listener's answer.
public struct CallNotification: Sendable, Equatable {
    /// What the answer names it by.
    public let id: UInt64
    /// The thread that makes the call, in the listener's PID namespace.
    public let thread: pid_t
    /// The call's number.
    public let number: Int32
    /// `AUDIT_ARCH_*`.
    public let architecture: UInt32
    /// The caller's program counter.
    public let instructionPointer: UInt64
    /// The registers of the arguments, all 64 bits of each.
    public let arguments: [UInt64]
}

/// Takes the next call that waits (`SECCOMP_IOCTL_NOTIF_RECV`); sleeps where there is none.
///
/// - Returns: `nil` where the caller was killed or interrupted before its call could be taken.
public func receiveNotification(_ listener: FileDescriptor) throws(SystemError) -> CallNotification? {
    var notification = seccomp_notif()
    while ioctl(listener.rawValue, UInt(carrel_notif_recv), &notification) == -1 {
        if errno == ENOENT { return nil }
        if errno != EINTR { throw SystemError.last("ioctl", "SECCOMP_IOCTL_NOTIF_RECV") }
        notification = seccomp_notif()
    }
    let data = notification.data
    let arguments = [data.args.0, data.args.1, data.args.2, data.args.3, data.args.4, data.args.5]
    return CallNotification(
        id: notification.id, thread: pid_t(bitPattern: notification.pid), number: data.nr, architecture: data.arch,
        instructionPointer: data.instruction_pointer, arguments: arguments)
}

/// What a listener says to a call.
public enum CallAnswer: Sendable, Equatable {
    /// The kernel does it, with whatever the caller's memory then holds: no decision may be made in this way that looks
    /// at memory (seccomp_unotify(2)).
    case goOn
    /// It is not done, and answers this errno.
    case fail(Int32)
}

/// Answers a call (`SECCOMP_IOCTL_NOTIF_SEND`). A caller that is gone needs no answer.
public func answer(_ id: UInt64, _ answer: CallAnswer, on listener: FileDescriptor) throws(SystemError) {
    var response = seccomp_notif_resp()
    response.id = id
    switch answer {
    case .goOn: response.flags = 1  // SECCOMP_USER_NOTIF_FLAG_CONTINUE
    case .fail(let errno): response.error = -errno
    }
    while ioctl(listener.rawValue, UInt(carrel_notif_send), &response) == -1 {
        if errno == ENOENT { return }
        if errno != EINTR { throw SystemError.last("ioctl", "SECCOMP_IOCTL_NOTIF_SEND") }
    }
}

/// Whether the caller of a notification still waits (`SECCOMP_IOCTL_NOTIF_ID_VALID`): only then is what was read by its
/// thread's number its own, and not of a later process of the same number.
public func isWaiting(_ id: UInt64, on listener: FileDescriptor) -> Bool {
    var id = id
    return ioctl(listener.rawValue, UInt(carrel_notif_id_valid), &id) == 0
}

/// Reads memory of another process, as far as it is there (process_vm_readv(2)).
///
/// - Returns: at most `count` bytes; fewer where the rest is not mapped, none where nothing is.
public func readMemory(of process: pid_t, at address: UInt64, count: Int) -> [UInt8] {
    // A read ends before the first page that cannot be read only if that page is an element of its own.
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
        let (start, overflow) = address.addingReportingOverflow(UInt64(done))
        guard !overflow, let place = UnsafeMutableRawPointer(bitPattern: UInt(start)) else { break }
        let length = min(count - done, 4096 - Int(start & 4095))
        let read = bytes.withUnsafeMutableBytes { buffer in
            var ours = iovec(iov_base: buffer.baseAddress! + done, iov_len: length)
            var theirs = iovec(iov_base: place, iov_len: length)
            return withUnsafePointer(to: &ours) { ours in
                withUnsafePointer(to: &theirs) { theirs in
                    carrel_syscall(
                        Int(SYS_process_vm_readv), Int(process), Int(bitPattern: ours), 1, Int(bitPattern: theirs), 1, 0
                    )
                }
            }
        }
        guard read > 0 else { break }
        done += read
    }
    return Array(bytes[..<done])
}
