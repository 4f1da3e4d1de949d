import Glibc
import SystemPackage

/// A system call that failed: which call, on what, and the kernel's reason.
///
/// Every failure of every room below `Session` is one of these or carries one, so that a launch that fails at any step
/// can be told in one line: the call, its object and its errno.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The system call as `man 2` names it, for example `openat2`.
    public let call: String
    /// What the call was made on: a path, a mount target, a process id; `nil` where the call has no object.
    public let object: String?
    /// The kernel's reason.
    public let errno: Errno

    /// Describes a failed call.
    public init(_ call: String, _ object: String? = nil, errno: Errno) {
        self.call = call
        self.object = object
        self.errno = errno
    }

    /// Takes the reason from the calling thread's `errno`.
    public static func last(_ call: String, _ object: String? = nil) -> SystemError {
        SystemError(call, object, errno: Errno(rawValue: Glibc.errno))
    }

    /// For example `openat2 /etc/passwd: No such file or directory (2)`.
    public var description: String {
        "\(call)\(object.map { " " + $0 } ?? ""): \(String(cString: strerror(errno.rawValue))) (\(errno.rawValue))"
    }
}

/// Makes a call that answers -1 on failure, again for as long as a signal interrupts it.
@discardableResult
@inlinable
public func retrying<Result: SignedInteger>(
    _ call: String, _ object: @autoclosure () -> String? = nil, _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        if result != -1 { return result }
        if Glibc.errno != EINTR { throw SystemError.last(call, object()) }
    }
}

/// Makes a call that answers -1 on failure, once.
@discardableResult
@inlinable
public func checking<Result: SignedInteger>(
    _ call: String, _ object: @autoclosure () -> String? = nil, _ body: () -> Result
) throws(SystemError) -> Result {
    let result = body()
    if result == -1 { throw SystemError.last(call, object()) }
    return result
}
