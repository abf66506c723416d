// EventLoop: the loop's thread: what it has been given to do, what it waits for, how it sleeps and is woken.

private import CLinux
internal import Diagnosis
private import Glibc
private import Synchronization
internal import Timekeeping

/// One thread, one epoll set. It ends after ``end()``, when nothing is left to do, and then closes its descriptors.
///
/// Asleep it is woken by a descriptor, by the timer of the earliest alarm, and by work from other threads; by nothing else.
final class LoopThread: @unchecked Sendable {
    enum Work {
        case call(@Sendable () -> Void)
        case job(UnownedJob, EventLoop)
    }

    private struct Mailbox {
        var work: [Work] = []
        var isAsleep = false
        var isEnding = false
    }

    private let mailbox = Mutex(Mailbox())
    private let label: String
    private let epoll: Int32
    private let timer: Int32
    /// Counts up when work from another thread comes while this one sleeps.
    private let bell: Int32
    /// The thread's own name for itself; 0 before it runs.
    private let identity = Atomic<UInt>(0)

    // Touched on the thread only.
    private var handlers: [UInt64: @Sendable (Readiness) -> Void] = [:]
    private var lastWatch: UInt64 = 0
    private var alarms = AlarmQueue()
    private var armedFor: Instant?

    /// Not watched by anybody but the thread itself.
    private static let (timerMark, bellMark) = (UInt64.max, UInt64.max - 1)

    /// Throws `internalFault` where the kernel has no descriptor or no thread left.
    init(label: String) throws(AgentError) {
        self.label = label
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        timer = timerfd_create(CLOCK_BOOTTIME, Int32(TFD_NONBLOCK | TFD_CLOEXEC))
        bell = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard epoll >= 0, timer >= 0, bell >= 0 else {
            throw AgentError(
                .internalFault, "no descriptor for the event loop: errno \(errno)", remedy: "Raise LimitNOFILE")
        }
        control(EPOLL_CTL_ADD, timer, mark: Self.timerMark, .readable)
        control(EPOLL_CTL_ADD, bell, mark: Self.bellMark, .readable)
    }

    deinit {
        for descriptor in [epoll, timer, bell] where descriptor >= 0 { close(descriptor) }
    }

    // MARK: Life

    func start() throws(AgentError) {
        var thread = pthread_t()
        let held = unsafe Unmanaged.passRetained(self)
        // SAFETY: the new thread takes the reference over; where there is none, it is given back here.
        let problem = unsafe pthread_create(&thread, nil, runLoopThread, held.toOpaque())
        guard problem == 0 else {
            unsafe held.release()
            throw AgentError(.internalFault, "no thread for the event loop: errno \(problem)", remedy: "Raise TasksMax")
        }
        pthread_detach(thread)
    }

    /// To be called once, from any thread.
    func end() {
        wake { $0.isEnding = true }
    }

    var isCurrent: Bool {
        identity.load(ordering: .relaxed) == UInt(pthread_self())
    }

    /// Has the thread do this after all that was given before. From any thread.
    func submit(_ work: Work) {
        if isCurrent {
            mailbox.withLock { $0.work.append(work) }
        } else {
            wake { $0.work.append(work) }
        }
    }

    private func wake(_ change: (inout sending Mailbox) -> Void) {
        let mustRing = mailbox.withLock { mailbox in
            change(&mailbox)
            defer { mailbox.isAsleep = false }
            return mailbox.isAsleep
        }
        guard mustRing else { return }
        var one: UInt64 = 1
        // SAFETY: the kernel reads eight bytes of a variable that outlives the call.
        _ = unsafe write(bell, &one, MemoryLayout<UInt64>.size)
    }

    fileprivate func run() {
        identity.store(UInt(pthread_self()), ordering: .relaxed)
        // Signals are for those who ask for them; none of them interrupts what is done here.
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, nil)
        unsafe vta_name_thread(label)
        var batch: [Work] = []
        while true {
            mailbox.withLock { swap(&$0.work, &batch) }
            for work in batch {
                switch work {
                case .call(let body): body()
                case .job(let job, let loop): loop.run(job)
                }
            }
            batch.removeAll(keepingCapacity: true)
            armTimer()
            let (isDone, isIdle) = mailbox.withLock { mailbox in
                let isIdle = mailbox.work.isEmpty
                mailbox.isAsleep = isIdle && !mailbox.isEnding
                return (isIdle && mailbox.isEnding, isIdle)
            }
            if isDone { return }
            serve(waiting: isIdle)
        }
    }

    // MARK: Descriptors

    func watch(
        _ descriptor: Int32, for interest: Readiness, handler: @escaping @Sendable (Readiness) -> Void
    ) -> Watch {
        lastWatch += 1
        handlers[lastWatch] = handler
        control(EPOLL_CTL_ADD, descriptor, mark: lastWatch, interest)
        return Watch(identifier: lastWatch, descriptor: descriptor)
    }

    func change(_ watch: Watch, to interest: Readiness) {
        control(EPOLL_CTL_MOD, watch.descriptor, mark: watch.identifier, interest)
    }

    func unwatch(_ watch: Watch) {
        guard handlers.removeValue(forKey: watch.identifier) != nil else { return }
        control(EPOLL_CTL_DEL, watch.descriptor, mark: watch.identifier, [])
    }

    private func control(_ operation: Int32, _ descriptor: Int32, mark: UInt64, _ interest: Readiness) {
        var event = unsafe epoll_event()
        unsafe event.events = interest.rawValue
        unsafe event.data.u64 = mark
        // SAFETY: the kernel copies `event` before the call returns.
        let result = unsafe epoll_ctl(epoll, operation, descriptor, &event)
        // A descriptor closed by its owner has left the set already; anything else is our own fault.
        precondition(result == 0 || operation == EPOLL_CTL_DEL, "epoll_ctl \(operation) failed: errno \(errno)")
    }

    /// Serves what is ready, a batch of it; where nothing is, sleeps until something is, if it may.
    private func serve(waiting: Bool) {
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            // SAFETY: the kernel writes at most 64 events into the 64 that were allocated, and says how many.
            let count = unsafe epoll_wait(epoll, events.baseAddress, 64, waiting ? -1 : 0)
            mailbox.withLock { $0.isAsleep = false }
            guard count > 0 else { return }
            for index in 0..<Int(count) {
                let event = unsafe events[index]
                switch unsafe event.data.u64 {
                case Self.timerMark: ring()
                case Self.bellMark: silenceBell()
                // A handler before this one in the batch may have unwatched it.
                case let mark: unsafe handlers[mark]?(Readiness(events: event.events))
                }
            }
        }
    }

    private func silenceBell() {
        var count: UInt64 = 0
        // SAFETY: the kernel writes eight bytes into a variable that outlives the call.
        _ = unsafe read(bell, &count, MemoryLayout<UInt64>.size)
    }

    // MARK: Alarms

    func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        alarms.insert(at: moment, body)
    }

    func cancel(_ alarm: Alarm) {
        alarms.remove(alarm)
    }

    private func ring() {
        var expirations: UInt64 = 0
        // SAFETY: as for the bell.
        _ = unsafe read(timer, &expirations, MemoryLayout<UInt64>.size)
        armedFor = nil
        let due = Instant.now
        while let body = alarms.popDue(at: due) { body() }
    }

    /// Once before each sleep, whatever was scheduled and called off since the last one.
    private func armTimer() {
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
}

extension Instant {
    /// Time since boot, suspend included.
    static var now: Instant { Instant(nanoseconds: vta_clock_nanoseconds(CLOCK_BOOTTIME)) }
}

/// The thread's beginning.
private func runLoopThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    // SAFETY: `start` gave this thread a reference of its own.
    unsafe Unmanaged<LoopThread>.fromOpaque(context).takeRetainedValue().run()
    return nil
}
