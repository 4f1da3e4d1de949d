// Tries the calls that containers are escaped by, with every width of argument; prints those that are not refused.
// The arguments are such that each call fails in another way where no filter refuses it.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int tried, open_ways;

static void attempt(const char *name, long number, long a, long b, long c, long d, long e) {
    tried++;
    errno = 0;
    long result = syscall(number, a, b, c, d, e, 0);
    if (result == 0 && (number == SYS_clone)) _exit(0);
    if (result == -1 && (errno == EPERM || errno == ENOSYS)) return;
    open_ways++;
    printf("%s(%#lx, %#lx, %#lx) = %ld, errno %d\n", name, a, b, c, result, errno);
}

/// In a process of its own: it could work.
static void attempt_traceme(long request) {
    tried++;
    pid_t child = fork();
    if (!child) {
        long result = syscall(SYS_ptrace, request, 0, 0, 0);
        _exit(result == -1 && (errno == EPERM || errno == ENOSYS) ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    if (!status) return;
    open_ways++;
    printf("ptrace(%#lx)\n", request);
}

static const struct {
    const char *name;
    long number;
} calls[] = {
    {"mount", SYS_mount}, {"umount2", SYS_umount2}, {"pivot_root", SYS_pivot_root}, {"fsopen", SYS_fsopen},
    {"fsconfig", SYS_fsconfig}, {"fsmount", SYS_fsmount}, {"fspick", SYS_fspick}, {"move_mount", SYS_move_mount},
    {"open_tree", SYS_open_tree}, {"mount_setattr", SYS_mount_setattr}, {"setns", SYS_setns}, {"bpf", SYS_bpf},
    {"keyctl", SYS_keyctl}, {"add_key", SYS_add_key}, {"request_key", SYS_request_key},
    {"userfaultfd", SYS_userfaultfd}, {"io_uring_setup", SYS_io_uring_setup}, {"io_uring_enter", SYS_io_uring_enter},
    {"io_uring_register", SYS_io_uring_register}, {"perf_event_open", SYS_perf_event_open},
    {"open_by_handle_at", SYS_open_by_handle_at}, {"init_module", SYS_init_module},
    {"finit_module", SYS_finit_module}, {"delete_module", SYS_delete_module}, {"kexec_load", SYS_kexec_load},
    {"kexec_file_load", SYS_kexec_file_load}, {"clone3", SYS_clone3},
};

/// Any argument leaves out what a filter can only tell apart by comparing 32 bits as "greater" (Docs/Seccomp.md).
int main(int count, char **words) {
    (void)words;
    // Junk in the upper half: a filter is handed 64 bits of an argument of which the kernel takes 32.
    const long highs[] = {0, 1L << 32, 0xdeadbeefL << 32, -1L << 32, 1L << 63};
    const long lows[] = {0, 1, 2, 0x7fffffff, 0x80000000L, 0xffffffffL};
    for (unsigned h = 0; h < sizeof highs / sizeof *highs; h++) {
        long high = highs[h];
        for (unsigned l = 0; l < sizeof lows / sizeof *lows; l++)
            for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
                long v = high | lows[l];
                attempt(calls[i].name, calls[i].number, v, 0, 0, 0, 0);
                attempt(calls[i].name, calls[i].number, 0, v, 0, 0, 0);
                attempt(calls[i].name, calls[i].number, v, v, v, v, v);
            }
        // Attach, seize, peek, poke, go on, kill, registers; of no process that there is.
        const long requests[] = {16, 0x4206, 1, 4, 7, 8, 12, 13, 24, 0x4204, 0x4205, 0x420b, 0x420e};
        for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++) {
            attempt("ptrace", SYS_ptrace, requests[i], high | 0x7fffffff, 0, 0, 0);
            attempt("ptrace", SYS_ptrace, high | requests[i], 0x7fffffff, 0, 0, 0);
        }
        attempt_traceme(high);
        const long namespaces[] = {0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000};
        for (int mask = 1; mask < 128; mask++) {
            long flags = 0;
            for (int bit = 0; bit < 7; bit++)
                if (mask & 1 << bit) flags |= namespaces[bit];
            attempt("unshare", SYS_unshare, high | flags, 0, 0, 0, 0);
            attempt("clone", SYS_clone, high | flags | 17, 0, 0, 0, 0);
        }
        attempt("unshare", SYS_unshare, high | 0x80, 0, 0, 0, 0);
        for (long family = 0; family < 64; family++) {
            if (family == 0 || family == 1 || family == 2 || family == 10 || family == 16) continue;
            for (long type = 1; type < 7; type++) attempt("socket", SYS_socket, high | family, type, 0, 0, 0);
            attempt("socket", SYS_socket, high | family, high | 3 | 0x80000, high, 0, 0);
        }
        for (long protocol = 1; protocol < 32; protocol++)
            attempt("socket", SYS_socket, high | 16, 3, high | protocol, 0, 0);
        if (count == 1 || high == 0) {
            attempt("ioctl", SYS_ioctl, 0, high | 0x5412, 0, 0, 0);
            attempt("ioctl", SYS_ioctl, 0, high | 0x541c, 0, 0, 0);
        }
    }
    printf("%d tried, %d open\n", tried, open_ways);
    return open_ways != 0;
}
