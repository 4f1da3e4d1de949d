// Tries to look into a process of the same container, and to write its program; prints what it could do.
//   tracer PID    0: a child of its own, that all of it is to work on
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int pid;
static char word = 1;

static const char *path(const char *name) {
    static char text[64];
    snprintf(text, sizeof text, "/proc/%d/%s", pid, name);
    return text;
}

static void could(const char *what, int it) {
    if (it) puts(what);
}

/// Whether something can be read of a file.
static int reads(const char *name) {
    char bytes[16];
    int file = open(path(name), O_RDONLY);
    return file >= 0 && pread(file, bytes, sizeof bytes, strcmp(name, "mem") ? 0 : (off_t)(uintptr_t)&word) > 0;
}

static int holdsDescriptors(void) {
    DIR *directory = opendir(path("fd"));
    int count = 0;
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) count += entry->d_name[0] != '.';
    return count;
}

/// Whether the mount of a program can be written, be it by a clone of it.
static int writable(int program) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", program);
    return !faccessat(AT_FDCWD, name, W_OK, 0) || open(name, O_WRONLY | O_TRUNC | O_APPEND) >= 0;
}

int main(int count, char **words) {
    pid = count > 1 ? atoi(words[1]) : 0;
    if (!pid) open("/proc/self/exe", O_PATH);
    if (!pid && !(pid = fork())) {
        pause();
        return 0;
    }
    // From the first instruction on, in case there is an instant in which it can be done.
    int traced = 0;
    for (int i = 0; i < 20000 && !traced; i++) traced = ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
    could("trace", traced);
    could("read environ", reads("environ"));
    could("read maps", reads("maps"));
    could("read mem", reads("mem"));
    could("read exe", reads("exe"));
    could("hold descriptors", holdsDescriptors());
    int handle = syscall(SYS_pidfd_open, pid, 0);
    struct {
        uint64_t set, clear, propagation, userns;
    } change = {0, 1, 0, 0};  // MOUNT_ATTR_RDONLY
    int taken = 0, written = 0;
    for (int i = 0; i < 256; i++) {
        int file = syscall(SYS_pidfd_getfd, handle, i, 0);
        if (file < 0) continue;
        taken = 1;
        struct stat found;
        if (fstat(file, &found) || !S_ISREG(found.st_mode) || !(found.st_mode & 0111)) continue;
        syscall(SYS_mount_setattr, file, "", 0x1000, &change, sizeof change);
        written |= writable(file);
    }
    could("take descriptors", taken);
    could("write a program that it holds", written);
    char copy;
    struct iovec here = {&copy, 1}, there = {&word, 1};
    could("copy memory", process_vm_readv(pid, &here, 1, &there, 1, 0) == 1);
    could("compare", syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0) >= 0);

    // With the rights to go there, its program: by its mount, by that made writable, by a clone, by a bind mount.
    int program = open(path("exe"), O_PATH);
    could("write exe", program >= 0 && writable(program));
    syscall(SYS_mount_setattr, program, "", 0x1000, &change, sizeof change);
    could("write exe by mount_setattr", program >= 0 && writable(program));
    int tree = syscall(SYS_open_tree, program, "", 0x1001);  // AT_EMPTY_PATH | OPEN_TREE_CLONE
    could("write exe by a clone", tree >= 0 && !syscall(SYS_mount_setattr, tree, "", 0x1000, &change, sizeof change)
          && writable(tree));
    close(open("/tmp/program", O_CREAT | O_RDONLY, 0600));
    if (!mount(path("exe"), "/tmp/program", 0, MS_BIND, 0)) {
        mount(0, "/tmp/program", 0, MS_REMOUNT | MS_BIND, 0);
        could("write exe by a bind mount", !access("/tmp/program", W_OK));
    }
    mount(0, path("exe"), 0, MS_REMOUNT | MS_BIND, 0);
    could("write exe by a remount", program >= 0 && writable(program));
    puts("tried");
    if (pid != 1) kill(pid, SIGKILL);
    return 0;
}
