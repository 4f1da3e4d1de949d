// bpf(2) and the seccomp listener: structures without the anonymous members that Swift cannot import, and constants that
// are macros of casts.
#pragma once

#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/// The members of `union bpf_attr` for BPF_MAP_CREATE.
struct carrel_bpf_map {
    uint32_t map_type, key_size, value_size, max_entries, map_flags;
};

/// The members of `union bpf_attr` for BPF_MAP_*_ELEM and BPF_MAP_GET_NEXT_KEY.
struct carrel_bpf_element {
    uint32_t map_fd, padding;
    uint64_t key, value_or_next, flags;
};

/// The members of `union bpf_attr` for BPF_PROG_LOAD, as far as they are used.
struct carrel_bpf_program {
    uint32_t prog_type, insn_cnt;
    uint64_t insns, license;
    uint32_t log_level, log_size;
    uint64_t log_buf;
    uint32_t kern_version, prog_flags;
    char prog_name[16];
};

/// The members of `union bpf_attr` for BPF_RAW_TRACEPOINT_OPEN.
struct carrel_bpf_raw_tracepoint {
    uint64_t name;
    uint32_t prog_fd, padding;
};

/// The members of `union bpf_attr` for BPF_OBJ_GET_INFO_BY_FD.
struct carrel_bpf_info {
    uint32_t bpf_fd, info_len;
    uint64_t info;
};

static const size_t carrel_bpf_recursion_misses = offsetof(struct bpf_prog_info, recursion_misses);
static const size_t carrel_bpf_info_size = sizeof(struct bpf_prog_info);

static const unsigned long carrel_notif_recv = SECCOMP_IOCTL_NOTIF_RECV;
static const unsigned long carrel_notif_send = SECCOMP_IOCTL_NOTIF_SEND;
static const unsigned long carrel_notif_id_valid = SECCOMP_IOCTL_NOTIF_ID_VALID;

/// Loads and stores of a word that two processes share.
static inline int carrel_load(const int *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void carrel_store(int *word, int value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
