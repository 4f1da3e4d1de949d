import Syscalls
import SystemPackage

/// A system call filter as the kernel loads it.
public struct FilterProgram: Sendable, Equatable {
    /// An array of `struct sock_filter`: 8 bytes an instruction, in the byte order of this machine.
    public let instructions: [UInt8]
    /// How the profile wants it installed.
    public let flags: FilterFlags

    init(instructions: [UInt8], flags: FilterFlags) {
        self.instructions = instructions
        self.flags = flags
    }

    /// The number of instructions.
    public var count: Int { instructions.count / 8 }

    /// Puts the calling thread, and what it starts, behind the filter. Allocates nothing unless it fails, so that it
    /// may be the last step between fork and exec.
    ///
    /// - Parameter extra: flags beside those of the profile.
    /// - Returns: the listener's descriptor, if the flags ask for one.
    /// - Throws: what seccomp(2) says: `EACCES` without `no_new_privs`, `EINVAL` for a kernel without a flag.
    @discardableResult
    public func install(adding extra: FilterFlags = []) throws(SystemError) -> FileDescriptor? {
        let wanted = flags.union(extra)
        // What the kernel refuses together (seccomp(2)) and libseccomp leaves out: all threads are this one.
        let flags = wanted.subtracting(wanted.contains(.listener) ? .allThreads : .waitKillable)
        let result = instructions.withUnsafeBytes { bytes in
            Result<FileDescriptor?, SystemError> { () throws(SystemError) in try installFilter(bytes, flags: flags) }
        }
        return try result.get()
    }
}
