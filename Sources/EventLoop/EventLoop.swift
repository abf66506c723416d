// EventLoop: the one thread on which everything that changes happens: sockets, timers, signals, actors, tasks.
//
// A thread that sleeps in an epoll set of its own, and no Dispatch queue: with that, each event woke a manager thread, which
// woke one of up to a dozen workers, which woke once more to end. docs/design/0006 has the figures.

private import CLinux
package import Diagnosis
private import Glibc
package import Timekeeping

/// What to wait for on a descriptor, and what came.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    package static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    /// An error or a hang-up; always reported, never asked for.
    package static let failed = Readiness(rawValue: EPOLLERR.rawValue)

    /// The kernel's events, its two kinds of failure as one.
    init(events: UInt32) {
        rawValue = events & EPOLLHUP.rawValue == 0 ? events : events | EPOLLERR.rawValue
    }
}

/// Names one watched descriptor.
package struct Watch: Hashable, Sendable {
    let identifier: UInt64
    let descriptor: Int32
}

/// The agent's thread, as its executor and its clocks.
///
/// Handlers, alarms and jobs run one at a time on it. Idle, it causes no wake-ups. It ends when nobody holds the loop any
/// more.
package final class EventLoop: SerialExecutor, TaskExecutor, Timekeeper, Sendable {
    private let thread: LoopThread

    /// `label`: the thread's name, of which the kernel shows 15 bytes. Throws `internalFault` where the kernel has no
    /// descriptor or no thread left.
    package init(label: String) throws(AgentError) {
        thread = try LoopThread(label: label)
        try thread.start()
    }

    deinit {
        thread.end()
    }

    /// Whether the caller runs on this loop.
    package var isCurrent: Bool { thread.isCurrent }

    /// Has the loop call `body` after all that was given to it before. From any thread.
    package func submit(_ body: @escaping @Sendable () -> Void) {
        thread.submit(.call(body))
    }

    // MARK: Descriptors

    /// Calls `handler` whenever `descriptor` is ready, until ``unwatch(_:)``. On the loop only. The descriptor stays the
    /// caller's: unwatch it before closing it.
    package func watch(
        _ descriptor: Int32, for interest: Readiness, handler: @escaping @Sendable (Readiness) -> Void
    ) -> Watch {
        checkIsolated()
        return thread.watch(descriptor, for: interest, handler: handler)
    }

    package func change(_ watch: Watch, to interest: Readiness) {
        checkIsolated()
        thread.change(watch, to: interest)
    }

    package func unwatch(_ watch: Watch) {
        checkIsolated()
        thread.unwatch(watch)
    }

    // MARK: Clocks

    package var now: Instant { .now }

    package var wallTime: WallTime {
        WallTime(nanosecondsSince1970: vta_clock_nanoseconds(CLOCK_REALTIME))
    }

    package func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        checkIsolated()
        return thread.schedule(at: moment, body)
    }

    /// May be called from any thread; called off for sure only from the loop.
    package func cancel(_ alarm: Alarm) {
        if isCurrent {
            thread.cancel(alarm)
        } else {
            submit { [thread] in thread.cancel(alarm) }
        }
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        thread.submit(.job(UnownedJob(job), self))
    }

    /// On the loop's thread only, which holds the loop meanwhile.
    func run(_ job: UnownedJob) {
        // SAFETY: each job is run once, where it was taken out, by the executor that it was given to.
        unsafe job.runSynchronously(
            isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
    }

    /// Stops the process where the caller does not run on this loop.
    package func checkIsolated() {
        precondition(isCurrent, "called from outside the event loop")
    }

    package func isIsolatingCurrentContext() -> Bool? {
        isCurrent
    }
}
