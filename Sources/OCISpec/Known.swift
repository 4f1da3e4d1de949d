import Documents

/// The names that the kernel's own interfaces give a meaning.
package enum Known {
    /// capabilities(7), in the order of their numbers.
    package static let capabilities = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
    ]

    /// setrlimit(2).
    static let rlimits = [
        "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
    ]

    /// sched_setattr(2).
    static let schedulerFlags = [
        "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
    ]

    /// mount_namespaces(7); with `r`, of every mount below too.
    static let propagation = [
        "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable",
    ]

    /// The parameters of System V IPC, which an IPC namespace holds (ipc_namespaces(7)).
    static let ipcSysctls = [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    ]

    /// libseccomp's architectures, by the specification's names.
    static let architectures = [
        "SCMP_ARCH_NATIVE", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM",
        "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE",
        "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
        "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
    ]

    /// seccomp(2).
    package static let filterFlags = [
        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ]
}

extension Log {
    /// Notes the numbers of a device that the kernel has no room for: 12 and 20 bits of `dev_t` (`MINORBITS`). It would cut them
    /// down to those of another device.
    func expectDevice(_ major: Int64?, _ minor: Int64?) {
        expect(major ?? 0 < 1 << 12, "major", "at most 4095, found \(major ?? 0)")
        expect(minor ?? 0 < 1 << 20, "minor", "at most 1048575, found \(minor ?? 0)")
    }

    /// Notes a name that is not among `names`, with the nearest one that is. `member` is where it stands; `nil`: here.
    func known(_ name: String, _ names: [String], _ member: String?, _ expected: String) {
        if names.contains(name) { return }
        let hint = nearest(name, in: names).map { "; did you mean \($0)?" } ?? ""
        let message = "expected \(expected), found \(name.quoted)\(hint)"
        if let member { at(.name(member)) { note(message) } } else { note(message) }
    }
}

extension String {
    /// An absolute path that a system call can take.
    var isAbsolute: Bool { utf8.first == UInt8(ascii: "/") && !utf8.contains(0) }

    /// Whether it names the root itself, also by `..`.
    var isRoot: Bool {
        var depth = 0
        for name in utf8.split(separator: UInt8(ascii: "/")) where !name.elementsEqual(".".utf8) {
            depth = name.elementsEqual("..".utf8) ? max(0, depth - 1) : depth + 1
        }
        return isAbsolute && depth == 0
    }

    var hasParentStep: Bool { utf8.split(separator: UInt8(ascii: "/")).contains { $0.elementsEqual("..".utf8) } }

    /// `NAME=value` with a name that is not empty, as environ(7) has it.
    var isAssignment: Bool {
        guard let equals = utf8.firstIndex(of: UInt8(ascii: "=")) else { return false }
        return equals != startIndex && !utf8.contains(0)
    }

    /// The list format of cpuset(7), for example `0-3,7`; empty lists nothing.
    var isCPUList: Bool {
        isEmpty
            || utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).allSatisfy { range in
                let ends = range.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
                return (1...2).contains(ends.count)
                    && ends.allSatisfy { !$0.isEmpty && $0.count <= 6 && $0.allSatisfy(\.isDigit) }
            }
    }
}

extension UInt32 {
    /// Whether it is a user's or a group's id: the last number stands for none, and setresuid(2) and chown(2) take it for "leave what
    /// there is", which is root's.
    var isID: Bool { self != .max }
}

extension UInt8 {
    /// An ASCII digit.
    var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
}
