// Classic BPF and seccomp(2): headers that Glibc's Swift module does not carry.
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>
