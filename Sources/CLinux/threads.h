// Threads of one's own, beside Dispatch's, and whether they are to be had.
#pragma once
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

struct vta_thread {
    void (*body)(void *_Nonnull);
    void *argument;
    char name[16];
};

static inline void *vta_thread_begin(void *argument) {
    struct vta_thread thread = *(struct vta_thread *)argument;
    free(argument);
    prctl(PR_SET_NAME, thread.name);
    thread.body(thread.argument);
    return NULL;
}

// Runs `body` on a detached thread that gets no signals and has the first 15 bytes of `name`. 0, or why it cannot be had.
static inline int vta_start_thread(const char *name, void (*body)(void *_Nonnull), void *_Nonnull argument) {
    struct vta_thread *thread = (struct vta_thread *)calloc(1, sizeof *thread);
    if (thread == NULL) return ENOMEM;
    thread->body = body;
    thread->argument = argument;
    for (size_t at = 0; at < sizeof thread->name - 1 && name[at] != 0; at++) thread->name[at] = name[at];
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t started;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int problem = pthread_create(&started, &attributes, vta_thread_begin, thread);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (problem != 0) free(thread);
    return problem;
}

static inline void *vta_wait_for_release(void *gate) {
    pthread_mutex_lock((pthread_mutex_t *)gate);
    pthread_mutex_unlock((pthread_mutex_t *)gate);
    return NULL;
}
// Has so many threads, at most 16, at once and ends them; 0, or why they cannot be had.
static inline int vta_try_threads(int count) {
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[16];
    int started = 0, problem = 0;
    pthread_mutex_lock(&gate);
    while (started < count && started < 16 && problem == 0) {
        problem = pthread_create(&threads[started], NULL, vta_wait_for_release, &gate);
        if (problem == 0) started++;
    }
    pthread_mutex_unlock(&gate);
    while (started > 0) pthread_join(threads[--started], NULL);
    return problem;
}
