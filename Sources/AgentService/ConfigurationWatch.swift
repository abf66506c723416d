// AgentService: notices that the configuration's file holds something else than what was read last.

import Configuration
import Crypto
import Diagnosis
import Dispatch
import EventLoop
import FileSystem
import FileWatch
import Glibc
import Logging
import SystemCalls
import Timekeeping

/// Watches one file, through all links that lead to it. Lives on the event loop; what may wait for a disk does so elsewhere.
actor ConfigurationWatch {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// Nothing must have happened for so long: who writes the file in several steps is to be done.
    static let quiet: Duration = .seconds(1)
    /// So long after the first event the file is looked at, however many more have come.
    static let longestUnrest: Duration = .seconds(10)

    private let path: String
    private let log: Logger
    private let watcher: DirectoryWatcher
    private let disk: BlockingQueue
    private let whenChanged: @Sendable () -> Void
    /// Digest of what was read last; what is that is no change, however often it is written.
    private var known: [UInt8]
    private var subscriber: DirectoryWatcher.Subscriber?
    private var alarm: Alarm?
    private var unrestSince: Instant?
    private var isLooking = false
    private var hasWarned = false

    /// `path` is absolute; it is looked at on `disk`. `whenChanged` is called on the loop's queue. Throws where the kernel grants
    /// no inotify instance.
    init(
        _ path: String, known: [UInt8], on loop: EventLoop, disk: BlockingQueue, log: Logger,
        whenChanged: @escaping @Sendable () -> Void
    ) throws(SystemFault) {
        self.path = path
        self.known = known
        self.loop = loop
        self.disk = disk
        self.log = log
        self.whenChanged = whenChanged
        watcher = try DirectoryWatcher(loop: loop)
    }

    func start() throws(SystemFault) {
        try watcher.assumeIsolated { watcher in Result { () throws(SystemFault) in try watcher.start() } }.get()
        subscriber = watcher.assumeIsolated { watcher in
            watcher.subscribe { [weak self] in self?.assumeIsolated { $0.notice() } }
        }
        look()
    }

    func stop() {
        if let alarm { loop.cancel(alarm) }
        alarm = nil
        guard let subscriber else { return }
        watcher.assumeIsolated { $0.unsubscribe(subscriber) }
        self.subscriber = nil
    }

    /// The file was read, by whatever occasion.
    func read(_ digest: [UInt8]) {
        known = digest
    }

    private func notice() {
        guard subscriber != nil else { return }
        let since = unrestSince ?? loop.now
        unrestSince = since
        if let alarm { loop.cancel(alarm) }
        let moment = min(loop.now + Self.quiet, since + Self.longestUnrest)
        alarm = loop.schedule(at: moment) { [weak self] in self?.assumeIsolated { $0.look() } }
    }

    private func look() {
        guard subscriber != nil, !isLooking else { return }
        (alarm, unrestSince, isLooking) = (nil, nil, true)
        watcher.assumeIsolated { $0.willArm() }
        let (watcher, path, loop) = (watcher, path, loop)
        disk.submit {
            let targets = watcher.arm(following: path)
            let digest = Self.digest(of: path)
            loop.queue.async { self.assumeIsolated { $0.looked(targets, digest) } }
        }
    }

    private func looked(_ targets: DirectoryWatcher.Targets, _ digest: [UInt8]?) {
        isLooking = false
        guard let subscriber else { return }
        if let fault = targets.fault, !hasWarned {
            hasWarned = true
            log.warning(
                "Changes of the configuration's file may go unnoticed", metadata: ["reason": "\(fault.observed)"])
        }
        let mayHaveMissed = watcher.assumeIsolated { $0.didArm(subscriber, targets) }
        if let digest, digest != known {
            known = digest
            whenChanged()
        }
        if mayHaveMissed { notice() }
    }

    /// Nil where there is no such file, or none of a bearable length.
    private static func digest(of path: String) -> [UInt8]? {
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK
        guard let file = try? Descriptor(unsafe open(path, flags), "open", path) else { return nil }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= SourceText.sizeLimit {
            // SAFETY: the kernel writes at most as many bytes as the array has.
            let more = retryingOnSignal { unsafe Glibc.read(file.number, &chunk, chunk.count) }
            guard more >= 0 else { return nil }
            if more == 0 { return SHA256.digest(of: bytes) }
            bytes += chunk[..<more]
        }
        return nil
    }
}
