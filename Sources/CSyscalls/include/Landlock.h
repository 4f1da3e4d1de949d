// landlock(7). The first structure is that of Linux 6.12 (ABI 6), which older headers lack; an older kernel accepts the
// longer one as long as what it does not know is zero, and answers E2BIG otherwise.
#pragma once
#include <stdint.h>

struct carrel_landlock_ruleset {
    uint64_t handled_access_fs, handled_access_net, scoped;
};

struct carrel_landlock_path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));
