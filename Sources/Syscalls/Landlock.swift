import CSyscalls
import Glibc
import SystemPackage

/// The three calls of landlock(7).
public enum Landlock {
    /// What a ruleset handles on files (`LANDLOCK_ACCESS_FS_*`): denied but where a rule allows it.
    public struct FileAccess: OptionSet, Sendable {
        /// The kernel's bits.
        public let rawValue: UInt64
        /// From the kernel's bits.
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        /// Executing a file: what execve(2) opens, and the loader or interpreter that the kernel opens for it.
        public static let execute = FileAccess(rawValue: 1 << 0)
        /// Opening a file for writing.
        public static let writeFile = FileAccess(rawValue: 1 << 1)
        /// Opening a file for reading.
        public static let readFile = FileAccess(rawValue: 1 << 2)
        /// Opening a file for writing, and making and removing files of every kind.
        public static let change = FileAccess(rawValue: 0x1ff2)
        /// Linking or renaming into another directory. Always denied (`EXDEV`) in a file domain unless handled and
        /// allowed. ABI 2.
        public static let refer = FileAccess(rawValue: 1 << 13)
        /// Making a file shorter or longer (truncate(2), `O_TRUNC`). ABI 3.
        public static let truncate = FileAccess(rawValue: 1 << 14)
    }

    /// What a domain cannot reach outside of itself (`LANDLOCK_SCOPE_*`). ABI 6.
    public struct Scopes: OptionSet, Sendable {
        /// The kernel's bits.
        public let rawValue: UInt64
        /// From the kernel's bits.
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        /// Abstract Unix sockets bound by a process outside of the domain.
        public static let abstractSockets = Scopes(rawValue: 1 << 0)
        /// Signals to a process outside of the domain.
        public static let signals = Scopes(rawValue: 1 << 1)
    }

    /// The ABI of this kernel; 0 where Landlock is not built in or not among the active security modules.
    public static var abi: Int {
        let version = 1  // LANDLOCK_CREATE_RULESET_VERSION
        return max(0, carrel_syscall(Int(SYS_landlock_create_ruleset), 0, 0, version, 0, 0, 0))
    }

    /// A ruleset that denies `files` but where a rule allows it, and what `scopes` names altogether.
    public static func createRuleset(files: FileAccess, scopes: Scopes) throws(SystemError) -> FileDescriptor {
        var attribute = carrel_landlock_ruleset(
            handled_access_fs: files.rawValue, handled_access_net: 0, scoped: scopes.rawValue)
        let result = try checking("landlock_create_ruleset") {
            withUnsafeMutablePointer(to: &attribute) {
                carrel_syscall(
                    Int(SYS_landlock_create_ruleset), Int(bitPattern: $0), MemoryLayout<carrel_landlock_ruleset>.size,
                    0, 0, 0, 0)
            }
        }
        return FileDescriptor(rawValue: Int32(result))
    }

    /// Allows `access` on the file, or on everything beneath the directory, that `target` is open on (`O_PATH`
    /// suffices).
    public static func allow(
        _ access: FileAccess, on target: FileDescriptor, named name: String, in ruleset: FileDescriptor
    ) throws(SystemError) {
        let pathBeneath = 1  // LANDLOCK_RULE_PATH_BENEATH
        var rule = carrel_landlock_path_beneath(allowed_access: access.rawValue, parent_fd: target.rawValue)
        try checking("landlock_add_rule", name) {
            withUnsafeMutablePointer(to: &rule) {
                carrel_syscall(
                    Int(SYS_landlock_add_rule), Int(ruleset.rawValue), pathBeneath, Int(bitPattern: $0), 0, 0, 0)
            }
        }
    }

    /// Puts the calling thread, and all that it will start, into a new domain under `ruleset`, for good.
    /// Needs `no_new_privs`, or `CAP_SYS_ADMIN` in the caller's user namespace.
    public static func restrictSelf(_ ruleset: FileDescriptor) throws(SystemError) {
        try checking("landlock_restrict_self") {
            carrel_syscall(Int(SYS_landlock_restrict_self), Int(ruleset.rawValue), 0, 0, 0, 0, 0)
        }
    }
}
