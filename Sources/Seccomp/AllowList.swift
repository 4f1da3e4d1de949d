import CSyscalls

extension FilterProgram {
    /// A filter that lets the named calls of this architecture through, whatever their arguments, answers EPERM to every
    /// other and kills the caller of another architecture's. For small programs of our own; profiles are compiled.
    public static func allowing(_ calls: [Int32]) -> FilterProgram { choosing(calls, listed: allow, other: refuse) }

    /// A filter that answers EPERM to the named calls of this architecture and lets every other through: to be stacked on
    /// a profile's, of which the kernel then takes the stricter answer (seccomp(2)).
    public static func refusing(_ calls: [Int32]) -> FilterProgram { choosing(calls, listed: refuse, other: allow) }

    private static let allow: UInt32 = 0x7fff_0000  // SECCOMP_RET_ALLOW
    private static let refuse: UInt32 = 0x0005_0001  // SECCOMP_RET_ERRNO | EPERM

    private static func choosing(_ calls: [Int32], listed: UInt32, other: UInt32) -> FilterProgram {
        #if arch(x86_64)
            let architecture: UInt32 = 0xc000_003e  // AUDIT_ARCH_X86_64
        #elseif arch(arm64)
            let architecture: UInt32 = 0xc000_00b7  // AUDIT_ARCH_AARCH64
        #endif
        let load: UInt16 = 0x20  // BPF_LD | BPF_W | BPF_ABS
        let jumpEqual: UInt16 = 0x15  // BPF_JMP | BPF_JEQ | BPF_K
        let answer: UInt16 = 0x06  // BPF_RET | BPF_K
        var bytes: [UInt8] = []
        func add(_ code: UInt16, _ value: UInt32, ifTrue: Int = 0, ifFalse: Int = 0) {
            withUnsafeBytes(of: code) { bytes += $0 }
            bytes += [UInt8(ifTrue), UInt8(ifFalse)]
            withUnsafeBytes(of: value) { bytes += $0 }
        }
        add(load, 4)  // offsetof(struct seccomp_data, arch)
        add(jumpEqual, architecture, ifFalse: calls.count + 3)
        add(load, 0)  // offsetof(struct seccomp_data, nr)
        for (index, call) in calls.enumerated() {
            add(jumpEqual, UInt32(bitPattern: call), ifTrue: calls.count - index)
        }
        add(answer, other)
        add(answer, listed)
        add(answer, 0x8000_0000)  // SECCOMP_RET_KILL_PROCESS
        return FilterProgram(instructions: bytes, flags: [])
    }
}
