// TestSupport: a log that is kept.

package import Logging
private import Synchronization

/// Every line: `warning Sink is full error=… sink=file /run/app/token`, fields by name.
package final class CapturedLog: Sendable {
    private let kept = Mutex<[(level: Logger.Level, text: String)]>([])

    package init() {}

    package var logger: Logger {
        Logger(label: "test") { _ in Handler(log: self) }
    }

    package var lines: [String] { kept.withLock { $0.map(\.text) } }

    /// Those that are worth a look.
    package var warnings: [String] { kept.withLock { $0.filter { $0.level >= .warning }.map(\.text) } }

    /// Warnings and worse since the last call.
    package func takeWarnings() -> [String] {
        kept.withLock { kept in
            defer { kept.removeAll { $0.level >= .warning } }
            return kept.filter { $0.level >= .warning }.map(\.text)
        }
    }

    private struct Handler: LogHandler {
        let log: CapturedLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
            let texts = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            log.kept.withLock { $0.append((event.level, "\(event.level) \(event.message)\(texts.joined())")) }
        }
    }
}
