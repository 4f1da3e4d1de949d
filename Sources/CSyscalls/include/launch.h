// What the launch sequence needs and Swift cannot import: the variadic syscall(2), the argument structures of calls
// that glibc 2.36 does not wrap, and the cmsg(3) macros.
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/// syscall(2) with six words; answers -1 and sets errno on failure.
static inline long carrel_syscall(long number, long a, long b, long c, long d, long e, long f) {
    return syscall(number, a, b, c, d, e, f);
}

/// clone(2) of glibc, which runs `function` on a stack of its own; variadic, so Swift cannot import it.
int clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
static inline int carrel_clone(int (*function)(void *), void *stack, int flags, void *argument) {
    return clone(function, stack, flags, argument);
}

/// struct clone_args of clone3(2), version 2 (Linux 5.7).
struct carrel_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/// struct open_how of openat2(2).
struct carrel_open_how {
    uint64_t flags, mode, resolve;
};

/// struct mount_attr of mount_setattr(2).
struct carrel_mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};

static inline size_t carrel_cmsg_space(size_t length) { return CMSG_SPACE(length); }
static inline size_t carrel_cmsg_length(size_t length) { return CMSG_LEN(length); }
static inline struct cmsghdr *carrel_cmsg_first(struct msghdr *message) { return CMSG_FIRSTHDR(message); }
static inline struct cmsghdr *carrel_cmsg_next(struct msghdr *message, struct cmsghdr *c) { return CMSG_NXTHDR(message, c); }
static inline unsigned char *carrel_cmsg_data(struct cmsghdr *c) { return CMSG_DATA(c); }
