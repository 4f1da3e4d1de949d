extension FilterProgram {
    /// Which of a filter's answers become questions to a listener.
    public enum Questions: Sendable, Equatable {
        /// Those that refuse with an errno; what is allowed runs without a stop.
        case refused
        /// Those and what is allowed. What kills still kills.
        case everything
    }

    /// The same decisions, with a listener asked in place of some answers (`SECCOMP_RET_USER_NOTIF`).
    ///
    /// The listener finds what the filter would have said by running the filter itself on the call's registers. A filter
    /// that has answers in its accumulator (`BPF_RET | BPF_A`) has none that could be told: it stays as it is.
    public func asking(_ questions: Questions) -> FilterProgram {
        let answer: UInt16 = 0x06  // BPF_RET | BPF_K
        let question: UInt32 = 0x7fc0_0000  // SECCOMP_RET_USER_NOTIF
        var changed = instructions
        changed.withUnsafeMutableBytes { bytes in
            for place in stride(from: 0, to: bytes.count, by: 8)
            where bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self) == answer {
                let action = bytes.loadUnaligned(fromByteOffset: place + 4, as: UInt32.self) & 0xffff_0000
                let isRefusal = action == 0x0005_0000  // SECCOMP_RET_ERRNO
                let isAllowance = action == 0x7fff_0000 || action == 0x7ffc_0000  // SECCOMP_RET_ALLOW, SECCOMP_RET_LOG
                if isRefusal || questions == .everything && isAllowance {
                    bytes.storeBytes(of: question, toByteOffset: place + 4, as: UInt32.self)
                }
            }
        }
        return FilterProgram(instructions: changed, flags: flags.subtracting(.allThreads).union(.listener))
    }
}
