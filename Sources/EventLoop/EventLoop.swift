// EventLoop: one serial Dispatch queue on which everything that changes happens: sockets, timers, actors, tasks.
//
// One epoll set of our own holds every descriptor. A Dispatch source for each descriptor would lose events when libcurl closes a
// socket and the number is used again at once. In the agent the queue is the main one, and the main thread waits for the set:
// nothing that happens is handed from one thread to another. A loop with a queue of its own has one Dispatch source for the set.

internal import CLinux
private import CMainQueue
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
    /// The main one, or serial and without a target: a target, or any global queue, costs a wake-up each second.
    package let queue: DispatchQueue
    private let key = DispatchSpecificKey<ObjectIdentifier>()
    private let kernel: KernelSide
    /// Nil: the main thread waits for the set.
    private let source: (any DispatchSourceRead)?

    // Touched on `queue` only.
    private var handlers: [UInt64: @Sendable (Readiness) -> Void] = [:]
    private var lastIdentifier: UInt64 = 0
    private var alarms = AlarmQueue()
    /// What the kernel's timer is set to.
    private var armedFor: Instant?
    private var willRing = false

    /// A loop on a queue of its own, for which Dispatch finds the threads.
    ///
    /// Throws `internalFault` where the kernel has no descriptor left, or grants neither the threads nor the memory.
    package init(label: String) throws(AgentError) {
        kernel = try Self.kernelSide { (_) throws(SystemFault) in }
        queue = DispatchQueue(label: label)
        let source = DispatchSource.makeReadSource(fileDescriptor: kernel.epoll.number, queue: queue)
        self.source = source
        queue.setSpecific(key: key, value: ObjectIdentifier(self))
        source.setEventHandler { [weak self] in self?.drain(waiting: false) }
        // Dispatch watches the set until it has cancelled the source; only then may its number be another's.
        source.setCancelHandler { [kernel] in withExtendedLifetime(kernel) {} }
        source.activate()
    }

    /// The loop of the main thread, on the main queue. It stands still until ``run(until:)``; there is one at a time.
    ///
    /// Throws as ``init(label:)`` does.
    package static func ofMainThread() throws(AgentError) -> EventLoop {
        EventLoop(
            onMainQueue: try kernelSide { (kernel) throws(SystemFault) in
                // Where there is no descriptor left for an eventfd of its own, Dispatch ends the process without a word.
                _ = try Descriptor(eventfd(0, Int32(EFD_CLOEXEC)), "eventfd", "(main queue)")
                try kernel.watch(
                    _dispatch_get_main_queue_handle_4CF(), as: KernelSide.mainQueueIdentifier, for: .readable)
            })
    }

    private init(onMainQueue kernel: KernelSide) {
        self.kernel = kernel
        queue = .main
        source = nil
        queue.setSpecific(key: key, value: ObjectIdentifier(self))
    }

    private static func kernelSide(
        _ prepare: (KernelSide) throws(SystemFault) -> Void
    ) throws(AgentError) -> KernelSide {
        if let fault = WorkerRoom.fault { throw fault }
        do throws(SystemFault) {
            let kernel = try KernelSide()
            try prepare(kernel)
            return kernel
        } catch {
            throw AgentError(
                .internalFault, "no event loop: \(error.observed)", remedy: error.limitRemedy)
        }
    }

    deinit {
        source?.cancel()
    }

    /// Works on the calling thread, which must be the main one, until `isOver`, which is asked after each piece of work: whoever
    /// changes the answer from another thread puts something on ``queue``. For a loop ``ofMainThread()`` only.
    package func run(until isOver: () -> Bool) {
        precondition(source == nil, "a loop with a queue of its own is Dispatch's to run")
        dispatchPrecondition(condition: .onQueue(queue))
        while !isOver() { drain(waiting: true) }
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

    private func drain(waiting: Bool) {
        kernel.ready(waiting: waiting) { identifier, readiness in
            switch identifier {
            case KernelSide.timerIdentifier: timerFired()
            case KernelSide.mainQueueIdentifier: serveMainQueue()
            // A handler before this one in the batch may have ended its watch.
            default: handlers[identifier]?(readiness)
            }
        }
    }

    private func serveMainQueue() {
        kernel.acknowledge(_dispatch_get_main_queue_handle_4CF())
        _dispatch_main_queue_callback_4CF(nil)
    }

    // MARK: Clocks

    package var now: Instant {
        Instant(nanoseconds: vta_clock_nanoseconds(CLOCK_BOOTTIME))
    }

    package var wallTime: WallTime {
        WallTime(nanosecondsSince1970: vta_clock_nanoseconds(CLOCK_REALTIME))
    }

    package var processorTime: Duration {
        .nanoseconds(vta_clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID))
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

    /// What is due already rings in the queue's next turn, without the kernel's timer.
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
