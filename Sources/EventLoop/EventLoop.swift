// EventLoop: one serial Dispatch queue on which everything that changes happens: sockets, timers, actors, tasks.
//
// One epoll set of our own, watched by one Dispatch source, holds every descriptor. A Dispatch source for each descriptor
// would lose events when libcurl closes a socket and the number is used again at once.

internal import CLinux
package import Diagnosis
package import Dispatch
internal import Glibc
package import SystemCalls
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

/// The agent's queue, its executor and its clocks.
///
/// Handlers, alarms and jobs run one at a time on ``queue``. Idle, it causes no wake-ups.
package final class EventLoop: SerialExecutor, TaskExecutor, Timekeeper, @unchecked Sendable {
    /// Serial and without a target: a target, or any global queue, costs a wake-up each second.
    package let queue: DispatchQueue
    private let key = DispatchSpecificKey<ObjectIdentifier>()
    private let kernel: KernelSide
    private let source: any DispatchSourceRead

    // Touched on `queue` only.
    private var handlers: [UInt64: @Sendable (Readiness) -> Void] = [:]
    private var lastIdentifier: UInt64 = 0
    private var alarms = AlarmQueue()
    /// What the kernel's timer is set to.
    private var armedFor: Instant?
    private var willRing = false

    /// Throws `internalFault` where the kernel has no descriptor left, or grants neither the threads nor the memory.
    package init(label: String) throws(AgentError) {
        if let fault = WorkerRoom.fault { throw fault }
        queue = DispatchQueue(label: label)
        do throws(SystemFault) {
            kernel = try KernelSide()
        } catch {
            throw AgentError(
                .internalFault, "no event loop: \(error.observed)", remedy: error.limitRemedy)
        }
        source = DispatchSource.makeReadSource(fileDescriptor: kernel.epoll.number, queue: queue)
        queue.setSpecific(key: key, value: ObjectIdentifier(self))
        source.setEventHandler { [weak self] in self?.drain() }
        // Dispatch watches the set until it has cancelled the source; only then may its number be another's.
        source.setCancelHandler { [kernel] in withExtendedLifetime(kernel) {} }
        source.activate()
    }

    deinit {
        source.cancel()
    }

    /// Whether the caller runs on this loop's queue.
    package var isCurrent: Bool {
        DispatchQueue.getSpecific(key: key) == ObjectIdentifier(self)
    }

    // MARK: Descriptors

    /// Calls `handler` whenever the descriptor is ready, until the watch ends, which owns it from now on. On the queue only.
    ///
    /// Throws what the kernel says: no memory, no more watches for this user, nothing that can be watched. The descriptor
    /// is closed then.
    package func watch(
        _ descriptor: consuming Descriptor, for interest: Readiness, handler: @escaping @Sendable (Readiness) -> Void
    ) throws(SystemFault) -> Watch {
        let number = descriptor.number
        let identifier = try register(number, interest, handler)
        return Watch(identifier, owning: descriptor, in: self)
    }

    /// The same for a descriptor that somebody else owns, such as libcurl: the watch is to be ended before it is closed.
    package func watch(
        borrowed number: Int32, for interest: Readiness, handler: @escaping @Sendable (Readiness) -> Void
    ) throws(SystemFault) -> Watch {
        Watch(try register(number, interest, handler), borrowing: number, in: self)
    }

    private func register(
        _ number: Int32, _ interest: Readiness, _ handler: @escaping @Sendable (Readiness) -> Void
    ) throws(SystemFault) -> UInt64 {
        dispatchPrecondition(condition: .onQueue(queue))
        lastIdentifier += 1
        try kernel.watch(number, as: lastIdentifier, for: interest)
        handlers[lastIdentifier] = handler
        return lastIdentifier
    }

    /// For ``Watch`` alone.
    func change(_ number: Int32, as identifier: UInt64, to interest: Readiness) throws(SystemFault) {
        dispatchPrecondition(condition: .onQueue(queue))
        try kernel.change(number, as: identifier, to: interest)
    }

    /// For ``Watch`` alone. From any thread: off the queue, a handler whose event has been fetched may still be called.
    func forget(_ number: Int32, as identifier: UInt64) {
        kernel.forget(number)
        if isCurrent {
            handlers[identifier] = nil
        } else {
            queue.async { self.handlers[identifier] = nil }
        }
    }

    private func drain() {
        kernel.ready { identifier, readiness in
            if identifier == KernelSide.timerIdentifier { return timerFired() }
            // A handler before this one in the batch may have ended its watch.
            handlers[identifier]?(readiness)
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
        kernel.acknowledgeTimer()
        armedFor = nil
        ring()
    }

    private func ring() {
        let due = now
        while let body = alarms.popDue(at: due) { body() }
        rearm()
    }

    /// What is due already rings in the queue's next turn: the way through the kernel would cost two changes of threads more.
    private func rearm() {
        let earliest = alarms.earliest
        if let earliest, earliest <= now {
            guard !willRing else { return }
            willRing = true
            queue.async {
                self.willRing = false
                self.ring()
            }
        } else if earliest != armedFor {
            armedFor = earliest
            kernel.setTimer(earliest)
        }
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
