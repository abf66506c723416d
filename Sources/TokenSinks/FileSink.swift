// TokenSinks: a file that applications read, kept as it should be.

package import Crypto
package import Diagnosis
internal import FileSystem
internal import FileWatch
internal import Logging

/// A token in a file. Its work on the disk happens on a queue of its own.
package final class FileSink: TokenSink {
    package let name: String
    package private(set) var standing: SinkStanding?
    private let settings: SinkSettings
    private let file: KeptFile
    private let envelope: Envelope?
    private let queue: BlockingQueue
    private let watcher: DirectoryWatcher?
    private var sinkGuard: SinkGuard?
    private let log: Logger

    /// Throws `configurationInvalid` for a path that cannot be one.
    init(
        _ settings: SinkSettings, _ place: FilePlace, queue: BlockingQueue, watcher: DirectoryWatcher?, log: Logger
    ) throws(AgentError) {
        name = "file \(place.path)"
        self.settings = settings
        envelope = settings.encryption.map { Envelope(settings: $0) }
        file = try KeptFile(place, envelope)
        self.queue = queue
        self.watcher = watcher
        self.log = log
    }

    package func check() async throws(AgentError) {
        let (file, envelope) = (file, envelope)
        let (report, standing) = try await queue.run { () throws(AgentError) in
            var report = try file.check()
            do throws(AgentError) {
                _ = try envelope?.readerKey()
            } catch {
                report.warnings.append("there is no key of the reader's yet: \(error.observed)")
            }
            return (report, SinkStanding(file.name, in: file.directory))
        }
        self.standing = standing
        record(report)
    }

    package func open() async throws(AgentError) {}

    @discardableResult
    package func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        let file = file
        let rendering = try Rendering(
            content, format: settings.format, newline: settings.newline, wraps: settings.wrapTTL != nil)
        let report = try await queue.run { () throws(AgentError) in try file.put(rendering) }
        record(report)
        return report.delivery
    }

    package func heldToken() async -> Secret? {
        guard settings.wrapTTL == nil, settings.encryption == nil else { return nil }
        let file = file
        let content = try? await queue.run { () throws(AgentError) in file.content() }
        return content.flatMap { $0 }.flatMap { settings.format.token(in: $0) }
    }

    package func withdraw() async throws(AgentError) {
        let file = file
        try await queue.run { () throws(AgentError) in try file.withdraw() }
    }

    package func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {
        guard let watcher, sinkGuard == nil else { return }
        let sinkGuard = SinkGuard(
            watcher: watcher, queue: queue, sink: name, directory: file.directory, name: file.name,
            readerKey: settings.encryption?.publicKeyPath, log: log, inspect: { [file] in file.inspect() },
            onDisturbed: onDisturbed)
        sinkGuard.assumeIsolated { $0.start() }
        self.sinkGuard = sinkGuard
    }

    package func close() {
        sinkGuard?.assumeIsolated { $0.stop() }
        sinkGuard = nil
    }

    private func record(_ report: KeptFile.Report) {
        for warning in report.warnings {
            log.warning("sink needs attention", metadata: ["sink": "\(name)", "reason": "\(warning)"])
        }
    }
}
