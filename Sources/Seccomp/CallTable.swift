import CLibseccomp
import Glibc

/// What is known of the system calls of an architecture: their numbers, and how wide their parameters are.
public enum CallTable {
    /// What a name in a profile stands for.
    package enum Meaning: Equatable {
        case call(UInt32)
        /// Of i386: what the older multiplexer (`socketcall`, `ipc`) does with this first argument, and beside it a call
        /// of its own where there is one.
        case multiplexed(by: UInt32, argument: UInt32, mask: UInt32, direct: UInt32?)
        /// A call of other architectures, for example `socketcall` or (on arm64) `open`: no rule is needed.
        case elsewhere
        case unknown
    }

    /// The architecture that uname(2) calls by this name.
    public static func named(_ machine: String) -> Architecture? {
        machine == "x86_64" ? .x86_64 : machine == "aarch64" ? .aarch64 : nil
    }

    /// Whether some architecture has a call of this name.
    public static func isName(_ name: String) -> Bool { meaning(of: name) != .unknown }

    /// The number of the call that `name` names on this machine; `nil` if it has no such call.
    public static func number(of name: String, on architecture: Architecture = .native) -> UInt32? {
        switch meaning(of: name, on: architecture) {
        case .call(let number): number
        case .multiplexed(_, _, _, let direct): direct
        case .elsewhere, .unknown: nil
        }
    }

    /// What `name` stands for on an architecture.
    package static func meaning(of name: String, on architecture: Architecture = .native) -> Meaning {
        if let recent = recent(architecture).first(where: { $0.name == name }) { return .call(recent.number) }
        // seccomp_syscall_resolve_name(3): -1 for no such call, other negative numbers for calls of other architectures.
        let number = seccomp_syscall_resolve_name_arch(architecture.token, name)
        if number >= 0 { return .call(UInt32(number)) }
        if architecture == .x86, let multiplexed = multiplexed(name, number) { return multiplexed }
        return number == -1 && !recent(.x86_64).contains { $0.name == name } ? .unknown : .elsewhere
    }

    /// libseccomp numbers i386's parts of `socketcall` -101 to -120, and those of `ipc` -201 to -224. `ipc` takes the
    /// lower half of its first argument (ipc(2)): the upper one is a version.
    private static func multiplexed(_ name: String, _ number: Int32) -> Meaning? {
        let part = UInt32(bitPattern: -number)
        let direct = (355...402).first { self.name(of: $0, on: .x86) == name }
        return switch number {
        case -120 ... -101: .multiplexed(by: 102, argument: part - 100, mask: .max, direct: direct)
        case -224 ... -201: .multiplexed(by: 117, argument: part - 200, mask: 0xffff, direct: direct)
        default: nil
        }
    }

    /// The name of call `number` on an architecture.
    public static func name(of number: UInt32, on architecture: Architecture = .native) -> String? {
        if let recent = recent(architecture).first(where: { $0.number == number }) { return recent.name }
        guard let number = Int32(exactly: number),
            let name = seccomp_syscall_resolve_num_arch(architecture.token, number)
        else { return nil }
        defer { free(name) }
        return String(cString: name)
    }

    /// The names of all calls of an architecture.
    public static func names(on architecture: Architecture = .native) -> [String] {
        let base = architecture == .x32 ? Architecture.x32Bit : 0
        return (0..<600).compactMap { name(of: base + $0, on: architecture) }
    }

    /// The bits of argument `index` (0...5) of the call that the kernel looks at.
    ///
    /// A filter is handed whole 64-bit registers, but of an argument that is declared `int` the kernel takes the lower
    /// half, and of a `umode_t` the lowest 16 bits. A rule that compared the rest could be passed by with junk there.
    public static func mask(of name: String, argument index: Int, on architecture: Architecture = .native) -> UInt64 {
        switch narrow[name]?.dropFirst(index).first {
        case UInt8(ascii: "i"): 0xffff_ffff
        case UInt8(ascii: "h"): 0xffff
        default: architecture.hasNarrowRegisters ? 0xffff_ffff : .max
        }
    }

    /// Calls that are younger than libseccomp 2.5.4, with their numbers (arch/*/entry/syscalls of Linux 7.0). From 424
    /// on every architecture has the same numbers.
    private static func recent(_ architecture: Architecture) -> [(name: String, number: UInt32)] {
        switch architecture {
        case .x86_64: common + [("uretprobe", 335), ("uprobe", 336)]
        case .x32: common.map { ($0.name, $0.number | Architecture.x32Bit) }
        case .x86, .aarch64, .arm: common
        }
    }
    private static let common: [(name: String, number: UInt32)] = [
        ("cachestat", 451), ("fchmodat2", 452), ("map_shadow_stack", 453), ("futex_wake", 454), ("futex_wait", 455),
        ("futex_requeue", 456), ("statmount", 457), ("listmount", 458), ("lsm_get_self_attr", 459),
        ("lsm_set_self_attr", 460), ("lsm_list_modules", 461), ("mseal", 462), ("setxattrat", 463),
        ("getxattrat", 464), ("listxattrat", 465), ("removexattrat", 466), ("open_tree_attr", 467),
        ("file_getattr", 468), ("file_setattr", 469), ("listns", 470), ("rseq_slice_yield", 471),
    ]

    /// The calls with parameters narrower than a register: `i` 32 bits, `h` 16 bits, `-` the whole register.
    /// As a kernel 6.18 tells in `/sys/kernel/tracing/events/syscalls/*/format`; `clone` takes the lower half of its
    /// `unsigned long` (kernel/fork.c).
    private static let narrow: [String: ArraySlice<UInt8>] = {
        var widths: [String: ArraySlice<UInt8>] = [:]
        for line in Array(table.utf8).split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            for name in words.dropFirst() { widths[String(decoding: name, as: UTF8.self)] = words[0] }
        }
        return widths
    }()
    private static let table = """
        i accept alarm arch_prctl clock_adjtime clock_getres clock_gettime clock_settime clone close dup \
        epoll_create epoll_create1 eventfd exit exit_group fchdir fdatasync fgetxattr flistxattr fremovexattr \
        fstat fstatfs fsync ftruncate futimesat get_robust_list getgroups getitimer getpeername getpgid \
        getrlimit getrusage getsid getsockname inotify_init1 io_setup io_uring_setup iopl keyctl memfd_secret \
        migrate_pages mlockall modify_ldt mq_getsetattr mq_notify mq_timedreceive openat2 personality pkey_free \
        prctl pread64 process_vm_readv process_vm_writev pselect6 pwrite64 read readahead rt_sigaction \
        rt_sigprocmask sched_get_priority_max sched_get_priority_min sched_getparam sched_getscheduler \
        sched_rr_get_interval sched_setparam select set_mempolicy setfsgid setfsuid setgid setgroups setitimer \
        setrlimit setuid signalfd syncfs sysfs timer_create timer_delete timer_getoverrun timer_gettime \
        timerfd_gettime umask userfaultfd ustat write
        ih fchmod
        ii clock_nanosleep dup2 eventfd2 fallocate fanotify_init fcntl flock getpriority inotify_rm_watch ioctl \
        ioprio_get kexec_file_load kill landlock_restrict_self listen msgctl msgget pidfd_open prlimit64 \
        process_mrelease rt_sigqueueinfo sched_getaffinity sched_setaffinity sched_setscheduler seccomp sendfile \
        setns setpgid setregid setreuid shmctl shutdown timer_settime timerfd_create timerfd_settime tkill
        iii close_range dup3 epoll_ctl fchown fsmount getsockopt ioprio_set kcmp membarrier pidfd_getfd quotactl_fd \
        reboot rt_tgsigqueueinfo semctl semget setpriority setresgid setresuid socket socketpair tgkill
        iiii io_uring_enter
        iii-i setsockopt
        ii-i fanotify_mark io_uring_register landlock_add_rule pidfd_send_signal tee waitid
        ii--i fsconfig
        i-h fchmodat mkdirat
        i-hi fchmodat2 mknodat
        i-i bind bpf connect epoll_pwait2 faccessat finit_module fspick getdents getdents64 getxattrat \
        inotify_add_watch listxattrat lseek mount_setattr open_by_handle_at open_tree open_tree_attr quotactl \
        recvmsg removexattrat renameat sched_setattr semop semtimedop sendmsg setxattrat shmat shmget syslog \
        unlinkat wait4
        i-ih openat
        i-ii epoll_pwait epoll_wait faccessat2 lsm_set_self_attr recvmmsg sched_getattr sendmmsg statx
        i-iii fchownat
        i-i-i linkat move_mount renameat2
        i-i--i copy_file_range splice
        i--i accept4 cachestat fadvise64 lsm_get_self_attr mq_timedsend msgsnd newfstatat readlinkat recvfrom \
        signalfd4 sync_file_range utimensat vmsplice
        i--ii process_madvise
        i--i-i sendto
        i---i execveat file_getattr file_setattr fsetxattr msgrcv name_to_handle_at
        i----i move_pages
        -h chmod creat mkdir
        -hi mknod
        -i access delete_module fsopen memfd_create pipe2 ppoll setdomainname sethostname swapon symlinkat umount2
        -ih mq_open open
        -ii chown lchown poll
        -iii futex_requeue perf_event_open rseq
        -ii-i futex_waitv
        -ii--i futex
        --i getrandom ioperm landlock_create_ruleset lsm_list_modules madvise mlock2 msync readlink
        --ii futex_wake
        ---i listmount pkey_mprotect request_key statmount
        ---i-i futex_wait
        ----i add_key lsetxattr setxattr
        -----i mbind preadv2 pwritev2
        """
}
