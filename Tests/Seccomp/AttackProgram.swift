/// A program that goes behind a filter and tries what it forbids; compiled when the tests run.
///
///     attack FILTER try          each attempt in a process of its own; prints "name errno", or "name killed signal"
///     attack none try            the same without a filter, for those attempts that do no harm
///     attack FILTER exec PROGRAM [ARGUMENT...]
let attackProgram = #"""
    #define _GNU_SOURCE
    #include <errno.h>
    #include <fcntl.h>
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <sched.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/prctl.h>
    #include <sys/ptrace.h>
    #include <sys/syscall.h>
    #include <sys/user.h>
    #include <sys/wait.h>
    #include <unistd.h>

    #define JUNK 0xdeadbeef00000000ul

    static struct sock_filter code[4096];
    static struct sock_fprog program = { 0, code };

    static void install(void) {
        if (!program.len) return;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) {
            perror("seccomp");
            _exit(99);
        }
    }

    static int wanted_only_behind_filter(int harmless) { return !program.len && !harmless; }

    static void report(const char *name, pid_t child) {
        int status;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) printf("%s killed %d\n", name, WTERMSIG(status));
        else printf("%s %d\n", name, WEXITSTATUS(status));
        fflush(stdout);
    }

    // One attempt in a process of its own, whose exit status is the errno.
    #define TRY(harmless, name, call)                                           \
        if (!wanted_only_behind_filter(harmless)) {                             \
            pid_t child = fork();                                               \
            if (!child) { install(); errno = 0; long r = (long)(call); _exit(r == -1 ? errno : 0); } \
            report(name, child);                                                \
        }

    static long traced(long number, long a, long answer) {
        // A tracer behind the same filter turns its child's getppid into another call.
        pid_t child = fork();
        if (!child) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            errno = 0;
            long r = syscall(SYS_getppid);
            _exit(r == -1 ? errno : r == answer ? 0 : 98);
        }
        int status, entering = 1;
        waitpid(child, &status, 0);
        ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
        for (;;) {
            ptrace(PTRACE_SYSCALL, child, 0, 0);
            waitpid(child, &status, 0);
            if (WIFEXITED(status)) { errno = WEXITSTATUS(status); return errno ? -1 : 0; }
            if (WIFSIGNALED(status)) { errno = 97; return -1; }
            if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
            struct user_regs_struct regs;
            ptrace(PTRACE_GETREGS, child, 0, &regs);
            if (entering && regs.orig_rax == SYS_getppid) {
                regs.orig_rax = number, regs.rdi = a;
                ptrace(PTRACE_SETREGS, child, 0, &regs);
            } else if (!entering && number == -1 && regs.orig_rax == (unsigned long)-1) {
                regs.rax = answer;
                ptrace(PTRACE_SETREGS, child, 0, &regs);
            }
            entering = !entering;
        }
    }

    static long int80(void) {
        long r;
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
        return r;
    }

    static void attempts(void) {
        static struct sock_filter allow = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
        struct sock_fprog nested = { 1, &allow };
        char byte = 'x';
        unsigned long clone3[11] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
        signal(SIGSYS, SIG_DFL);

        TRY(1, "unix", syscall(SYS_socket, 1, 1, 0))
        TRY(1, "tcp", syscall(SYS_socket, 2, 1, 6))
        TRY(1, "tcp, junk above", syscall(SYS_socket, JUNK | 2, JUNK | 1, JUNK | 6))
        TRY(1, "netlink route", syscall(SYS_socket, 16, 3, 0))
        TRY(1, "netlink audit", syscall(SYS_socket, 16, 3, 9))
        TRY(1, "netlink netfilter, junk above", syscall(SYS_socket, JUNK | 16, 3, JUNK | 12))
        TRY(1, "vsock", syscall(SYS_socket, 40, 1, 0))
        TRY(1, "vsock, junk above", syscall(SYS_socket, JUNK | 40, 1, 0))
        TRY(1, "alg", syscall(SYS_socket, 38, 5, 0))
        TRY(1, "alg, junk above", syscall(SYS_socket, 0x100000026, 5, 0))
        TRY(1, "packet", syscall(SYS_socket, 17, 3, 0))
        TRY(1, "key", syscall(SYS_socket, 15, 3, 2))
        TRY(1, "bluetooth", syscall(SYS_socket, 31, 3, 1))
        TRY(0, "sctp", syscall(SYS_socket, 2, 1, 132))
        TRY(0, "sctp, junk above", syscall(SYS_socket, 2, 1, JUNK | 132))
        TRY(1, "mptcp over ipv6", syscall(SYS_socket, 10, 1, 262))
        int pair[2];
        TRY(1, "socketpair", syscall(SYS_socketpair, 1, 1, 0, pair))
        TRY(1, "tipc socketpair", syscall(SYS_socketpair, 30, 1, 0, pair))

        TRY(1, "clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) ?: (_exit(0), 0))
        TRY(1, "clone newuser", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) ?: (_exit(0), 0))
        TRY(1, "clone newuser, junk above", syscall(SYS_clone, JUNK | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) ?: (_exit(0), 0))
        TRY(0, "clone newnet", syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0) ?: (_exit(0), 0))
        TRY(1, "clone3 newuser", syscall(SYS_clone3, clone3, 88) ?: (_exit(0), 0))
        TRY(1, "unshare files", syscall(SYS_unshare, CLONE_FILES))
        TRY(1, "unshare newuser", syscall(SYS_unshare, CLONE_NEWUSER))
        TRY(1, "unshare newns", syscall(SYS_unshare, CLONE_NEWNS))
        TRY(0, "unshare newtime", syscall(SYS_unshare, 0x80))
        TRY(1, "setns", syscall(SYS_setns, open("/proc/self/ns/uts", O_RDONLY), 0))

        TRY(1, "TIOCSTI", syscall(SYS_ioctl, 0, 0x5412, &byte))
        TRY(1, "TIOCSTI, junk above", syscall(SYS_ioctl, 0, JUNK | 0x5412, &byte))
        TRY(1, "TIOCLINUX", syscall(SYS_ioctl, 0, 0x541c, &byte))
        TRY(1, "TIOCLINUX, junk above", syscall(SYS_ioctl, 0, 0x10000541c, &byte))
        TRY(1, "TIOCSETD", syscall(SYS_ioctl, 0, JUNK | 0x5423, &byte))
        int flag = 1;
        TRY(1, "FIONBIO, junk above", syscall(SYS_ioctl, syscall(SYS_socket, 1, 1, 0), JUNK | 0x5421, &flag))

        TRY(1, "personality ask", syscall(SYS_personality, 0xffffffff))
        TRY(1, "personality no randomize", syscall(SYS_personality, 0x40000))
        TRY(1, "personality read implies exec", syscall(SYS_personality, 0x400000))
        TRY(1, "personality read implies exec, junk above", syscall(SYS_personality, JUNK | 0x440000))
        TRY(1, "personality svr4", syscall(SYS_personality, 0x4100001))

        TRY(1, "nested filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nested))
        TRY(1, "nested listener", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &nested))
        TRY(1, "nested listener, junk above",
            syscall(SYS_seccomp, JUNK | SECCOMP_SET_MODE_FILTER, JUNK | SECCOMP_FILTER_FLAG_NEW_LISTENER, &nested))

        TRY(1, "io_uring_setup", syscall(SYS_io_uring_setup, 1, 0))
        TRY(1, "io_uring_enter", syscall(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0))
        TRY(1, "io_uring_register", syscall(SYS_io_uring_register, -1, 0, 0, 0))
        TRY(1, "keyctl", syscall(SYS_keyctl, 0, -4, 0))
        TRY(1, "add_key", syscall(SYS_add_key, 0, 0, 0, 0, -4))
        TRY(1, "request_key", syscall(SYS_request_key, 0, 0, 0, 0))
        TRY(1, "mount", syscall(SYS_mount, "none", "/proc/none", "tmpfs", 0, 0))
        TRY(1, "umount2", syscall(SYS_umount2, "/proc/none", 0))
        TRY(1, "open_tree", syscall(SYS_open_tree, -1, "", 0))
        TRY(1, "move_mount", syscall(SYS_move_mount, -1, "", -1, "", 0))
        TRY(1, "fsopen", syscall(SYS_fsopen, "nosuchfs", 0))
        TRY(1, "fsconfig", syscall(SYS_fsconfig, -1, 0, 0, 0, 0))
        TRY(1, "fsmount", syscall(SYS_fsmount, -1, 0, 0))
        TRY(1, "fspick", syscall(SYS_fspick, -1, "", 0))
        TRY(1, "mount_setattr", syscall(SYS_mount_setattr, -1, "", 0, 0, 0))
        TRY(1, "open_tree_attr", syscall(467, -1, "", 0, 0, 0))
        TRY(1, "statmount", syscall(457, 0, 0, 0, 0))
        TRY(1, "listmount", syscall(458, 0, 0, 0, 0))
        TRY(1, "pivot_root", syscall(SYS_pivot_root, "/proc/none", "/proc/none"))
        TRY(1, "chroot", syscall(SYS_chroot, "/proc/none"))
        TRY(1, "bpf", syscall(SYS_bpf, 0, 0, 0))
        TRY(1, "perf_event_open", syscall(SYS_perf_event_open, 0, 0, 0, 0, 0))
        TRY(1, "userfaultfd", syscall(SYS_userfaultfd, -1))
        TRY(1, "open_by_handle_at", syscall(SYS_open_by_handle_at, -1, 0, 0))
        TRY(1, "name_to_handle_at", syscall(SYS_name_to_handle_at, -1, "", 0, 0, 0))
        TRY(1, "pidfd_getfd", syscall(SYS_pidfd_getfd, -1, 0, 0))
        TRY(1, "kcmp", syscall(SYS_kcmp, 0, 0, 0, 0, 0))
        TRY(1, "process_madvise", syscall(SYS_process_madvise, -1, 0, 0, 0, 0))
        TRY(1, "memfd_secret", syscall(SYS_memfd_secret, -1))
        TRY(1, "fanotify_init", syscall(SYS_fanotify_init, -1, 0))
        TRY(1, "modify_ldt", syscall(SYS_modify_ldt, 0, 0, 0))
        TRY(1, "lookup_dcookie", syscall(SYS_lookup_dcookie, 0, 0, 0))
        TRY(1, "ustat", syscall(SYS_ustat, 0, 0))
        TRY(1, "sysfs", syscall(SYS_sysfs, 3, 0, 0))
        TRY(1, "uselib", syscall(SYS_uselib, "/proc/none"))
        TRY(1, "syslog", syscall(SYS_syslog, 10, 0, 0))
        TRY(1, "init_module", syscall(SYS_init_module, 0, 0, ""))
        TRY(1, "finit_module", syscall(SYS_finit_module, -1, "", 0))
        TRY(0, "delete_module", syscall(SYS_delete_module, "", 0))
        TRY(0, "kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0))
        TRY(0, "kexec_file_load", syscall(SYS_kexec_file_load, -1, -1, 0, 0, 0))
        TRY(0, "reboot", syscall(SYS_reboot, 0, 0, 0, 0))
        TRY(0, "swapon", syscall(SYS_swapon, "/proc/none", 0))
        TRY(0, "swapoff", syscall(SYS_swapoff, "/proc/none"))
        TRY(0, "acct", syscall(SYS_acct, "/proc/none"))
        TRY(0, "quotactl", syscall(SYS_quotactl, 0, 0, 0, 0))
        TRY(0, "settimeofday", syscall(SYS_settimeofday, 0, 0))
        TRY(0, "clock_settime", syscall(SYS_clock_settime, 0, 0))
        TRY(0, "sethostname", syscall(SYS_sethostname, 0, -1))
        TRY(0, "vhangup", syscall(SYS_vhangup))
        TRY(0, "iopl", syscall(SYS_iopl, 0))
        TRY(0, "ioperm", syscall(SYS_ioperm, 0, 0, 0))
        TRY(1, "mbind", syscall(SYS_mbind, 0, 0, 0, 0, 0, -1))

        TRY(1, "number 600", syscall(600))
        TRY(1, "number 512", syscall(512, 0, 0, 0, 0))
        TRY(1, "number -1", syscall(-1))
        TRY(0, "x32 getpid", syscall(0x40000000 | SYS_getpid))
        TRY(0, "x32 execve", syscall(0x40000000 | 520, "/bin/true", 0, 0))
        TRY(0, "i386 getpid", int80())

        TRY(1, "ptrace traceme", syscall(SYS_ptrace, 0, 0, 0, 0))
        TRY(1, "ptrace attach", syscall(SYS_ptrace, 16, -1, 0, 0))
        TRY(1, "ptrace attach, junk above", syscall(SYS_ptrace, 16, JUNK | 0x7fffffff, 0, 0))
    }

    // Behind a filter that lets processes trace.
    static void tracing_attempts(void) {
        TRY(1, "traced child to unshare newuser", traced(SYS_unshare, CLONE_NEWUSER, 0))
        TRY(1, "traced child to keyctl", traced(SYS_keyctl, 0, 0))
        TRY(1, "traced child skips", traced(-1, 0, 4242))
    }

    int main(int count, char **words) {
        if (strcmp(words[1], "none")) {
            int file = open(words[1], O_RDONLY | O_CLOEXEC);
            program.len = read(file, code, sizeof code) / sizeof code[0];
            if (!program.len) return 99;
        }
        if (!strcmp(words[2], "try")) return attempts(), 0;
        if (!strcmp(words[2], "trace")) return tracing_attempts(), 0;
        // Foundation's Process leaves signals blocked that a debugger waits for.
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        install();
        execvp(words[3], words + 3);
        perror(words[3]);
        return 98;
    }
    """#
