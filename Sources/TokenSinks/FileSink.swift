// TokenSinks: a file that applications read, kept as it should be.

package import Crypto
package import Diagnosis
internal import FileWatch
internal import Logging

/// A token in a file. Its work on the disk happens on a queue of its own.
package final class FileSink: TokenSink {
    package let name: String
    private let settings: SinkSettings
    private let writer: FileWriter
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
        writer = try FileWriter(place)
        envelope = settings.encryption.map { Envelope(settings: $0) }
        self.queue = queue
        self.watcher = watcher
        var log = log
        log[metadataKey: "sink"] = "\(name)"
        self.log = log
    }

    package func check() async throws(AgentError) {
        let (writer, envelope) = (writer, envelope)
        let report = try await queue.run { () throws(AgentError) in
            var report = try writer.check()
            do throws(AgentError) {
                _ = try envelope?.readerKey()
            } catch  where error.code == .fileUnreadable {
                report.warnings.append("the reader's key is not there yet: \(error.observed)")
            }
            return report
        }
        record(report)
    }

    package func open() async throws(AgentError) {}

    @discardableResult
    package func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        let (writer, envelope) = (writer, envelope)
        let rendering = try Rendering(
            content, format: settings.format, newline: settings.newline, wraps: settings.wrapTTL != nil)
        let report = try await queue.run { () throws(AgentError) in
            guard let envelope else { return try writer.put(rendering, seal: nil) }
            return try writer.put(rendering) { (content) throws(AgentError) in try envelope.seal(content) }
        }
        record(report)
        return report.delivery
    }

    package func heldToken() async -> Secret? {
        guard settings.wrapTTL == nil, settings.encryption == nil else { return nil }
        let writer = writer
        let content = try? await queue.run { () throws(AgentError) in writer.content() }
        return content.flatMap { $0 }.flatMap { settings.format.token(in: $0) }
    }

    package func withdraw() async throws(AgentError) {
        let writer = writer
        try await queue.run { () throws(AgentError) in try writer.withdraw() }
    }

    package func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {
        guard let watcher, sinkGuard == nil else { return }
        let sinkGuard = SinkGuard(
            watcher: watcher, queue: queue, directory: writer.directory, name: writer.name, log: log,
            inspect: { [writer] in writer.inspect() }, onDisturbed: onDisturbed)
        sinkGuard.assumeIsolated { $0.start() }
        self.sinkGuard = sinkGuard
    }

    package func close() {
        sinkGuard?.assumeIsolated { $0.stop() }
        sinkGuard = nil
    }

    private func record(_ report: FileWriter.Report) {
        for warning in report.warnings {
            log.warning("sink needs attention", metadata: ["reason": "\(warning)"])
        }
    }
}
