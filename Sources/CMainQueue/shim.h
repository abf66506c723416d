// How a loop of one's own serves Dispatch's main queue. libdispatch exports these for CoreFoundation's run loop and declares them
// in its private headers; they have not changed since Swift came to Linux, and Swift's own Foundation stands on them.
#ifndef CMAINQUEUE_H
#define CMAINQUEUE_H

// The eventfd that becomes readable when work is put on the main queue. Dispatch's own: not to be closed.
extern int _dispatch_get_main_queue_handle_4CF(void);

// Does all work that is on the main queue. On the main thread only.
extern void _dispatch_main_queue_callback_4CF(void *unused);

#endif
