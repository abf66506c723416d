// Landlock: a process gives up access to files, with its future threads and children, for good. The C library has no functions for
// it, and headers lack what kernels newer than they can do, so calls and layouts of linux/landlock.h stand here.
#pragma once
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// The same on every architecture.
enum { vta_call_create_ruleset = 444, vta_call_add_rule = 445, vta_call_restrict_self = 446 };

// What the kernel's Landlock can do, by its number, from 1 on; -1: ENOSYS (before Linux 5.13, or left out of it), EOPNOTSUPP
// (switched off at boot), EPERM (a filter of system calls).
static inline int vta_landlock_version(void) {
    return (int)syscall(vta_call_create_ruleset, (void *)0, (size_t)0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
}

// Rules about these kinds of access; a descriptor that is closed by exec.
static inline int vta_landlock_ruleset(uint64_t accesses) {
    // struct landlock_ruleset_attr of version 1; newer kernels take the shorter one.
    return (int)syscall(vta_call_create_ruleset, &accesses, sizeof accesses, 0);
}

// Grants these accesses to a file, or to all below a directory.
static inline int vta_landlock_grant(int ruleset, int place, uint64_t accesses) {
    // struct landlock_path_beneath_attr.
    struct { uint64_t accesses; int32_t place; } __attribute__((packed)) rule = {accesses, place};
    return (int)syscall(vta_call_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0);
}

// Takes from the calling thread, and whatever it starts from now on, every access that the rules are about and do not grant. No
// program that it starts gains rights by its file's mode any more: the kernel asks for that first.
static inline int vta_landlock_enforce(int ruleset) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return (int)syscall(vta_call_restrict_self, ruleset, 0);
}

// O_PATH, which the C library shows for _GNU_SOURCE only: a place, whatever may be done there.
static const int vta_open_place = 010000000;
