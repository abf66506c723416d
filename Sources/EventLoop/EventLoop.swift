// EventLoop: one serial Dispatch queue on which everything that changes happens: sockets, timers, actors, tasks.
//
// One epoll set of our own, watched by one Dispatch source, holds every descriptor. A Dispatch source for each descriptor
// would lose events when libcurl closes a socket and the number is used again at once.

private import CLinux
package import Diagnosis
package import Dispatch
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
    fileprivate init(events: UInt32) {
        rawValue = events & EPOLLHUP.rawValue == 0 ? events : events | EPOLLERR.rawValue
    }
}

/// Names one watched descriptor.
package struct Watch: Hashable, Sendable {
    fileprivate let identifier: UInt64
    fileprivate let descriptor: Int32
}

/// The agent's queue, its executor and its clocks.
///
/// Handlers, alarms and jobs run one at a time on ``queue``. Idle, it causes no wake-ups.
package final class EventLoop: SerialExecutor, TaskExecutor, Timekeeper, @unchecked Sendable {
    /// Serial and without a target: a target, or any global queue, costs a wake-up each second.
    package let queue: DispatchQueue
    private let key = DispatchSpecificKey<ObjectIdentifier>()
    private let epoll: Int32
    private let timer: Int32
    private let source: any DispatchSourceRead

    // Touched on `queue` only.
    private var handlers: [UInt64: @Sendable (Readiness) -> Void] = [:]
    private var lastWatch: UInt64 = 0
    private var alarms = AlarmQueue()
    private var armedFor: Instant?

    /// Throws `internalFault` where the kernel has no descriptor left.
    package init(label: String) throws(AgentError) {
        queue = DispatchQueue(label: label)
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        timer = timerfd_create(CLOCK_BOOTTIME, Int32(TFD_NONBLOCK | TFD_CLOEXEC))
        guard epoll >= 0, timer >= 0 else {
            let code = errno
            close(epoll)
            close(timer)
            throw AgentError(
                .internalFault, "no descriptor for the event loop: errno \(code)", remedy: "Raise LimitNOFILE")
        }
        source = DispatchSource.makeReadSource(fileDescriptor: epoll, queue: queue)
        queue.setSpecific(key: key, value: ObjectIdentifier(self))
        source.setEventHandler { [weak self] in self?.drain() }
        source.activate()
        queue.async { [weak self] in
            guard let self else { return }
            _ = watch(timer, for: .readable) { [weak self] _ in self?.timerFired() }
        }
    }

    deinit {
        let (epoll, timer) = (epoll, timer)
        source.setCancelHandler {
            close(timer)
            close(epoll)
        }
        source.cancel()
    }

    /// Whether the caller runs on this loop's queue.
    package var isCurrent: Bool {
        DispatchQueue.getSpecific(key: key) == ObjectIdentifier(self)
    }

    // MARK: Descriptors

    /// Calls `handler` whenever `descriptor` is ready, until ``unwatch(_:)``. On the queue only. The descriptor stays the
    /// caller's: unwatch it before closing it.
    package func watch(
        _ descriptor: Int32, for interest: Readiness, handler: @escaping @Sendable (Readiness) -> Void
    ) -> Watch {
        dispatchPrecondition(condition: .onQueue(queue))
        lastWatch += 1
        let watch = Watch(identifier: lastWatch, descriptor: descriptor)
        handlers[watch.identifier] = handler
        control(EPOLL_CTL_ADD, watch, interest)
        return watch
    }

    package func change(_ watch: Watch, to interest: Readiness) {
        dispatchPrecondition(condition: .onQueue(queue))
        control(EPOLL_CTL_MOD, watch, interest)
    }

    package func unwatch(_ watch: Watch) {
        dispatchPrecondition(condition: .onQueue(queue))
        guard handlers.removeValue(forKey: watch.identifier) != nil else { return }
        control(EPOLL_CTL_DEL, watch, [])
    }

    private func control(_ operation: Int32, _ watch: Watch, _ interest: Readiness) {
        var event = unsafe epoll_event()
        unsafe event.events = interest.rawValue
        unsafe event.data.u64 = watch.identifier
        // SAFETY: the kernel copies `event` before the call returns.
        let result = unsafe epoll_ctl(epoll, operation, watch.descriptor, &event)
        // A descriptor closed by its owner has left the set already; anything else is our own fault.
        precondition(result == 0 || operation == EPOLL_CTL_DEL, "epoll_ctl \(operation) failed: errno \(errno)")
    }

    private func drain() {
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            // SAFETY: the kernel writes at most 64 events into the 64 that were allocated, and says how many.
            let count = unsafe epoll_wait(epoll, events.baseAddress, 64, 0)
            guard count > 0 else { return }
            for index in 0..<Int(count) {
                let event = unsafe events[index]
                // A handler before this one in the batch may have unwatched it.
                unsafe handlers[event.data.u64]?(Readiness(events: event.events))
            }
        }
    }

    // MARK: Clocks

    package var now: Instant {
        Instant(nanoseconds: vta_clock_nanoseconds(CLOCK_BOOTTIME))
    }

    package var wallTime: WallTime {
        WallTime(nanosecondsSince1970: vta_clock_nanoseconds(CLOCK_REALTIME))
    }

    package func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        dispatchPrecondition(condition: .onQueue(queue))
        let alarm = alarms.insert(at: moment, body)
        rearm()
        return alarm
    }

    /// May be called from any thread; called off for sure only from the queue.
    package func cancel(_ alarm: Alarm) {
        guard isCurrent else {
            queue.async { self.cancel(alarm) }
            return
        }
        alarms.remove(alarm)
        rearm()
    }

    private func timerFired() {
        var expirations: UInt64 = 0
        _ = unsafe read(timer, &expirations, MemoryLayout<UInt64>.size)
        armedFor = nil
        let due = now
        while let body = alarms.popDue(at: due) { body() }
        rearm()
    }

    private func rearm() {
        guard alarms.earliest != armedFor else { return }
        armedFor = alarms.earliest
        var setting = itimerspec()
        if let moment = armedFor {
            // Zero would disarm; a moment in the past rings at once.
            let nanoseconds = max(1, moment.nanoseconds)
            setting.it_value = timespec(
                tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        }
        // SAFETY: the kernel copies `setting` before the call returns; nil asks for no old value.
        unsafe timerfd_settime(timer, Int32(TFD_TIMER_ABSTIME), &setting, nil)
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async {
            // SAFETY: the executor outlives the jobs it was given: each closure holds `self`.
            unsafe job.runSynchronously(
                isolatedTo: self.asUnownedSerialExecutor(), taskExecutor: self.asUnownedTaskExecutor())
        }
    }

    package func checkIsolated() {
        dispatchPrecondition(condition: .onQueue(queue))
    }

    package func isIsolatingCurrentContext() -> Bool? {
        isCurrent
    }
}
