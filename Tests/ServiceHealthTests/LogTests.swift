import CLinux
import Diagnosis
import Glibc
import Logging
import ServiceHealth
import SystemCalls
import TestSupport
import Testing
import Timekeeping

@Suite struct LogRecordTests {
    func record(
        _ metadata: Logger.Metadata, message: String = "Token renewed", level: Logger.Level = .info,
        error: (any Error)? = nil
    ) -> LogRecord {
        LogRecord(
            time: noon + .milliseconds(7), level: level, message: message, error: error, metadata: metadata)
    }

    @Test func `text has the time to the millisecond, the level, the message and its fields, the token first`() {
        #expect(
            record(["lease": "30m", "token": "app", "accessor": "a b"]).text
                == #"2026-11-21T09:58:11.007Z info    Token renewed token=app accessor="a b" lease=30m"#)
    }

    @Test func `json is one object with every field as a string`() {
        #expect(
            record(["token": "app"], level: .warning, error: unreachable).json
                == #"{"time":"2026-11-21T09:58:11.007Z","level":"warning","message":"Token renewed","token":"app","#
                + #""error":"vault.example:8200 refused the connection","error_code":"vault_unreachable","#
                + #""remedy":"Check that Vault runs"}"#)
    }

    @Test func `the journal gets fields to search by and a sentence to read`() {
        let fields = record(["token": "app", "_evil-name": "x"], level: .error, error: unreachable).journalFields
        #expect(fields.contains("EVENT=Token renewed"))
        #expect(fields.contains("PRIORITY=3"))
        #expect(fields.contains("SYSLOG_IDENTIFIER=vault-token-agent"))
        #expect(fields.contains("TOKEN_NAME=app"))
        #expect(fields.contains("ERROR_CODE=vault_unreachable"))
        #expect(fields.contains("REMEDY=Check that Vault runs"))
        #expect(fields.contains("F__EVIL_NAME=x"))
        #expect(
            fields.contains {
                $0.hasPrefix("MESSAGE=Token renewed token=app ") && $0.contains("refused the connection")
            }
        )
    }

    @Test func `control characters reach no terminal`() {
        let hostile = record(["k": "\u{1b}[31m\r\u{9b}\u{2028}\"\\"], message: "a\nb")
        #expect(hostile.text.hasSuffix(#"a\nb k="\x1b[31m\r\x9b\u2028\"\\""#))
        #expect(hostile.json.hasSuffix(#""message":"a\nb","k":"\u001b[31m\r\u009b\u2028\"\\"}"#))
    }

    @Test(arguments: [1, 24, 200])
    func `the largest record fits one atomic write and its json still ends`(count: Int) {
        let metadata = Dictionary(
            uniqueKeysWithValues: (0..<count).map {
                ("k\($0)", Logger.MetadataValue.string(String(repeating: "\u{1}é", count: 3_000)))
            })
        let large = record(metadata, message: String(repeating: "€", count: 9_000))
        #expect(large.text.utf8.count < LogRecord.largest)
        #expect(large.json.utf8.count < LogRecord.largest)
        #expect(large.json.hasSuffix("\"}"))
        #expect(large.journalFields.allSatisfy { $0.utf8.count <= LogRecord.largest + 16 })
    }
}

/// A pipe whose reader may or may not read.
struct TestPipe: ~Copyable {
    private let reader: Descriptor
    private let writer: Descriptor
    /// To write to for as long as there is the pipe.
    var number: Int32 { writer.number }

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(unsafe vta_pipe(&ends) == 0 && vta_never_wait(ends[0]) == 0)
        let first = try Descriptor(ends[0], "pipe2", "(test)")
        let second = try Descriptor(ends[1], "pipe2", "(test)")
        reader = first
        writer = second
    }

    func drain() -> String {
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe read(reader.number, &chunk, chunk.count)
            if count <= 0 { return String(decoding: text, as: UTF8.self) }
            text += chunk[..<count]
        }
    }
}

@Suite struct LogOutputTests {
    func settings(_ format: HealthSettings.LogFormat, _ level: HealthSettings.LogLevel = .info) -> HealthSettings {
        var settings = HealthSettings()
        settings.logFormat = format
        settings.logLevel = level
        return settings
    }

    @Test func `one line per event, with the logger's own fields`() throws {
        let pipe = try TestPipe()
        var logger = LogOutput(settings(.text), descriptor: pipe.number).logger(label: "test")
        logger[metadataKey: "token"] = "app"
        logger.info("Token renewed", metadata: ["lease": "30m"])
        logger.debug("not at this level")
        logger.error("Renewal failed", error: unreachable)
        let lines = pipe.drain().split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].hasSuffix("info    Token renewed token=app lease=30m"))
        #expect(lines[1].contains("error   Renewal failed token=app error=\"vault.example:8200 refused"))
    }

    @Test func `a stream that is not the journal gets text by default`() throws {
        let pipe = try TestPipe()
        LogOutput(settings(.auto), descriptor: pipe.number).logger(label: "test").info("Token renewed")
        #expect(pipe.drain().hasSuffix(" info    Token renewed\n"))
    }

    /// Whether there is no journal here, or this process may leave the machine's sight of it.
    private static let canBeWithoutJournal =
        unsafe access("/run/systemd/journal/socket", W_OK) != 0 || geteuid() == 0

    @Test(.enabled(if: canBeWithoutJournal, "only root can look away from this machine's journal"))
    func `a journal that is asked for and not there does not swallow the log`() async {
        await #expect(processExitsWith: .success) {
            // No journal is found in an empty root directory.
            let root = TemporaryDirectory()
            let outside = unsafe open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            if geteuid() == 0 { try #require(unsafe chroot(root.path) == 0) }
            let pipe = try TestPipe()
            var settings = HealthSettings()
            settings.logFormat = .journal
            LogOutput(settings, descriptor: pipe.number).logger(label: "test").info("Token renewed")
            let written = pipe.drain()
            // Back to where the directory can be removed.
            if geteuid() == 0 { try #require(unsafe fchdir(outside) == 0 && chroot(".") == 0) }
            withExtendedLifetime(root) {}
            try #require(written.hasSuffix(" info    Token renewed\n"))
        }
    }

    @Test func `a reload changes the level of loggers already handed out`() throws {
        let pipe = try TestPipe()
        let output = LogOutput(settings(.json), descriptor: pipe.number)
        let logger = output.logger(label: "test")
        logger.debug("before")
        output.adopt(settings(.json, .debug))
        logger.debug("after")
        #expect(pipe.drain().split(separator: "\n").map { $0.contains("after") } == [true])
    }

    @Test(.timeLimit(.minutes(10)))
    func `a reader that stands still stops nothing, and is told what it missed`() throws {
        let pipe = try TestPipe()
        let logger = LogOutput(settings(.text), descriptor: pipe.number).logger(label: "test")
        for number in 0..<2_000 { logger.info("Token renewed", metadata: ["number": "\(number)"]) }
        let kept = pipe.drain().split(separator: "\n").count
        #expect(kept < 2_000)
        logger.info("Reading again")
        let lines = pipe.drain().split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.hasSuffix("Log records dropped: stderr was not read records=\(2_000 - kept)") == true)
        #expect(lines.last?.hasSuffix("Reading again") == true)
    }
}

/// STAND-IN for journald: a socket of its kind that is read when the test says so.
private final class TestJournal {
    private let directory = TemporaryDirectory()
    private let socket: Descriptor
    var path: String { directory.file("socket") }

    init() throws {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue) | O_NONBLOCK
        socket = try Descriptor(Glibc.socket(AF_UNIX, type, 0), "socket", "(test)")
        try #require(unsafe vta_unix_bind(socket.number, path) == 0)
    }

    /// The messages of all records that have come, with their fields.
    func read() -> [[String]] {
        var records: [[String]] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe recv(socket.number, &buffer, buffer.count, 0)
            if count < 0 { return records }
            let text = String(decoding: buffer[..<count], as: UTF8.self)
            precondition(text.hasSuffix("\n"), "each field has its line")
            records.append(text.split(separator: "\n").map(String.init))
        }
    }
}

@Suite struct JournalTests {
    private func output(to journal: TestJournal) -> LogOutput {
        var settings = HealthSettings()
        settings.logFormat = .journal
        // What does not go to the journal fails.
        return LogOutput(settings, descriptor: -1, journal: journal.path)
    }

    @Test func `the journal gets each record in one datagram`() throws {
        let journal = try TestJournal()
        output(to: journal).logger(label: "test").error(
            "Renewal failed", error: unreachable, metadata: ["token": "a\nPRIORITY=0"])
        let records = journal.read()
        #expect(records.count == 1)
        #expect(records.first?.contains(#"TOKEN_NAME=a\nPRIORITY=0"#) == true)
        #expect(records.first?.contains("PRIORITY=3") == true && records.first?.contains("PRIORITY=0") == false)
    }

    @Test(.timeLimit(.minutes(10)))
    func `a journald that hangs stops nothing, and is told what it missed`() throws {
        let journal = try TestJournal()
        let output = output(to: journal)
        let logger = output.logger(label: "test")
        for number in 0..<2_000 { logger.info("Token renewed", metadata: ["number": "\(number)"]) }
        let kept = journal.read().count
        #expect(kept > 0 && kept < 2_000)
        #expect(output.lostRecords == 2_000 - kept)
        logger.info("Reading again")
        let records = journal.read()
        #expect(records.count == 2)
        #expect(records.first?.contains("EVENT=Log records dropped: the journal was not read") == true)
        #expect(records.first?.contains("RECORDS=\(2_000 - kept)") == true)
        #expect(records.last?.contains("EVENT=Reading again") == true)
        logger.info("Still reading")
        #expect(journal.read().count == 1, "it is told once")
        #expect(output.lostRecords == 2_000 - kept)
    }
}

@Suite struct RepeatedFailuresTests {
    @Test func `a failure that repeats is told at doubling intervals`() {
        var failures = RepeatedFailures()
        let told = (1...100).compactMap { _ in failures.failed("app", .vaultUnreachable) }
        #expect(told == [1, 2, 4, 8, 16, 32, 64])
        #expect(failures.recovered("app") == 100)
        #expect(failures.recovered("app") == 0)
        #expect(failures.failed("app", .vaultUnreachable) == 1)
    }

    @Test func `failures that take turns do not count as new each time`() {
        var failures = RepeatedFailures()
        let told = (1...64).count { number in
            failures.failed("app", number % 2 == 0 ? .vaultUnreachable : .vaultUnavailable) != nil
        }
        #expect(told == 12)
    }

    @Test func `what one token suffers does not silence another`() {
        var failures = RepeatedFailures()
        _ = (1...3).map { _ in failures.failed("app", .vaultUnreachable) }
        #expect(failures.failed("other", .vaultUnreachable) == 1)
    }
}
