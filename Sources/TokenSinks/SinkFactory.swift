// TokenSinks: makes sinks and owns what they share.

package import Diagnosis
package import EventLoop
package import Logging

/// Makes the sinks of one process. Belongs to the agent's actor.
package final class SinkFactory {
    private let loop: EventLoop
    private let log: Logger
    private lazy var watcher = makeWatcher()
    private var queues: [BlockingQueue?] = Array(repeating: nil, count: queueLimit)

    package init(loop: EventLoop, log: Logger) {
        self.loop = loop
        self.log = log
    }

    /// Where the kernel has no inotify instance left, sinks are not watched: what happens to them is noticed when the
    /// token is renewed.
    private func makeWatcher() -> DirectoryWatcher? {
        do throws(SystemFault) {
            let watcher = try DirectoryWatcher(loop: loop)
            watcher.assumeIsolated { $0.start() }
            return watcher
        } catch {
            log.warning(
                "sinks cannot be watched: raise fs.inotify.max_user_instances",
                metadata: ["reason": "\(error.observed)"])
            return nil
        }
    }

    /// Throws `configurationInvalid` for settings that cannot work; touches nothing outside the process.
    package func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        switch settings.place {
        case .file(let place):
            return try FileSink(settings, place, queue: queue(for: place.path), watcher: watcher, log: log)
        case .socket(let place):
            throw AgentError(.configurationInvalid, "a sink of type socket (\(place.path)) cannot be made yet")
        }
    }

    /// Most threads that can wait for disks at one time. A dead network file system holds up the sinks of its own queue.
    private static let queueLimit = 4

    /// The queue for a path: the same for all of one directory.
    private func queue(for path: String) -> BlockingQueue {
        let directory = splitPath(path)?.directory ?? path
        let index =
            Int(directory.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 })
            % Self.queueLimit
        let queue = queues[index] ?? BlockingQueue(label: "vault-token-agent.sinks.\(index)")
        queues[index] = queue
        return queue
    }
}
