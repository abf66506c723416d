// Starting children and knowing when they end; keeping this process to itself.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
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

// A pipe of which a child inherits neither end unless told to.
static inline int vta_pipe(int ends[2]) { return (int)syscall(SYS_pipe2, ends, O_CLOEXEC); }

// Of one end: to read there waits for nobody.
static inline int vta_never_wait(int descriptor) { return fcntl(descriptor, F_SETFL, O_NONBLOCK); }

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

// The next signal that has come; 0 where there is none. `by_kernel`: nobody sent it; a terminal's keys, which reach every
// process in its foreground, are told so.
static inline int vta_next_signal(int descriptor, int *by_kernel) {
    struct signalfd_siginfo signal;
    if (read(descriptor, &signal, sizeof signal) != sizeof signal) return 0;
    *by_kernel = signal.ssi_code == 0x80 /* SI_KERNEL */;
    return (int)signal.ssi_signo;
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

// A child that the kernel kills when this process ends. The kernel goes by the thread that made the child, not by the process:
// so each has a thread of its own, which waits for its end without reaping it. posix_spawn cannot do this, hence fork: what the
// child does before exec is async-signal-safe, but execvpe, which in glibc allocates nothing.
extern int execvpe(const char *file, char *const arguments[], char *const environment[]);

struct vta_tied {
    char *const *arguments;
    char *const *environment;
    int output, error, report;
    pid_t owner;
    pid_t child;
    int problem;
    sem_t started;
};

// In the child: like posix_spawn's with an empty mask, default dispositions, a group of its own, no input.
static inline void vta_tied_child(const struct vta_tied *tied) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < 65; number++) signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, 0);
    setpgid(0, 0);
    int input = -1;
    // Whoever was orphaned before the kernel knew would never be told.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == tied->owner &&
        (input = open("/dev/null", O_RDONLY)) >= 0 && dup2(input, 0) == 0 && dup2(tied->output, 1) == 1 &&
        dup2(tied->error, 2) == 2) {
        int report = fcntl(tied->report, F_DUPFD_CLOEXEC, 3);
        for (int number = 3; number < report; number++) close(number);
        if (report >= 0) syscall(SYS_close_range, (unsigned)report + 1, ~0U, 0);
        execvpe(tied->arguments[0], tied->arguments, tied->environment);
        int problem = errno;
        if (write(report, &problem, sizeof problem) < 0) _exit(126);
        _exit(127);
    }
    int problem = errno ? errno : ECHILD;
    if (write(tied->report, &problem, sizeof problem) < 0) _exit(126);
    _exit(127);
}

static inline void *vta_tied_thread(void *argument) {
    struct vta_tied *tied = (struct vta_tied *)argument;
    pid_t child = fork();
    if (child == 0) vta_tied_child(tied);
    if (child < 0) tied->problem = errno;
    tied->child = child;
    sem_post(&tied->started);
    siginfo_t end;
    while (child > 0 && waitid(P_PID, (id_t)child, &end, WEXITED | WNOWAIT) != 0 && errno == EINTR) {}
    return 0;
}

// 0, or an error number. The thread has the smallest stack that execvpe's search of PATH fits into comfortably.
static inline int vta_spawn_tied(
    pid_t *process, char *const arguments[], char *const environment[], int output, int error) {
    int ends[2];
    if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return errno;
    struct vta_tied tied = {arguments, environment, output, error, ends[1], getpid(), -1, 0};
    pthread_attr_t attributes;
    pthread_t thread;
    sem_init(&tied.started, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    int problem = pthread_create(&thread, &attributes, vta_tied_thread, &tied);
    pthread_attr_destroy(&attributes);
    if (problem == 0) {
        while (sem_wait(&tied.started) != 0) {}
        problem = tied.problem;
    }
    close(ends[1]);
    if (problem == 0) {
        // Empty once exec has closed the child's end.
        ssize_t count;
        while ((count = read(ends[0], &problem, sizeof problem)) < 0 && errno == EINTR) {}
        if (count != sizeof problem) problem = 0;
        if (problem != 0) waitpid(tied.child, 0, 0);
    }
    close(ends[0]);
    sem_destroy(&tied.started);
    *process = tied.child;
    return problem;
}

// A child that takes this process's place before its user: streams, process group and working directory are this one's, the mask
// of new files is `mask`, no signal is held, and SIGPIPE does what it does by default. The kernel kills it when the thread that
// calls this ends. 0, or an error number.
static inline int vta_spawn_foreground(
    pid_t *process, char *const arguments[], char *const environment[], mode_t mask) {
    int ends[2];
    if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return errno;
    pid_t owner = getpid(), child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, 0);
        umask(mask);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == owner) {
            execvpe(arguments[0], arguments, environment);
        } else if (errno == 0) {
            errno = ECHILD;
        }
        int problem = errno;
        if (write(ends[1], &problem, sizeof problem) < 0) _exit(126);
        _exit(127);
    }
    int problem = child < 0 ? errno : 0;
    close(ends[1]);
    if (child > 0) {
        // Empty once exec has closed the child's end.
        ssize_t count;
        while ((count = read(ends[0], &problem, sizeof problem)) < 0 && errno == EINTR) {}
        if (count != sizeof problem) problem = 0;
        if (problem != 0) while (waitpid(child, 0, 0) < 0 && errno == EINTR) {}
    }
    close(ends[0]);
    *process = child;
    return problem;
}

// Some child that has ended, reaped; 0: there is none. `status` is as waitpid tells it.
static inline pid_t vta_reap(int *status) {
    pid_t ended = waitpid(-1, status, WNOHANG);
    return ended > 0 ? ended : 0;
}

// The number of some child that has ended and waits to be reaped; 0: there is none, or no child at all.
static inline pid_t vta_ended_child(void) {
    siginfo_t info;
    info.si_pid = 0;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}
