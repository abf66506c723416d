// TokenSinks: keeps an eye on one sink's path and reports what others do to it.

private import Dispatch
internal import EventLoop
internal import FileSystem
internal import FileWatch
internal import Logging
private import SystemCalls
internal import Timekeeping

/// How often a sink may be reported as disturbed: ten times at once, then once every five seconds. Two programs that
/// each insist on their own content must not keep each other busy.
struct ReportAllowance: Sendable {
    static let burst: Int64 = 10
    static let interval: Duration = .seconds(5)

    /// When the allowance would be full again. Earlier than now: it is.
    private var fullAt: Instant?

    /// Takes one report from the allowance, or says when there will be one.
    mutating func take(at now: Instant) -> Instant? {
        let full = max(fullAt ?? now, now)
        let spent = full - now
        let limit = Duration.nanoseconds(Self.interval.nanoseconds * (Self.burst - 1))
        if spent > limit { return full - limit }
        fullAt = full + Self.interval
        return nil
    }
}

/// Looks at a sink when the kernel says that something has happened to it. Lives on the event loop.
actor SinkGuard {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// Between an event and the look at the sink: those who change a file often do so in several steps.
    private static let settling: Duration = .milliseconds(20)

    private let watcher: DirectoryWatcher
    private let queue: BlockingQueue
    /// For the log.
    private let sink: String
    private let directory: String
    private let name: String
    /// A file on which it depends what the sink is to hold.
    private let readerKey: String?
    private let log: Logger
    private let inspect: @Sendable () -> SinkDisturbance?
    private let onDisturbed: @Sendable (SinkDisturbance) -> Void
    private var subscriber: DirectoryWatcher.Subscriber?
    private var alarm: Alarm?
    private var isStopped = false
    private var isLooking = false
    private var mustLookAgain = false
    private var allowance = ReportAllowance()
    private var hasWarned = false

    /// `inspect` is called on `queue`, `onDisturbed` on the loop's.
    init(
        watcher: DirectoryWatcher, queue: BlockingQueue, sink: String, directory: String, name: String,
        readerKey: String?, log: Logger, inspect: @escaping @Sendable () -> SinkDisturbance?,
        onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void
    ) {
        loop = watcher.loop
        self.watcher = watcher
        self.queue = queue
        self.sink = sink
        self.directory = directory
        self.name = name
        self.readerKey = readerKey
        self.log = log
        self.inspect = inspect
        self.onDisturbed = onDisturbed
    }

    func start() {
        subscriber = watcher.assumeIsolated { watcher in
            watcher.subscribe { [weak self] in self?.assumeIsolated { $0.notice() } }
        }
        look()
    }

    func stop() {
        isStopped = true
        if let alarm { loop.cancel(alarm) }
        guard let subscriber else { return }
        watcher.assumeIsolated { $0.unsubscribe(subscriber) }
    }

    private func notice() {
        guard !isLooking else {
            mustLookAgain = true
            return
        }
        lookLater(at: loop.now + Self.settling)
    }

    private func lookLater(at moment: Instant) {
        guard alarm == nil, !isStopped else { return }
        alarm = loop.schedule(at: moment) { [weak self] in
            self?.assumeIsolated { sinkGuard in
                sinkGuard.alarm = nil
                sinkGuard.look()
            }
        }
    }

    /// Watches first and looks then, so that nothing happens in between unseen.
    private func look() {
        isLooking = true
        mustLookAgain = false
        watcher.assumeIsolated { $0.willArm() }
        queue.submit { [watcher, directory, name, readerKey, inspect, loop] in
            let own = watcher.arm(directory: directory, name: name)
            let targets = readerKey.map { own.union(watcher.arm(following: $0)) } ?? own
            let disturbance = inspect()
            loop.queue.async { self.assumeIsolated { $0.hasLooked(targets, disturbance) } }
        }
    }

    private func hasLooked(_ targets: DirectoryWatcher.Targets, _ disturbance: SinkDisturbance?) {
        isLooking = false
        guard let subscriber else { return }
        let areNew = watcher.assumeIsolated { $0.didArm(subscriber, targets) }
        guard !isStopped else { return }
        if let fault = targets.fault, !hasWarned {
            hasWarned = true
            log.warning(
                "sink cannot be watched: changes are noticed at the next renewal only",
                metadata: ["sink": "\(sink)", "reason": "\(fault.observed)"])
        }
        if let disturbance {
            if let moment = allowance.take(at: loop.now) {
                lookLater(at: moment)
                return
            }
            onDisturbed(disturbance)
        }
        if areNew || mustLookAgain { lookLater(at: loop.now + Self.settling) }
    }
}
