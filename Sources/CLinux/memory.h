// How glibc's heap takes memory from the kernel and gives it back.
#pragma once
#include <malloc.h>

// One heap for all threads, where glibc would give each its own: what one has freed another may use. And blocks of 128 KiB
// and more go back to the kernel when they are freed, where glibc would raise that limit to the largest it has seen.
static inline void vta_share_one_heap(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

// The pages that nothing on the heap uses go back to the kernel, also those below pages in use.
static inline void vta_give_memory_back(void) { malloc_trim(0); }
