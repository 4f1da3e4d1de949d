import Seccomp

/// Calls that no profile is to allow without somebody's word for it, and what a call that is not allowed is answered.
public enum ForbiddenCalls {
    /// EPERM: programs know it from containers.
    static let forbidden: UInt32 = 1
    /// ENOSYS: the C libraries try the older call.
    static let unknown: UInt32 = 38

    /// Why a recording alone is not enough to allow the call; `nil`: it is.
    public static func reason(of name: String) -> String? { reasons[name] }

    /// What a call that is not allowed is answered.
    ///
    /// A call that libraries try first and have an older one for is answered as by an older kernel. One that is known to be
    /// dangerous, or that is older than those, says that it is forbidden.
    public static func answer(_ name: String) -> UInt32 {
        if reasons[name] != nil && name != "clone3" { return forbidden }
        if probed.contains(name) { return unknown }
        // From 424 on all architectures have the same numbers: what came since Linux 5.1.
        let number = CallTable.number(of: name, on: .x86_64) ?? CallTable.number(of: name, on: .aarch64)
        return number.map { $0 >= 424 } ?? true ? unknown : forbidden
    }

    /// Calls below 424 that programs try before an older one.
    private static let probed: Set<String> = [
        "statx", "rseq", "copy_file_range", "getrandom", "memfd_create", "renameat2", "execveat", "membarrier",
        "mlock2",
        "preadv2", "pwritev2", "io_pgetevents", "pkey_alloc", "pkey_free", "pkey_mprotect", "prlimit64", "accept4",
        "dup3", "pipe2", "eventfd2", "signalfd4", "inotify_init1", "epoll_create1", "preadv", "pwritev", "sendmmsg",
        "recvmmsg", "utimensat", "fallocate", "sched_setattr", "sched_getattr", "uretprobe", "uprobe",
    ]

    private static let reasons: [String: String] = {
        var reasons: [String: String] = [:]
        for (names, reason) in table { for name in names.split(separator: " ") { reasons[String(name)] = reason } }
        return reasons
    }()

    private static let table: [(String, String)] = [
        (
            "mount umount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick "
                + "mount_setattr statmount listmount", "changes or shows mounts"
        ),
        ("setns unshare listns", "makes or joins namespaces"),
        ("clone3", "its flags are in memory, where no filter sees them"),
        ("ptrace kcmp pidfd_getfd process_madvise process_mrelease", "reaches into other processes"),
        ("bpf perf_event_open", "programs and probes in the kernel"),
        ("keyctl add_key request_key", "keyrings are not divided by namespaces"),
        ("userfaultfd", "makes races in the kernel winnable"),
        ("io_uring_setup io_uring_enter io_uring_register", "works past every filter"),
        ("open_by_handle_at name_to_handle_at", "file handles reach past mounts (CVE-2014-3519)"),
        ("init_module finit_module delete_module create_module query_module get_kernel_syms", "the kernel's code"),
        ("kexec_load kexec_file_load reboot", "another kernel, or none"),
        (
            "acct adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday stime swapon swapoff "
                + "sethostname setdomainname quotactl quotactl_fd syslog vhangup iopl ioperm nfsservctl bdflush",
            "the host's own settings"
        ),
        ("fanotify_init fanotify_mark lookup_dcookie", "watches whole filesystems"),
        (
            "move_pages migrate_pages mbind set_mempolicy set_mempolicy_home_node memfd_secret remap_file_pages",
            "places memory, or hides it"
        ),
        ("modify_ldt vm86 vm86old uselib ustat sysfs _sysctl", "obsolete, and seldom looked at"),
    ]
}
