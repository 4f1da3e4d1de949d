// Classic BPF and seccomp(2): headers that Glibc's Swift module does not carry.
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>

/// The name of an errno, for example ENOMEM, or NULL (string.h has it for _GNU_SOURCE alone).
const char *strerrorname_np(int number);
