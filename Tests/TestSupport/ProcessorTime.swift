// TestSupport: what a piece of work costs, whoever else is at work on the machine.

private import Glibc

/// How long this thread computed for it. Another program's work does not count, nor what is done on other threads.
package func processorTime(of body: () throws -> Void) rethrows -> Duration {
    let began = processorTime()
    try body()
    return processorTime() - began
}

/// How long this thread has computed.
package func processorTime() -> Duration {
    var time = timespec()
    // SAFETY: the kernel writes one structure.
    guard unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0 else { fatalError("no clock of this thread") }
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}
