// TokenSinks: a file that applications read, kept as it should be.

package import Crypto
package import Diagnosis
internal import Logging

/// A token in a file. Its work on the disk happens on a queue of its own.
package final class FileSink: TokenSink {
    package let name: String
    private let settings: SinkSettings
    private let writer: FileWriter
    private let queue: BlockingQueue
    private let log: Logger

    init(_ settings: SinkSettings, _ place: FilePlace, queue: BlockingQueue, log: Logger) throws(AgentError) {
        name = "file \(place.path)"
        self.settings = settings
        writer = try FileWriter(place)
        self.queue = queue
        self.log = log
    }

    package func check() async throws(AgentError) {
        let writer = writer
        record(try await queue.run { () throws(AgentError) in try writer.check() })
    }

    @discardableResult
    package func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        let writer = writer
        let rendering = try Rendering(
            content, format: settings.format, newline: settings.newline, wraps: settings.wrapTTL != nil)
        let report = try await queue.run { () throws(AgentError) in try writer.put(rendering, seal: nil) }
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

    package func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {}

    package func close() {}

    private func record(_ report: FileWriter.Report) {
        for warning in report.warnings {
            log.warning("sink needs attention", metadata: ["sink": "\(name)", "reason": "\(warning)"])
        }
    }
}
