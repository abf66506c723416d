// The command line, `doctor`: what one check found.

internal import Diagnosis
internal import SecretJSON

/// One line of the report.
struct Finding: Sendable {
    enum Verdict: String, CaseIterable, Sendable {
        case ok, skipped, warning, failed
    }

    let verdict: Verdict
    /// What was looked at: "sink".
    let subject: String
    /// What was found, and what to do where there is something.
    let text: String
    /// Of a failure, or a warning that is one of another time.
    private(set) var code: AgentError.Code?

    static func ok(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .ok, subject: subject, text: text)
    }

    static func skipped(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .skipped, subject: subject, text: text)
    }

    static func warning(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .warning, subject: subject, text: text)
    }

    /// A failure that keeps no token away, and why it does not.
    static func warning(_ subject: String, _ error: AgentError, _ consolation: String) -> Finding {
        Finding(verdict: .warning, subject: subject, text: "\(error). \(consolation)", code: error.code)
    }

    static func failed(_ subject: String, _ error: AgentError) -> Finding {
        Finding(verdict: .failed, subject: subject, text: "\(error)", code: error.code)
    }

    /// `ok       credentials  instance role app (IMDS)`.
    func line(subjectWidth: Int) -> String {
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        let end = code.map { " [\($0.rawValue)]" } ?? ""
        return "\(padded(verdict.rawValue, 7))  \(padded(subject, subjectWidth))  \(text)\(end)"
    }

    var json: JSONText {
        .object([
            "verdict": .text(verdict.rawValue), "subject": .text(subject), "text": .text(text),
            "code": code.map { .text($0.rawValue) },
        ])
    }
}
