import Seccomp

/// Which arguments are worth telling apart: scalars that take few values, each of another danger.
///
/// What is behind a pointer is not, since it can change between the filter's look and the kernel's.
public enum EnumerableArguments {
    /// One argument of a call, and the bits of it that are recorded and compared.
    public struct Argument: Sendable, Hashable {
        /// The argument, 0 to 5.
        public let index: Int
        /// The bits; never more than the kernel takes (`CallTable.mask`).
        public let mask: UInt64

        init(_ index: Int, _ mask: UInt64 = 0xffff_ffff) {
            self.index = index
            self.mask = mask
        }
    }

    /// Flags of clone(2) and unshare(2) that make namespaces; recorded, so that a session that needs none gets none.
    /// The others (threads, vfork, the exit signal) come in too many combinations and are harmless.
    static let namespaces: UInt64 = 0x7e02_0080

    /// The arguments to be recorded of a call, at most three, sorted by index; none for most calls.
    public static func of(_ name: String) -> [Argument] { table[name] ?? [] }

    /// All of them, by the call's name.
    public static let table: [String: [Argument]] = [
        // Family, type without SOCK_CLOEXEC and SOCK_NONBLOCK, protocol: families and protocols load kernel modules.
        "socket": [Argument(0), Argument(1, 0xf), Argument(2)],
        "socketpair": [Argument(0), Argument(1, 0xf), Argument(2)],
        // CLONE_NEWTIME is 0x80, a bit of clone's exit signal: only unshare(2) takes it.
        "clone": [Argument(0, namespaces & ~0x80)],
        "unshare": [Argument(0)],
        "ioctl": [Argument(1)],
        "prctl": [Argument(0)],
        "arch_prctl": [Argument(0)],
        "personality": [Argument(0)],
        "fcntl": [Argument(1)],
        "seccomp": [Argument(0), Argument(1)],
        "ptrace": [Argument(0, .max)],
        "keyctl": [Argument(0)],
        "bpf": [Argument(0)],
        "mknod": [Argument(1, 0xf000)],
        "mknodat": [Argument(2, 0xf000)],
    ]
}
