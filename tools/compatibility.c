// Functions that glibc has had since 2.35 and 2.36 only, or in another version since then, for what is linked statically and
// would ask for them: the release build starts with glibc 2.34.
#include <math.h>
#include <stddef.h>
#include <sys/random.h>

// expat's, to salt its hash tables. getrandom ends early only for a signal, and then it is asked again.
void arc4random_buf(void *buffer, size_t size) {
    for (size_t have = 0; have < size;) {
        ssize_t count = getrandom((char *)buffer + have, size - have, 0);
        if (count > 0) have += (size_t)count;
    }
}

// Swift's. Exact: the squares of floats have no rounding error as doubles.
float hypotf(float x, float y) {
    if (isinf(x) || isinf(y)) return INFINITY;
    return (float)sqrt((double)x * x + (double)y * y);
}

// libgcc's, to look for tables for unwinding the stack. This binary has none: nothing is found.
int _dl_find_object(void *address, void *result) {
    (void)address;
    (void)result;
    return -1;
}
