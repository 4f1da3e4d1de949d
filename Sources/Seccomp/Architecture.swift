import CLibseccomp

/// An entry of the kernel for system calls. Each has its own numbers, and a filter sees which one a call came through.
public enum Architecture: String, Sendable, CaseIterable {
    /// The names are uname(2)'s, but `x86` for i386 and `x32` for the entry with 32-bit pointers.
    case x86_64, x86, x32, aarch64, arm

    /// This machine's own.
    public static var native: Architecture {
        #if arch(x86_64)
            .x86_64
        #elseif arch(arm64)
            .aarch64
        #endif
    }

    /// As the runtime specification calls it.
    public var specName: String {
        switch self {
        case .x86_64: "SCMP_ARCH_X86_64"
        case .x86: "SCMP_ARCH_X86"
        case .x32: "SCMP_ARCH_X32"
        case .aarch64: "SCMP_ARCH_AARCH64"
        case .arm: "SCMP_ARCH_ARM"
        }
    }

    /// As libseccomp calls it (seccomp_arch_add(3)).
    package var token: UInt32 {
        switch self {
        case .x32: 0x4000_003e
        default: audit
        }
    }

    /// `AUDIT_ARCH_*`: what a filter sees. x32 shares x86_64's and is told apart by `numberBit`.
    package var audit: UInt32 {
        switch self {
        case .x86_64, .x32: 0xc000_003e
        case .x86: 0x4000_0003
        case .aarch64: 0xc000_00b7
        case .arm: 0x4000_0028
        }
    }

    /// `__X32_SYSCALL_BIT`, which is set in all of x32's numbers.
    package static let x32Bit: UInt32 = 0x4000_0000

    /// The entries that a kernel of this machine can have, its own first.
    package var entries: [Architecture] {
        switch self {
        case .x86_64, .x86, .x32: [.x86_64, .x86, .x32]
        case .aarch64, .arm: [.aarch64, .arm]
        }
    }

    /// Whether registers have 32 bits: a filter sees zeros above.
    var hasNarrowRegisters: Bool { self == .x86 || self == .arm }
}
