// TokenSinks: makes sinks and owns what they share.

private import ChildProcess
package import Diagnosis
package import EventLoop
internal import FileSystem
internal import FileWatch
private import Glibc
package import Logging
internal import SystemCalls

/// Makes the sinks of one process. Belongs to the agent's actor.
package final class SinkFactory {
    private let loop: EventLoop
    private let log: Logger
    private let agent: Int32
    private let watches: Bool
    private lazy var watcher = watches ? makeWatcher() : nil
    private var queues: [BlockingQueue] = []
    private var queueOfDirectory: [String: BlockingQueue] = [:]

    /// - Parameters:
    ///   - watches: Whether sinks notice what happens to them. A process that ends once it has written needs none of that, and
    ///     the end of a watch takes the kernel some 10 ms.
    ///   - agent: The process whose sockets may stand where a sink is to be; nil: this one.
    package init(loop: EventLoop, log: Logger, watches: Bool = true, agent: Int32? = nil) {
        self.loop = loop
        self.log = log
        self.watches = watches
        self.agent = agent ?? getpid()
    }

    /// Where the kernel has no inotify instance left, sinks are not watched: what happens to them is noticed when the
    /// token is renewed.
    private func makeWatcher() -> DirectoryWatcher? {
        do throws(SystemFault) {
            let watcher = try DirectoryWatcher(loop: loop)
            try watcher.assumeIsolated { watcher in Result { () throws(SystemFault) in try watcher.start() } }.get()
            return watcher
        } catch {
            log.warning(
                "sinks cannot be watched",
                metadata: [
                    "reason": "\(error.observed)",
                    "remedy": "\(error.isOfLimits ? error.limitRemedy : "Raise fs.inotify.max_user_instances")",
                ])
            return nil
        }
    }

    /// Throws `configurationInvalid` for settings that cannot work; touches nothing outside the process.
    package func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        switch settings.place {
        case .file(let place):
            return try FileSink(settings, place, queue: queue(for: place.path), watcher: watcher, log: log)
        case .socket(let place):
            return try SocketSink(
                settings, place, of: agent, loop: loop, queue: queue(for: place.path), watcher: watcher, log: log)
        }
    }

    /// The runner of an `on_change` action. Its commands see PATH as the agent does, `about` (names and values that tell
    /// what has changed, and no secret), and nothing else.
    package func makeChangeRunner(_ action: ChangeAction, about: [String: String], log: Logger) -> ChangeRunner {
        var environment = about
        environment["PATH"] = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? Self.standardPath
        let path = if case .signal(_, let path) = action { path } else { "/" }
        return ChangeRunner(
            action, environment: environment, launcher: ChildLauncher(loop: loop), loop: loop, queue: queue(for: path),
            log: log)
    }

    /// What systemd gives to services.
    private static let standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"

    /// Most threads that can wait for disks at one time.
    private static let queueLimit = 8

    /// The queue for a path: each directory has its own, so that a dead network file system holds up its own sinks; from
    /// the ninth directory on they share.
    private func queue(for path: String) -> BlockingQueue {
        let directory = splitPath(path)?.directory ?? path
        if let queue = queueOfDirectory[directory] { return queue }
        if queues.count < Self.queueLimit {
            queues.append(BlockingQueue(name: "sinks \(queues.count + 1)"))
        }
        let queue = queues[queueOfDirectory.count % queues.count]
        queueOfDirectory[directory] = queue
        return queue
    }
}
