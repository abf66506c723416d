// The command line, `doctor`: what one check found.

internal import Diagnosis

/// One line of the report.
struct Finding: Sendable {
    enum Verdict: String, CaseIterable, Sendable {
        case ok, skipped, warning, failed
    }

    let verdict: Verdict
    /// What was looked at: "sink /run/app/token".
    let subject: String
    let text: String

    static func ok(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .ok, subject: subject, text: text)
    }

    static func skipped(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .skipped, subject: subject, text: text)
    }

    static func warning(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .warning, subject: subject, text: text)
    }

    static func failed(_ subject: String, _ error: AgentError) -> Finding {
        Finding(verdict: .failed, subject: subject, text: "\(error) [\(error.code.rawValue)]")
    }

    /// `ok       credentials  instance role app (IMDS)`.
    func line(subjectWidth: Int) -> String {
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        return "\(padded(verdict.rawValue, 7))  \(padded(subject, subjectWidth))  \(text)"
    }
}
