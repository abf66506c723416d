// Starting children and knowing when they end; keeping this process to itself.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// A descriptor that becomes readable when the process ends; -1 with ENOSYS before Linux 5.3.
static inline int vta_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

// Sends a signal to the process behind the descriptor, whatever has become of its number.
static inline int vta_pidfd_send_signal(int descriptor, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, descriptor, signal, (void *)0, 0);
}

// As WIFEXITED, WEXITSTATUS and WTERMSIG say: the exit status, or minus the signal that ended it.
static inline int vta_exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

// Closes every descriptor from `first` on in the child. Declared here because glibc does so for _GNU_SOURCE only.
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);

// A pipe of which a child inherits neither end unless told to; the read end does not block.
static inline int vta_pipe(int ends[2]) {
    if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return -1;
    return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

// prctl is variadic, which Swift does not import.
static inline int vta_set_dumpable(int dumpable) { return prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0); }

// RLIMIT_CORE to 0, for good. The type of its first argument differs between C and Swift.
static inline int vta_forbid_core_dumps(void) {
    struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none);
}

static inline int vta_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }

// Becomes readable when one of these signals, which the process blocks, has come.
static inline int vta_signal_descriptor(const sigset_t *signals) {
    return signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

// The next signal that has come; 0 where there is none.
static inline int vta_next_signal(int descriptor) {
    struct signalfd_siginfo signal;
    return read(descriptor, &signal, sizeof signal) == sizeof signal ? (int)signal.ssi_signo : 0;
}

// Ends the process as the signal does by default; process 1 of a container, which the kernel shields from that, with the
// status that shells give to such an end. Makes only calls that a signal handler may make.
static inline void vta_end_by_signal(int number) {
    sigset_t set;
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    raise(number);
    _exit(128 + number);
}
