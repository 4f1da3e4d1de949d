import Seccomp

/// Calls that stand in for each other.
///
/// Which call of a family a program makes is decided by its C library, the kernel and chance, not by what it does: a
/// profile that allows one of them and not the others breaks with the next libc and keeps nobody out. So allowing one is
/// allowing all. Docs/Seccomp.md shows this table.
public enum SiblingCalls {
    /// Calls of which one is as good as another, and why.
    public struct Family: Sendable {
        /// The calls' names, on all architectures.
        public let names: [String]
        /// Why they belong together.
        public let reason: String

        init(_ names: String, _ reason: String) {
            self.names = names.split(separator: " ").map(String.init)
            self.reason = reason
        }
    }

    /// The families; no name is in two.
    public static let families = [
        Family("open openat openat2 creat", "aarch64 has only *at; openat2 by newer libraries"),
        Family(
            "stat lstat fstat newfstatat statx stat64 lstat64 fstat64 fstatat64 getxattr lgetxattr fgetxattr getxattrat "
                + "listxattr llistxattr flistxattr listxattrat",
            "glibc 2.33 changed fstat to newfstatat; statx by Rust and node; ls, cp and shutil ask for attributes, too"),
        Family("access faccessat faccessat2", "faccessat2 by glibc 2.33 and musl 1.2.2"),
        Family("chown lchown fchown fchownat chown32 lchown32 fchown32", "*at twins; 32-bit ids"),
        Family("mknod mknodat", "*at twins"),
        Family(
            "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chmod fchmod "
                + "fchmodat fchmodat2 utime utimes futimesat utimensat utimensat_time64 truncate ftruncate truncate64 "
                + "ftruncate64 fsync fdatasync sync_file_range sync_file_range2 msync",
            "one editor writes in place, another a new file that it renames; where, the mounts decide"),
        Family("readlink readlinkat", "*at twins"),
        Family("statfs fstatfs statfs64 fstatfs64", "by path or descriptor; 64-bit sizes"),
        Family("getdents getdents64", "64-bit offsets"),
        Family("chdir fchdir", "by path or descriptor"),
        Family("dup dup2 dup3", "flags came later; aarch64 has no dup2"),
        Family("pipe pipe2", "flags came later; aarch64 has no pipe"),
        Family("close close_range", "loops of close became close_range"),
        Family("read readv pread64 preadv preadv2", "one buffer or several, with an offset or not"),
        Family(
            "write writev pwrite64 pwritev pwritev2 sendfile sendfile64 copy_file_range",
            "one buffer or several, with an offset or not; cp and shutil copy in the kernel where they can"),
        Family("lseek _llseek", "64-bit offsets"),
        Family("fcntl fcntl64 flock", "64-bit offsets; both lock files"),
        Family("fadvise64 fadvise64_64 arm_fadvise64_64 readahead", "advice on reading"),
        Family(
            "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat",
            "changing attributes"),
        Family(
            "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 nanosleep clock_nanosleep "
                + "clock_nanosleep_time64",
            "ways to wait: time.sleep was select and is clock_nanosleep; aarch64 has no poll; 64-bit times"),
        Family(
            "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 "
                + "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch timerfd_create timerfd_settime "
                + "timerfd_gettime timerfd_settime64 timerfd_gettime64",
            "what event loops are made of: libuv, GLib, asyncio and tokio each take others"),
        Family(
            "timer_create timer_settime timer_gettime timer_getoverrun timer_delete timer_settime64 timer_gettime64",
            "one mechanism"),
        Family("alarm setitimer getitimer", "aarch64 has no alarm"),
        Family(
            "clock_gettime clock_gettime64 clock_getres clock_getres_time64 gettimeofday time getcpu",
            "the vDSO's fall-backs"),
        Family(
            "futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue set_robust_list get_robust_list",
            "locks; futex2 came in parts"),
        Family("rseq membarrier", "registered by glibc 2.35 where the kernel has it"),
        Family("accept accept4", "flags came later"),
        Family("send sendto sendmsg sendmmsg", "one message or several"),
        Family("recv recvfrom recvmsg recvmmsg recvmmsg_time64", "one message or several"),
        Family(
            "getsockname getpeername getsockopt setsockopt shutdown",
            "what is asked and set of a socket; libraries that close well shut down first"),
        Family("fork vfork clone", "aarch64 has only clone; posix_spawn uses vfork's way where it can"),
        Family("execve execveat", "fexecve"),
        Family("wait4 waitid waitpid", "asyncio and systemd use waitid"),
        Family("exit exit_group", "threads and processes"),
        Family("kill tkill tgkill", "raise and abort"),
        Family("pidfd_open pidfd_send_signal", "one mechanism"),
        Family("rt_sigqueueinfo rt_tgsigqueueinfo", "threads and processes"),
        Family(
            "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
                + "rt_sigreturn sigaltstack sigaction sigprocmask sigreturn pause restart_syscall",
            "signals; restart_syscall comes from a stopped sleep"),
        Family(
            "getuid geteuid getgid getegid getresuid getresgid getgroups getuid32 geteuid32 getgid32 getegid32 "
                + "getresuid32 getresgid32 getgroups32 getpid getppid gettid getpgrp getpgid getsid getrusage times "
                + "getpriority ioprio_get get_mempolicy uname sysinfo sched_getaffinity sched_getparam sched_getscheduler "
                + "sched_getattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval "
                + "sched_rr_get_interval_time64 sched_yield",
            "asks about itself and the machine, and changes nothing: any library may"),
        Family(
            "setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid setuid32 setgid32 "
                + "setreuid32 setregid32 setresuid32 setresgid32 setgroups32 setfsuid32 setfsgid32",
            "one of them is made as another by libraries"),
        Family("setpgid setsid", "job control"),
        Family("getrlimit setrlimit prlimit64 ugetrlimit", "glibc makes all of them prlimit64"),
        Family(
            "brk mmap mmap2 munmap mremap mprotect madvise mincore",
            "memory of one's own; which of them, the allocator decides"),
        Family("mlock mlock2 munlock mlockall munlockall", "locking memory"),
        Family("pkey_alloc pkey_free pkey_mprotect", "one mechanism"),
        Family("sched_setaffinity sched_setparam sched_setscheduler sched_setattr", "telling the scheduler"),
        Family("setpriority ioprio_set", "nice and ionice"),
        Family("capget capset", "libcap asks before it sets"),
        Family("shmget shmat shmdt shmctl", "one mechanism"),
        Family("semget semop semctl semtimedop semtimedop_time64", "one mechanism"),
        Family("msgget msgsnd msgrcv msgctl", "one mechanism"),
        Family(
            "mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr mq_timedsend_time64 "
                + "mq_timedreceive_time64", "one mechanism"),
        Family(
            "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64", "one mechanism"),
        Family("landlock_create_ruleset landlock_add_rule landlock_restrict_self", "one mechanism"),
        Family("process_vm_readv process_vm_writev", "one mechanism"),
        Family(
            "arch_prctl set_thread_area get_thread_area set_tid_address set_tls",
            "the start of a program and of a thread"),
        Family("getrandom", "the vDSO's since glibc 2.41"),
    ]

    /// What every session needs, recorded or not.
    ///
    /// `execve` is the launcher's last step; `rt_sigreturn` and `restart_syscall` are the kernel's doing; `exit_group` ends
    /// a program that was stopped before its end; the calls of the vDSO are in no recording, and made as soon as the clock's
    /// source is one that user space cannot read (a migrated virtual machine, `tsc=unstable`, gVisor).
    public static let always: [(name: String, reason: String)] = [
        ("execve", "the launcher's last step"), ("exit_group", "how a program ends"),
        ("rt_sigreturn", "the return from every signal"), ("restart_syscall", "the kernel's way to go on with a sleep"),
        ("clock_gettime", "fall-back of the vDSO"), ("clock_getres", "fall-back of the vDSO"),
        ("gettimeofday", "fall-back of the vDSO"), ("time", "fall-back of the vDSO"),
        ("getcpu", "fall-back of the vDSO"), ("getrandom", "fall-back of the vDSO"),
        ("brk", "the start of every program"), ("arch_prctl", "the start of every program"),
        ("set_tid_address", "the start of every thread"), ("set_robust_list", "the start of every thread"),
        ("rseq", "the start of every thread"),
    ]

    /// The names of the family of a call, itself among them.
    public static func siblings(of name: String) -> [String] {
        places[name].map { families[$0].names } ?? [name]
    }

    /// Why they are allowed together; `nil`: the call stands alone.
    public static func reason(of name: String) -> String? { places[name].map { families[$0].reason } }

    /// The name that the family goes by: that of its first call.
    static func family(of name: String) -> String { places[name].map { families[$0].names[0] } ?? name }

    private static let places: [String: Int] = {
        var places: [String: Int] = [:]
        for (index, family) in families.enumerated() { for name in family.names { places[name] = index } }
        return places
    }()
}
