// Diagnosis: what went wrong, in a form that a metric can count, an exit status can carry and a person can act on.

/// A failure: a closed code, what was seen, and what to do about it. Never holds a secret.
package struct AgentError: Error, Hashable, Sendable {
    /// What kind of failure it is. Decides the reaction, the metric's label and the exit status.
    package let code: Code

    /// What was seen, and where: "IMDS at 169.254.169.254 did not answer PUT /latest/api/token within 1 s".
    package let observed: String

    /// What the reader can do: "In a container, raise the instance's hop limit to 2". May be empty.
    package let remedy: String

    /// How long the other side asked to be left alone, where it did (`Retry-After`).
    package let retryAfter: Duration?

    /// Paths and names in the texts may be anybody's: what must not reach a terminal is escaped.
    package init(_ code: Code, _ observed: String, remedy: String = "", retryAfter: Duration? = nil) {
        self.code = code
        self.observed = printable(observed, limit: .max)
        self.remedy = printable(remedy, limit: .max)
        self.retryAfter = retryAfter
    }
}

extension AgentError: CustomStringConvertible {
    /// One line: what was seen; what to do.
    package var description: String {
        remedy.isEmpty ? observed : "\(observed). \(remedy)"
    }
}
