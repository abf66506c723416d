// ServiceHealth: where log records go: the journal by libsystemd, or stderr as text or lines of JSON.

private import CLinux
private import CSystemd
private import Diagnosis
private import Glibc
package import Logging
import Synchronization
private import Timekeeping

/// The agent's log. Makes the loggers that the rooms are given; the level can be changed under them by a reload.
///
/// Nothing is buffered and no thread is used. Writing to stderr never waits: where its reader has stopped (a container runtime
/// whose log driver hangs), records are dropped and counted, since a token that is not renewed is worse than a line that is
/// not written. The journal is written by `sd_journal_sendv`, which waits while journald's socket is full; systemd's
/// own watchdog restarts a journald that hangs.
package final class LogOutput: Sendable {
    private enum Form { case journal, json, text }

    private let form: Form
    private let descriptor: Int32
    private let level: Mutex<Logger.Level>
    private let dropped = Mutex(0)

    /// `descriptor` is stderr outside tests; it stays the caller's.
    package init(_ settings: HealthSettings, descriptor: Int32 = STDERR_FILENO) {
        form =
            switch settings.logFormat {
            case .journal: Self.journalListens ? .journal : .text
            case .json: .json
            case .text: .text
            case .auto: Self.isJournal(descriptor) ? .journal : .text
            }
        self.descriptor = descriptor
        level = Mutex(Logger.Level(settings.logLevel))
    }

    package func logger(label: String) -> Logger {
        Logger(label: label) { _ in RecordHandler(output: self) }
    }

    /// Takes over the level of a new configuration. The form stays: it belongs to the process's stderr.
    package func adopt(_ settings: HealthSettings) {
        level.withLock { $0 = Logger.Level(settings.logLevel) }
    }

    fileprivate var currentLevel: Logger.Level {
        level.withLock { $0 }
    }

    /// Without journald libsystemd drops every record and calls that success.
    private static var journalListens: Bool {
        unsafe access("/run/systemd/journal/socket", W_OK) == 0
    }

    /// Whether the descriptor is the stream to the journal that systemd made: `JOURNAL_STREAM` holds its device and inode.
    /// The variable alone proves nothing; it is inherited by processes whose stderr was redirected.
    private static func isJournal(_ descriptor: Int32) -> Bool {
        // SAFETY: the environment is not changed while the agent runs; the text is copied at once.
        guard let variable = unsafe getenv("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return false }
        return unsafe String(cString: variable) == "\(status.st_dev):\(status.st_ino)"
    }

    fileprivate func write(_ record: LogRecord) {
        switch form {
        case .journal: Self.sendToJournal(record.journalFields)
        case .json: writeLine(record.json, orReport: record)
        case .text: writeLine(record.text, orReport: record)
        }
    }

    private static func sendToJournal(_ fields: [String]) {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for field in fields {
            bytes += field.utf8
            ends.append(bytes.count)
        }
        unsafe bytes.withUnsafeMutableBytes { buffer in
            var start = 0
            let vectors = unsafe ends.map { end in
                defer { start = end }
                return unsafe iovec(iov_base: buffer.baseAddress?.advanced(by: start), iov_len: end - start)
            }
            // SAFETY: each vector lies within `buffer`, which outlives the call; libsystemd only reads.
            _ = unsafe sd_journal_sendv(vectors, Int32(vectors.count))
        }
    }

    private func writeLine(_ line: String, orReport record: LogRecord) {
        let lost = dropped.withLock { $0 }
        if lost > 0 {
            let report = LogRecord(
                time: record.time, level: .warning, message: "Log records dropped: stderr was not read", error: nil,
                metadata: ["records": "\(lost)"])
            guard writeWhole(form == .json ? report.json : report.text) else {
                dropped.withLock { $0 += 1 }
                return
            }
            dropped.withLock { $0 -= lost }
        }
        if !writeWhole(line) { dropped.withLock { $0 += 1 } }
    }

    /// False, and nothing written, where the reader is not keeping up. A pipe that polls writable takes `PIPE_BUF` bytes, the
    /// largest record, without waiting.
    private func writeWhole(_ line: String) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // SAFETY: one pollfd, as the count says, that outlives the call.
        guard unsafe poll(&request, 1, 0) == 1, request.revents & Int16(POLLOUT) != 0 else { return false }
        let bytes = Array((line + "\n").utf8)
        // SAFETY: the kernel reads `bytes.count` bytes of an array that outlives the call.
        return unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    }
}

private struct RecordHandler: LogHandler {
    let output: LogOutput
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private var ownLevel: Logger.Level?

    init(output: LogOutput) {
        self.output = output
    }

    /// The output's, unless this logger was given one of its own.
    var logLevel: Logger.Level {
        get { ownLevel ?? output.currentLevel }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(metadataProvider?.get() ?? [:]) { $1 }.merging(event.metadata ?? [:]) { $1 }
        output.write(
            LogRecord(
                time: WallTime(nanosecondsSince1970: vta_clock_nanoseconds(CLOCK_REALTIME)),
                level: event.level, message: "\(event.message)", error: event.error, metadata: fields))
    }
}

extension Logger.Level {
    fileprivate init(_ level: HealthSettings.LogLevel) {
        self =
            switch level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
    }
}
