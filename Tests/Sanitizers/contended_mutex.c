// Tells the thread sanitizer of locks that Swift's Mutex takes and gives up by way of the kernel.
//
// A Mutex that nobody else wants is taken by an instruction of the code itself, which the sanitizer sees. One that is
// wanted is handed over by the kernel, on calls of a library that is not instrumented; each of these handovers would be
// reported as a race. Loaded before that library (LD_PRELOAD). Does nothing in a program without the sanitizer.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *mutex
#define THEIRS(name, ...) ((__VA_ARGS__)dlsym(RTLD_NEXT, name))

__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);

static void take_over(void *address) {
    if (__tsan_acquire && address) __tsan_acquire(address);
}

static void hand_over(void *address) {
    if (__tsan_release && address) __tsan_release(address);
}

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lock(uint32_t thread, SELF) __asm__(LOCK);
SWIFT bool try_lock(SELF) __asm__(TRY_LOCK);
SWIFT void unlock(SELF) __asm__(UNLOCK);

SWIFT void lock(uint32_t thread, SELF) {
    THEIRS(LOCK, SWIFT void (*)(uint32_t, SELF))(thread, mutex);
    take_over(mutex);
}

SWIFT bool try_lock(SELF) {
    bool locked = THEIRS(TRY_LOCK, SWIFT bool (*)(SELF))(mutex);
    if (locked) take_over(mutex);
    return locked;
}

SWIFT void unlock(SELF) {
    hand_over(mutex);
    THEIRS(UNLOCK, SWIFT void (*)(SELF))(mutex);
}
