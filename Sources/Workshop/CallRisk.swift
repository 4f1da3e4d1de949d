import Seccomp

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

    /// The risk of a call, whatever its arguments: that of its most dangerous ones.
    public static func of(_ call: String) -> CallRisk { of(call) { _ in true } }

    /// The risk of a call with these registers.
    public static func of(_ call: String, _ arguments: [UInt64]) -> CallRisk {
        let registers = FilteredCall(number: 0, arguments: arguments)
        return of(call) { tests in tests.allSatisfy { $0.holds(registers) } }
    }

    /// The risk of a call with some of the arguments for which `region` (a node on arguments alone) is not 0.
    static func of(
        _ call: String, where region: DecisionDiagram.Reference, _ diagram: inout DecisionDiagram
    ) -> CallRisk {
        of(call) { tests in
            let (meant, none) = (diagram.meaning(of: tests), diagram.end(0))
            let both = diagram.choose(meant, region, none)
            return both != none
        }
    }

    private static func of(_ call: String, _ isMet: ([ArgumentTest]) -> Bool) -> CallRisk {
        for danger in dangers where danger.calls.contains(call) && isMet(danger.tests) { return danger.risk }
        for (level, reason, calls) in table where calls.contains(call) { return CallRisk(level: level, reason: reason) }
        return CallTable.isName(call)
            ? CallRisk(level: .low, reason: "no known way out of a session by it")
            : CallRisk(level: .medium, reason: "nothing is known of a call without a name here")
    }

    /// Calls that some arguments make dangerous.
    private struct Danger {
        let calls: Set<String>
        /// What the arguments meet.
        let tests: [ArgumentTest]
        let risk: CallRisk

        init(_ calls: Set<String>, _ tests: [ArgumentTest], _ level: Level, _ reason: String) {
            (self.calls, self.tests) = (calls, tests)
            risk = CallRisk(level: level, reason: reason)
        }
    }

    /// One of these bits is set.
    private static func any(_ bits: UInt64, of index: Int) -> [ArgumentTest] {
        [ArgumentTest(index: index, mask: bits, comparison: .notEqual, value: 0)]
    }

    /// An `int` has this value.
    private static func value(_ value: UInt64, of index: Int) -> [ArgumentTest] {
        [ArgumentTest(index: index, mask: 0xffff_ffff, comparison: .equal, value: value)]
    }

    /// The worst of a call first.
    private static let dangers: [Danger] = {
        let sockets: Set = ["socket", "socketpair"]
        let looked: [UInt64] = [1, 2, 10, 16, 17, 38, 40]
        let isOther = looked.map { ArgumentTest(index: 0, mask: 0xffff_ffff, comparison: .notEqual, value: $0) }
        let userNamespace =
            "a user namespace gives all capabilities over new namespaces: the way into most kernel exploits "
            + "(CVE-2022-0185, CVE-2023-32233, CVE-2024-1086)"
        let namespace = "new namespaces open mounts and networks of the kernel to the session"
        let setUser =
            "S_ISUID: a program in the workdir that runs as the workdir's owner, root even, for every user of the host"
        let hugePages = "huge pages that the host has set aside count for no session's memory"
        return [
            Danger(sockets, isOther, .high, "the family's kernel module may be loaded, and few look at it"),
            Danger(
                sockets, value(17, of: 0), .high, "AF_PACKET sees and forges frames (CVE-2016-8655, CVE-2020-14386)"),
            Danger(sockets, value(38, of: 0), .high, "AF_ALG opens the kernel's cryptography (CVE-2019-8912)"),
            Danger(
                sockets, value(40, of: 0), .high,
                "AF_VSOCK reaches the hypervisor and other machines on this host (CVE-2021-26708)"),
            Danger(
                sockets, value(16, of: 0), .medium,
                "netlink configures parts of the kernel (nf_tables: CVE-2024-1086)"),
            Danger(["clone", "unshare"], any(0x1000_0000, of: 0), .high, userNamespace),
            Danger(["clone"], any(0x7e02_0000, of: 0), .high, namespace),
            Danger(["unshare"], any(0x7e02_0080, of: 0), .high, namespace),
            Danger(
                ["ioctl"], value(0x5412, of: 1), .high, "TIOCSTI types into the caller's terminal (CVE-2017-5226)"),
            Danger(
                ["ioctl"], value(0x541c, of: 1), .high, "TIOCLINUX pastes into a virtual console (CVE-2023-1523)"),
            Danger(["ioctl"], value(0x5423, of: 1), .medium, "TIOCSETD loads the modules of line disciplines"),
            Danger(["chmod", "creat", "fchmod", "mknod"], any(0x800, of: 1), .high, setUser),
            Danger(["fchmodat", "fchmodat2", "mknodat", "open"], any(0x800, of: 2), .high, setUser),
            Danger(["openat"], any(0x800, of: 3), .high, setUser),
            Danger(["personality"], any(0x40_0000, of: 0), .medium, "READ_IMPLIES_EXEC makes all memory executable"),
            Danger(
                ["seccomp"], any(8, of: 1), .medium, "the newer listener answers in place of one that carrel set"),
            Danger(["mmap"], any(0x40000, of: 3), .medium, hugePages),
            Danger(["memfd_create"], any(4, of: 1), .medium, hugePages),
            Danger(["shmget"], any(0x800, of: 2), .medium, hugePages),
        ]
    }()

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
        (.high, "takes a mode from memory, where no filter sees S_ISUID", ["openat2"]),
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
        (.low, "the network namespace decides whom it reaches", ["socket", "socketpair"]),
    ]
}
