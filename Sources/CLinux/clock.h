// The kernel's clocks as one number: `struct timespec` belongs to another module from one build to the next.
#pragma once
#include <stdint.h>
#include <time.h>

static inline int64_t vta_clock_nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}
