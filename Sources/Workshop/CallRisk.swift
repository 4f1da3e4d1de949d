/// What it costs to allow a call: how much of the kernel it opens, and what was found there.
public struct CallRisk: Sendable, Equatable {
    /// How bad.
    public enum Level: String, Sendable, CaseIterable {
        /// Of the class that containers were escaped by, or the host was taken down by.
        case high
        /// A part of the kernel that few programs need.
        case medium
        /// Nothing known.
        case low
    }

    /// How bad.
    public let level: Level
    /// Why, in a sentence.
    public let reason: String

    /// The risk of a call, whatever its arguments.
    public static func of(_ call: String) -> CallRisk {
        for (level, reason, calls) in table where calls.contains(call) { return CallRisk(level: level, reason: reason) }
        return CallRisk(level: .low, reason: "no known way out of a session by it")
    }

    /// The risk of a call with these registers.
    public static func of(_ call: String, _ arguments: [UInt64]) -> CallRisk {
        let first = arguments.first.map { $0 & 0xffff_ffff } ?? 0
        switch call {
        case "socket", "socketpair": return ofSocket(family: first)
        case "clone" where first & 0x7e02_0000 != 0, "unshare" where first & 0x7e02_0080 != 0:
            return CallRisk(
                level: .high,
                reason: first & 0x1000_0000 != 0
                    ? "a user namespace gives all capabilities over new namespaces: the way into most kernel exploits "
                        + "(CVE-2022-0185, CVE-2023-32233, CVE-2024-1086)"
                    : "new namespaces open mounts and networks of the kernel to the session")
        case "ioctl":
            switch arguments.dropFirst().first.map({ $0 & 0xffff_ffff }) {
            case 0x5412:
                return CallRisk(level: .high, reason: "TIOCSTI types into the caller's terminal (CVE-2017-5226)")
            case 0x541c:
                return CallRisk(level: .high, reason: "TIOCLINUX pastes into a virtual console (CVE-2023-1523)")
            case 0x5423: return CallRisk(level: .medium, reason: "TIOCSETD loads the modules of line disciplines")
            default: break
            }
        case "personality" where first & 0x40_0000 != 0:
            return CallRisk(level: .medium, reason: "READ_IMPLIES_EXEC makes all memory executable")
        case "seccomp" where arguments.count > 1 && arguments[1] & 8 != 0:
            return CallRisk(level: .medium, reason: "the newer listener answers in place of one that carrel set")
        default: break
        }
        return of(call)
    }

    private static func ofSocket(family: UInt64) -> CallRisk {
        switch family {
        case 1, 2, 10: CallRisk(level: .low, reason: "the network namespace decides whom it reaches")
        case 16: CallRisk(level: .medium, reason: "netlink configures parts of the kernel (nf_tables: CVE-2024-1086)")
        case 17: CallRisk(level: .high, reason: "AF_PACKET sees and forges frames (CVE-2016-8655, CVE-2020-14386)")
        case 38: CallRisk(level: .high, reason: "AF_ALG opens the kernel's cryptography (CVE-2019-8912)")
        case 40:
            CallRisk(
                level: .high, reason: "AF_VSOCK reaches the hypervisor and other machines on this host (CVE-2021-26708)"
            )
        default: CallRisk(level: .high, reason: "the family's kernel module may be loaded, and few look at it")
        }
    }

    private static let table: [(Level, String, Set<String>)] = [
        (
            .high, "mounts are how containers are escaped (CVE-2022-0185, CVE-2022-0492)",
            [
                "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount",
                "open_tree", "open_tree_attr", "mount_setattr",
            ]
        ),
        (.high, "enters the namespaces of another process", ["setns"]),
        (.high, "makes namespaces, with flags in memory where no filter sees them", ["clone3"]),
        (.high, "programs in the kernel (CVE-2021-3490, CVE-2022-23222, CVE-2023-2163)", ["bpf"]),
        (.high, "a large interface with a record of exploits (CVE-2013-2094, CVE-2023-2235)", ["perf_event_open"]),
        (
            .high, "its work is done without system calls, so that no filter sees it (CVE-2022-29582, CVE-2023-2598)",
            ["io_uring_setup", "io_uring_enter", "io_uring_register"]
        ),
        (
            .high, "keyrings are not divided by namespaces (CVE-2016-0728)", ["add_key", "keyctl", "request_key"]
        ),
        (.high, "page faults handled in user space make races in the kernel winnable (CVE-2016-6187)", ["userfaultfd"]),
        (.high, "file handles reach files past the mounts (CVE-2014-3519)", ["open_by_handle_at"]),
        (
            .high, "replaces the kernel's code",
            [
                "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "create_module",
            ]
        ),
        (
            .high, "acts on the whole host",
            [
                "reboot", "swapon", "swapoff", "acct", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
                "iopl", "ioperm", "syslog", "quotactl", "quotactl_fd", "sethostname", "setdomainname", "vhangup",
            ]
        ),
        (
            .medium, "reaches into other processes of the session (a traced call passes the filter again)",
            [
                "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd",
                "kcmp",
            ]
        ),
        (
            .medium, "memory placement: little used, little looked at (CVE-2024-26698, CVE-2016-3841)",
            ["mbind", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages"]
        ),
        (.medium, "watches a whole filesystem", ["fanotify_init", "fanotify_mark"]),
        (.medium, "tells of mounts and namespaces", ["name_to_handle_at", "statmount", "listmount", "listns"]),
        (.medium, "memory that the kernel cannot read; the session cannot be looked into", ["memfd_secret"]),
        (
            .medium, "obsolete: hardly tested any more (modify_ldt: CVE-2015-5157)",
            [
                "_sysctl", "lookup_dcookie", "modify_ldt", "nfsservctl", "remap_file_pages", "sysfs", "uselib", "ustat",
                "vm86", "vm86old", "get_kernel_syms", "query_module", "afs_syscall", "vserver", "tuxcall", "security",
                "getpmsg", "putpmsg", "epoll_ctl_old", "epoll_wait_old", "set_thread_area", "get_thread_area",
            ]
        ),
    ]
}
