// ServiceHealth: keeps a failure that repeats itself from flooding the log. Pure.

package import Diagnosis

/// Counts failures in a row and says which of them to log: the 1st, 2nd, 4th, 8th… of each code.
///
/// Codes are counted apart, so that two failures taking turns do not log each time as if they were new.
package struct RepeatedFailures: Sendable {
    private var rows: [String: [AgentError.Code: Int]] = [:]

    package init() {}

    /// `subject` (a token, a sink) failed once more. The number in the row if this one is to be logged, nil if not.
    package mutating func failed(_ subject: String, _ code: AgentError.Code) -> Int? {
        let count = rows[subject, default: [:]][code, default: 0] + 1
        rows[subject, default: [:]][code] = count
        return count & (count - 1) == 0 ? count : nil
    }

    /// `subject` works. How many failures that ends; 0 where there was none and nothing is to be said.
    package mutating func recovered(_ subject: String) -> Int {
        rows.removeValue(forKey: subject)?.values.reduce(0, +) ?? 0
    }
}
