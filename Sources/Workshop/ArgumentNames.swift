/// The names of argument values: enumerations, and flags.
enum ArgumentNames {
    /// The value as its header writes it: the name of an enumerated one, flags joined by `|`, and a number for the rest.
    static func text(_ value: UInt64, kind: Substring) -> String? {
        if let names = enumerations[kind] {
            return names.first { $0.value == value }?.name ?? (value < 4096 ? String(value) : hexadecimal(value))
        }
        guard let (low, names) = flags[kind] else { return nil }
        var rest = value & ~low
        var words: [String] = []
        if value & low != 0 || kind == "open" || kind == "socktype" || kind == "mmap" {
            words = [enumerations[kind + "low"]?.first { $0.value == value & low }?.name ?? hexadecimal(value & low)]
        }
        for (name, bits) in names where bits != 0 && rest & bits == bits {
            words.append(name)
            rest &= ~bits
        }
        if rest != 0 { words.append(hexadecimal(rest)) }
        return words.isEmpty ? "0" : words.joined(separator: "|")
    }

    static func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

    private typealias Names = [(name: String, value: UInt64)]

    /// Names numbered one by one.
    private static func counted(from first: UInt64 = 0, _ names: String) -> Names {
        names.split(separator: " ").enumerated().map { (String($1), first + UInt64($0)) }
    }

    private static let enumerations: [Substring: Names] = [
        "family": counted(
            """
            AF_UNSPEC AF_UNIX AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_ATMPVC AF_X25 AF_INET6 AF_ROSE \
            AF_DECnet AF_NETBEUI AF_SECURITY AF_KEY AF_NETLINK AF_PACKET AF_ASH AF_ECONET AF_ATMSVC AF_RDS AF_SNA AF_IRDA \
            AF_PPPOX AF_WANPIPE AF_LLC AF_IB AF_MPLS AF_CAN AF_TIPC AF_BLUETOOTH AF_IUCV AF_RXRPC AF_ISDN AF_PHONET \
            AF_IEEE802154 AF_CAIF AF_ALG AF_NFC AF_VSOCK AF_KCM AF_QIPCRTR AF_SMC AF_XDP AF_MCTP
            """),
        "socktypelow": counted("0 SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET SOCK_DCCP")
            + [("SOCK_PACKET", 10)],
        "openlow": counted("O_RDONLY O_WRONLY O_RDWR"),
        "mmaplow": counted("0 MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE"),
        "ptrace": counted(
            """
            PTRACE_TRACEME PTRACE_PEEKTEXT PTRACE_PEEKDATA PTRACE_PEEKUSER PTRACE_POKETEXT PTRACE_POKEDATA \
            PTRACE_POKEUSER PTRACE_CONT PTRACE_KILL PTRACE_SINGLESTEP
            """) + [("PTRACE_GETREGS", 12), ("PTRACE_SETREGS", 13), ("PTRACE_ATTACH", 16), ("PTRACE_DETACH", 17)]
            + counted(
                from: 0x4200,
                """
                PTRACE_SETOPTIONS PTRACE_GETEVENTMSG PTRACE_GETSIGINFO PTRACE_SETSIGINFO PTRACE_GETREGSET \
                PTRACE_SETREGSET PTRACE_SEIZE PTRACE_INTERRUPT PTRACE_LISTEN
                """),
        "prctl": counted(
            from: 1,
            """
            PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_GET_UNALIGN PR_SET_UNALIGN \
            PR_GET_KEEPCAPS PR_SET_KEEPCAPS PR_GET_FPEMU PR_SET_FPEMU PR_GET_FPEXC PR_SET_FPEXC PR_GET_TIMING \
            PR_SET_TIMING PR_SET_NAME PR_GET_NAME
            """)
            + counted(
                from: 21,
                """
                PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_GET_TSC PR_SET_TSC PR_GET_SECUREBITS \
                PR_SET_SECUREBITS PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_TASK_PERF_EVENTS_DISABLE \
                PR_TASK_PERF_EVENTS_ENABLE PR_MCE_KILL PR_MCE_KILL_GET PR_SET_MM PR_SET_CHILD_SUBREAPER \
                PR_GET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_GET_TID_ADDRESS PR_SET_THP_DISABLE \
                PR_GET_THP_DISABLE PR_MPX_ENABLE_MANAGEMENT PR_MPX_DISABLE_MANAGEMENT PR_SET_FP_MODE PR_GET_FP_MODE \
                PR_CAP_AMBIENT
                """)
            + [("PR_SET_PTRACER", 0x5961_6d61), ("PR_SET_VMA", 0x5356_4d41)],
        "keyctl": counted(
            """
            KEYCTL_GET_KEYRING_ID KEYCTL_JOIN_SESSION_KEYRING KEYCTL_UPDATE KEYCTL_REVOKE KEYCTL_CHOWN KEYCTL_SETPERM \
            KEYCTL_DESCRIBE KEYCTL_CLEAR KEYCTL_LINK KEYCTL_UNLINK KEYCTL_SEARCH KEYCTL_READ KEYCTL_INSTANTIATE \
            KEYCTL_NEGATE KEYCTL_SET_REQKEY_KEYRING KEYCTL_SET_TIMEOUT KEYCTL_ASSUME_AUTHORITY KEYCTL_GET_SECURITY \
            KEYCTL_SESSION_TO_PARENT KEYCTL_REJECT KEYCTL_INSTANTIATE_IOV KEYCTL_INVALIDATE KEYCTL_GET_PERSISTENT \
            KEYCTL_DH_COMPUTE
            """),
        "bpf": counted(
            """
            BPF_MAP_CREATE BPF_MAP_LOOKUP_ELEM BPF_MAP_UPDATE_ELEM BPF_MAP_DELETE_ELEM BPF_MAP_GET_NEXT_KEY BPF_PROG_LOAD \
            BPF_OBJ_PIN BPF_OBJ_GET BPF_PROG_ATTACH BPF_PROG_DETACH BPF_PROG_TEST_RUN BPF_PROG_GET_NEXT_ID \
            BPF_MAP_GET_NEXT_ID BPF_PROG_GET_FD_BY_ID BPF_MAP_GET_FD_BY_ID BPF_OBJ_GET_INFO_BY_FD BPF_PROG_QUERY \
            BPF_RAW_TRACEPOINT_OPEN BPF_BTF_LOAD
            """),
        "fcntl": counted(
            """
            F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG
            """)
            + [
                ("F_OFD_GETLK", 36), ("F_OFD_SETLK", 37), ("F_OFD_SETLKW", 38), ("F_SETLEASE", 1024),
                ("F_GETLEASE", 1025), ("F_NOTIFY", 1026), ("F_DUPFD_CLOEXEC", 1030), ("F_SETPIPE_SZ", 1031),
                ("F_GETPIPE_SZ", 1032), ("F_ADD_SEALS", 1033), ("F_GET_SEALS", 1034),
            ],
        "ioctl": [
            ("TCGETS", 0x5401), ("TCSETS", 0x5402), ("TCSETSW", 0x5403), ("TCSETSF", 0x5404), ("TIOCSCTTY", 0x540e),
            ("TIOCGPGRP", 0x540f), ("TIOCSPGRP", 0x5410), ("TIOCSTI", 0x5412), ("TIOCGWINSZ", 0x5413),
            ("TIOCSWINSZ", 0x5414), ("FIONREAD", 0x541b), ("TIOCLINUX", 0x541c), ("TIOCCONS", 0x541d),
            ("FIONBIO", 0x5421), ("TIOCNOTTY", 0x5422), ("TIOCSETD", 0x5423), ("TIOCGETD", 0x5424),
            ("SIOCGIFCONF", 0x8912), ("SIOCGIFFLAGS", 0x8913), ("SIOCSIFFLAGS", 0x8914), ("FICLONE", 0x4004_9409),
            ("FS_IOC_GETFLAGS", 0x8008_6601), ("FS_IOC_SETFLAGS", 0x4008_6602),
        ],
        "seccomp": counted(
            """
            SECCOMP_SET_MODE_STRICT SECCOMP_SET_MODE_FILTER SECCOMP_GET_ACTION_AVAIL SECCOMP_GET_NOTIF_SIZES
            """),
        "reboot": [
            ("LINUX_REBOOT_CMD_RESTART", 0x0123_4567), ("LINUX_REBOOT_CMD_HALT", 0xcdef_0123),
            ("LINUX_REBOOT_CMD_CAD_ON", 0x89ab_cdef), ("LINUX_REBOOT_CMD_CAD_OFF", 0),
            ("LINUX_REBOOT_CMD_POWER_OFF", 0x4321_fedc), ("LINUX_REBOOT_CMD_KEXEC", 0x4558_4543),
        ],
        "fsconfig": counted(
            """
            FSCONFIG_SET_FLAG FSCONFIG_SET_STRING FSCONFIG_SET_BINARY FSCONFIG_SET_PATH FSCONFIG_SET_PATH_EMPTY \
            FSCONFIG_SET_FD FSCONFIG_CMD_CREATE FSCONFIG_CMD_RECONFIGURE
            """),
        "syslog": counted(
            """
            SYSLOG_ACTION_CLOSE SYSLOG_ACTION_OPEN SYSLOG_ACTION_READ SYSLOG_ACTION_READ_ALL SYSLOG_ACTION_READ_CLEAR \
            SYSLOG_ACTION_CLEAR SYSLOG_ACTION_CONSOLE_OFF SYSLOG_ACTION_CONSOLE_ON SYSLOG_ACTION_CONSOLE_LEVEL \
            SYSLOG_ACTION_SIZE_UNREAD SYSLOG_ACTION_SIZE_BUFFER
            """),
        "kcmp": counted("KCMP_FILE KCMP_VM KCMP_FILES KCMP_FS KCMP_SIGHAND KCMP_IO KCMP_SYSVSEM KCMP_EPOLL_TFD"),
        "archprctl": counted(from: 0x1001, "ARCH_SET_GS ARCH_SET_FS ARCH_GET_FS ARCH_GET_GS"),
        "mpol": counted("MPOL_DEFAULT MPOL_PREFERRED MPOL_BIND MPOL_INTERLEAVE MPOL_LOCAL MPOL_PREFERRED_MANY"),
        "keyring": [
            ("KEY_SPEC_THREAD_KEYRING", 0xffff_ffff), ("KEY_SPEC_PROCESS_KEYRING", 0xffff_fffe),
            ("KEY_SPEC_SESSION_KEYRING", 0xffff_fffd), ("KEY_SPEC_USER_KEYRING", 0xffff_fffc),
            ("KEY_SPEC_USER_SESSION_KEYRING", 0xffff_fffb),
        ],
        "clock": counted(
            """
            CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW \
            CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM 10 \
            CLOCK_TAI
            """),
        "level": [("SOL_IP", 0), ("SOL_SOCKET", 1), ("SOL_TCP", 6), ("SOL_UDP", 17), ("SOL_IPV6", 41)],
        "sig": counted(
            """
            0 SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM \
            SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF \
            SIGWINCH SIGIO SIGPWR SIGSYS
            """),
    ]

    /// Flags by their bits, and the mask of the bits below them that are a number.
    private static let flags: [Substring: (low: UInt64, names: Names)] = [
        "clone": (
            0xff,
            [
                ("CLONE_VM", 0x100), ("CLONE_FS", 0x200), ("CLONE_FILES", 0x400), ("CLONE_SIGHAND", 0x800),
                ("CLONE_PIDFD", 0x1000), ("CLONE_PTRACE", 0x2000), ("CLONE_VFORK", 0x4000), ("CLONE_PARENT", 0x8000),
                ("CLONE_THREAD", 0x10000), ("CLONE_NEWNS", 0x20000), ("CLONE_SYSVSEM", 0x40000),
                ("CLONE_SETTLS", 0x80000), ("CLONE_PARENT_SETTID", 0x100000), ("CLONE_CHILD_CLEARTID", 0x200000),
                ("CLONE_UNTRACED", 0x800000), ("CLONE_CHILD_SETTID", 0x100_0000), ("CLONE_NEWCGROUP", 0x200_0000),
                ("CLONE_NEWUTS", 0x400_0000), ("CLONE_NEWIPC", 0x800_0000), ("CLONE_NEWUSER", 0x1000_0000),
                ("CLONE_NEWPID", 0x2000_0000), ("CLONE_NEWNET", 0x4000_0000), ("CLONE_IO", 0x8000_0000),
            ]
        ),
        "mount": (
            0,
            [
                ("MS_RDONLY", 1), ("MS_NOSUID", 2), ("MS_NODEV", 4), ("MS_NOEXEC", 8), ("MS_SYNCHRONOUS", 16),
                ("MS_REMOUNT", 32), ("MS_MANDLOCK", 64), ("MS_DIRSYNC", 128), ("MS_NOSYMFOLLOW", 256),
                ("MS_NOATIME", 1024), ("MS_NODIRATIME", 2048), ("MS_BIND", 4096), ("MS_MOVE", 8192), ("MS_REC", 16384),
                ("MS_SILENT", 32768), ("MS_UNBINDABLE", 1 << 17), ("MS_PRIVATE", 1 << 18), ("MS_SLAVE", 1 << 19),
                ("MS_SHARED", 1 << 20), ("MS_RELATIME", 1 << 21), ("MS_STRICTATIME", 1 << 24), ("MS_LAZYTIME", 1 << 25),
            ]
        ),
        "umount": (0, [("MNT_FORCE", 1), ("MNT_DETACH", 2), ("MNT_EXPIRE", 4), ("UMOUNT_NOFOLLOW", 8)]),
        "open": (
            3,
            [
                ("O_CREAT", 0o100), ("O_EXCL", 0o200), ("O_NOCTTY", 0o400), ("O_TRUNC", 0o1000), ("O_APPEND", 0o2000),
                ("O_NONBLOCK", 0o4000), ("O_SYNC", 0o4_010_000), ("O_DSYNC", 0o10000), ("O_ASYNC", 0o20000),
                ("O_DIRECT", 0o40000), ("O_TMPFILE", 0o20_200_000), ("O_DIRECTORY", 0o200_000),
                ("O_NOFOLLOW", 0o400_000), ("O_NOATIME", 0o1_000_000), ("O_CLOEXEC", 0o2_000_000),
                ("O_PATH", 0o10_000_000),
            ]
        ),
        "socktype": (0xf, [("SOCK_NONBLOCK", 0o4000), ("SOCK_CLOEXEC", 0o2_000_000)]),
        "prot": (0, [("PROT_READ", 1), ("PROT_WRITE", 2), ("PROT_EXEC", 4)]),
        "mmap": (
            3,
            [
                ("MAP_FIXED", 0x10), ("MAP_ANONYMOUS", 0x20), ("MAP_32BIT", 0x40), ("MAP_GROWSDOWN", 0x100),
                ("MAP_DENYWRITE", 0x800), ("MAP_LOCKED", 0x2000), ("MAP_NORESERVE", 0x4000), ("MAP_POPULATE", 0x8000),
                ("MAP_STACK", 0x20000), ("MAP_HUGETLB", 0x40000), ("MAP_FIXED_NOREPLACE", 0x100000),
            ]
        ),
        "seccompflags": (
            0,
            [
                ("SECCOMP_FILTER_FLAG_TSYNC", 1), ("SECCOMP_FILTER_FLAG_LOG", 2),
                ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4), ("SECCOMP_FILTER_FLAG_NEW_LISTENER", 8),
                ("SECCOMP_FILTER_FLAG_TSYNC_ESRCH", 16), ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 32),
            ]
        ),
        "opentree": (
            0,
            [
                ("OPEN_TREE_CLONE", 1), ("OPEN_TREE_CLOEXEC", 0o2_000_000), ("AT_EMPTY_PATH", 0x1000),
                ("AT_RECURSIVE", 0x8000), ("AT_SYMLINK_NOFOLLOW", 0x100), ("AT_NO_AUTOMOUNT", 0x800),
            ]
        ),
        "userfault": (0, [("UFFD_USER_MODE_ONLY", 1), ("O_NONBLOCK", 0o4000), ("O_CLOEXEC", 0o2_000_000)]),
        "memfd": (
            0,
            [
                ("MFD_CLOEXEC", 1), ("MFD_ALLOW_SEALING", 2), ("MFD_HUGETLB", 4), ("MFD_NOEXEC_SEAL", 8),
                ("MFD_EXEC", 16),
            ]
        ),
        "fanotify": (
            0,
            [
                ("FAN_CLOEXEC", 1), ("FAN_NONBLOCK", 2), ("FAN_CLASS_CONTENT", 4), ("FAN_CLASS_PRE_CONTENT", 8),
                ("FAN_UNLIMITED_QUEUE", 16), ("FAN_UNLIMITED_MARKS", 32), ("FAN_ENABLE_AUDIT", 64),
                ("FAN_REPORT_PIDFD", 128), ("FAN_REPORT_TID", 256), ("FAN_REPORT_FID", 512),
                ("FAN_REPORT_DIR_FID", 1024), ("FAN_REPORT_NAME", 2048),
            ]
        ),
        "personality": (
            0xff,
            [
                ("UNAME26", 0x20000), ("ADDR_NO_RANDOMIZE", 0x40000), ("FDPIC_FUNCPTRS", 0x80000),
                ("MMAP_PAGE_ZERO", 0x100000), ("ADDR_COMPAT_LAYOUT", 0x200000), ("READ_IMPLIES_EXEC", 0x400000),
                ("ADDR_LIMIT_32BIT", 0x800000), ("SHORT_INODE", 0x100_0000), ("WHOLE_SECONDS", 0x200_0000),
                ("STICKY_TIMEOUTS", 0x400_0000), ("ADDR_LIMIT_3GB", 0x800_0000),
            ]
        ),
    ]
}
