// ServiceHealth: one event of the log, and its three forms: readable text, a line of JSON, the journal's fields. Pure.

private import Diagnosis
package import Logging
package import Timekeeping

/// A constant message with fields.
///
/// Two fields have names of their own in every form: `token` (the token's name in the configuration) and `error_code`
/// (``AgentError/Code``). Whatever form, it is one line without control characters, at most ``largest`` bytes.
package struct LogRecord {
    /// Largest record in bytes: `PIPE_BUF`, what the kernel takes from one write whole or not at all.
    package static let largest = 4_096
    private static let largestMessage = 1_000
    private static let largestValue = 1_000
    private static let mostFields = 24

    package let time: WallTime
    package let level: Logger.Level
    package let message: String
    /// Sorted by name, `token` first.
    package let fields: [(name: String, value: String)]

    package init(time: WallTime, level: Logger.Level, message: String, error: (any Error)?, metadata: Logger.Metadata) {
        self.time = time
        self.level = level
        self.message = message
        var values = metadata.mapValues { "\($0)" }
        if let error = error as? AgentError {
            values["error_code"] = error.code.rawValue
            values["error"] = error.observed
            if !error.remedy.isEmpty { values["remedy"] = error.remedy }
        } else if let error {
            values["error"] = "\(error)"
        }
        self.fields =
            values
            .sorted { ($0.key != "token" ? 1 : 0, $0.key) < ($1.key != "token" ? 1 : 0, $1.key) }
            .prefix(Self.mostFields)
            .map { (name: $0.key, value: $0.value) }
    }

    /// `2026-11-21T09:10:00.123Z info    Token renewed token=app lease=30m`
    package var text: String {
        let word = level.rawValue
        let padding = String(repeating: " ", count: max(1, 8 - word.count))
        return bounded("\(time.rfc3339Milliseconds) \(word)\(padding)\(sentence)")
    }

    /// `{"time":"…","level":"info","message":"Token renewed","token":"app","lease":"30m"}`
    package var json: String {
        var line =
            "{\"time\":\"\(time.rfc3339Milliseconds)\",\"level\":\"\(level.rawValue)\",\"message\":\"\(jsonText(message))\""
        for field in fields {
            let part = ",\"\(jsonText(field.name))\":\"\(jsonText(field.value))\""
            guard line.utf8.count + part.utf8.count < Self.largest - 1 else { break }
            line += part
        }
        return line + "}"
    }

    /// `NAME=value` for each field. MESSAGE is the whole sentence, for people; EVENT the constant part, to search by.
    package var journalFields: [String] {
        var entries = [
            "MESSAGE=\(bounded(sentence))", "PRIORITY=\(level.priority)", "SYSLOG_IDENTIFIER=vault-token-agent",
            "EVENT=\(printable(message, limit: Self.largestMessage))",
        ]
        for field in fields {
            let name = field.name == "token" ? "TOKEN_NAME" : Self.journalName(field.name)
            entries.append("\(name)=\(printable(field.value, limit: Self.largestValue))")
        }
        return entries
    }

    /// `Token renewed token=app lease=30m`
    private var sentence: String {
        fields.reduce(into: printable(message, limit: Self.largestMessage)) { line, field in
            line += " \(printable(field.name, limit: 64))=\(Self.quotedIfNeeded(field.value))"
        }
    }

    private func bounded(_ line: String) -> String {
        // One byte is left for the line's end.
        line.utf8.count < Self.largest ? line : printable(line, limit: Self.largest - 1)
    }

    private func jsonText(_ text: String) -> String {
        printable(text, limit: Self.largestValue, escaping: .json)
    }

    private static func quotedIfNeeded(_ value: String) -> String {
        let plain = !value.isEmpty && !value.unicodeScalars.contains { " \"=\\".unicodeScalars.contains($0) }
        let text = printable(value, limit: largestValue, escaping: plain ? .plain : .quoted)
        return plain ? text : "\"\(text)\""
    }

    /// Journal field names are `A-Z 0-9 _`, at most 64, and a leading `_` is journald's own.
    private static func journalName(_ name: String) -> String {
        let letters = name.utf8.prefix(60).map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 32
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
            default: UInt8(ascii: "_")
            }
        }
        let text = String(decoding: letters, as: UTF8.self)
        return text.first?.isLetter == true ? text : "F_\(text)"
    }
}

extension Logger.Level {
    /// syslog's number.
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
