// ServiceHealth: where log records go: the journal, by its native protocol, or stderr as text or lines of JSON.

private import CLinux
private import Diagnosis
private import Glibc
package import Logging
import Synchronization
private import Timekeeping

/// The agent's log. Makes the loggers that the rooms are given; the level can be changed under them by a reload.
///
/// Nothing is buffered and no thread is used. Writing never waits: where the reader of stderr has stopped (a container runtime
/// whose log driver hangs), or journald hangs, records are dropped and counted, since a token that is not renewed is worse
/// than a line that is not written. The next record that is taken comes after one that tells how many were lost.
package final class LogOutput: Sendable {
    private enum Form { case journal, json, text }

    private let form: Form
    private let descriptor: Int32
    private let journal: DatagramSender?
    private let level: Mutex<Logger.Level>
    private let losses = Mutex(Losses())

    /// Records that nobody took.
    private struct Losses {
        var all = 0
        /// Those that the log has not told of yet.
        var untold = 0
    }

    /// Where journald reads what others log.
    package static let journalSocket = "/run/systemd/journal/socket"

    /// `descriptor` is stderr outside tests; it stays the caller's. `journal`: the path of a socket.
    package init(
        _ settings: HealthSettings, descriptor: Int32 = STDERR_FILENO, journal: String = LogOutput.journalSocket
    ) {
        self.journal = DatagramSender(to: journal)
        form =
            switch settings.logFormat {
            // Without journald nobody would read it.
            case .journal: unsafe access(journal, W_OK) == 0 ? .journal : .text
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

    /// How many records have been lost, since the start, because nobody took them.
    package var lostRecords: Int { losses.withLock(\.all) }

    fileprivate var currentLevel: Logger.Level {
        level.withLock { $0 }
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

    /// One at a time: a pipe that polls writable has room for one record, not for those of two threads.
    fileprivate func write(_ record: LogRecord) {
        losses.withLock { losses in
            if losses.untold > 0, put(notice(of: losses.untold, at: record.time)) { losses.untold = 0 }
            guard losses.untold > 0 || !put(record) else { return }
            losses.all += 1
            losses.untold += 1
        }
    }

    private func notice(of losses: Int, at time: WallTime) -> LogRecord {
        LogRecord(
            time: time, level: .warning,
            message: "Log records dropped: \(form == .journal ? "the journal" : "stderr") was not read", error: nil,
            metadata: ["records": "\(losses)"])
    }

    private func put(_ record: LogRecord) -> Bool {
        switch form {
        // No value has a line's end in it.
        case .journal: journal?.send(record.journalFields.map { $0 + "\n" }.joined()) ?? false
        case .json: writeWhole(record.json)
        case .text: writeWhole(record.text)
        }
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
