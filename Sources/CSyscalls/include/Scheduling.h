// struct sched_attr of sched_setattr(2), which glibc 2.36 does not have.
#pragma once
#include <stdint.h>

struct carrel_sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
