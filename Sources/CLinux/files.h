// What the C library declares only under _GNU_SOURCE, which Swift's own module of its headers does not set.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// 1: the name is the root of a mount (a bind-mounted file); 0: it is not; -1: errno says why it cannot be known
// (ENOSYS before Linux 5.8, which does not report it).
static inline int vta_is_mount_root(int directory, const char *name) {
    struct statx status;
    if (syscall(SYS_statx, directory, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status) != 0) return -1;
    if (!(status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)) { errno = ENOSYS; return -1; }
    return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Takes the blocks for `size` bytes from the start without changing what the file holds.
static inline int vta_reserve(int descriptor, int64_t size) {
    return (int)syscall(SYS_fallocate, descriptor, 1 /* FALLOC_FL_KEEP_SIZE */, (int64_t)0, size);
}

// A lock for the whole file that belongs to the open description: it goes when that is closed, and when the process ends.
// 0, or -1 with EAGAIN where another description has it. For reading and writing descriptors only.
static inline int vta_lock(int descriptor) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(descriptor, 37 /* F_OFD_SETLK */, &lock);
}

// 1: another description has that lock; 0: none has; -1: errno says why it cannot be known. Takes nothing.
static inline int vta_is_locked(int descriptor) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    if (fcntl(descriptor, 36 /* F_OFD_GETLK */, &lock) != 0) return -1;
    return lock.l_type != F_UNLCK;
}

// UTIME_OMIT, whose macro Swift does not import: leave this one of the two times as it is.
static const long vta_utime_omit = UTIME_OMIT;

// What has a name, whatever it is, itself and not what it points to: for its rights, not for its content.
static inline int vta_open_name(int directory, const char *name) {
    return openat(directory, name, 010000000 /* O_PATH */ | O_NOFOLLOW | O_CLOEXEC);
}

// Of any descriptor, one of vta_open_name too. The largest number leaves an owner or a group as it is.
static inline int vta_change_owner(int descriptor, uid_t owner, gid_t group) {
    return fchownat(descriptor, "", owner, group, 0x1000 /* AT_EMPTY_PATH */);
}

// The same for a mode; fchmod does not take a descriptor of vta_open_name.
static inline int vta_change_mode(int descriptor, mode_t mode) {
    if (fchmod(descriptor, mode) == 0) return 0;
    if (errno != EBADF) return -1;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return chmod(path, mode);
}
