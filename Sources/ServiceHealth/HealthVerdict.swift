// ServiceHealth: what a reader of the status file concludes: `healthcheck`'s decision. Pure.

internal import Diagnosis
package import Timekeeping
import TokenLifecycle

extension StatusReading {
    /// Age at which a heartbeat is too old: three of the longest beats.
    package static let staleAfter: Duration = ServiceManager.longestBeat * 3

    /// Why the agent itself is not to be relied on, whatever its tokens are like; empty means it lives. For liveness probes,
    /// which restart what fails them: an outage of Vault is nothing that a restart would mend.
    package func reasonsAgainstLiveness(at now: WallTime) -> [String] {
        let age = now - heartbeat
        if document.stopping { return ["the agent was told to stop at \(document.writtenAt)"] }
        if isHeld == false { return ["the agent is gone: process \(document.pid) has ended without a word"] }
        if age > Self.staleAfter { return ["no heartbeat for \(age.text), the agent is stuck or gone"] }
        if age < .zero - Self.staleAfter {
            return ["the heartbeat lies \((.zero - age).text) ahead, the clock was set back"]
        }
        return []
    }

    /// Why the agent, or one token of it, is not to be relied on; empty means healthy.
    ///
    /// Healthy is: every sink holds a valid token, the heartbeat is recent, nobody is stopping the agent. A failing renewal is
    /// not unhealthy while the token is valid: to restart anything would mend nothing.
    package func reasonsAgainstHealth(token name: String? = nil, at now: WallTime) -> [String] {
        var reasons = reasonsAgainstLiveness(at: now)
        let tokens = document.tokens.filter { name == nil || $0.name == name }
        if let moment = document.loggedOutAt {
            reasons.append("logged out at \(moment): a reload logs in anew")
        } else if tokens.isEmpty {
            reasons.append(
                name.map { "no token \(printable($0, limit: 64)) is configured" } ?? "no token is configured")
        }
        return reasons + tokens.compactMap { $0.reasonAgainstHealth(at: now) }
    }

    /// Why a supervisor that replaces what is unhealthy should do so; empty means: leave it. Until every sink has held a valid
    /// token once that is the whole of health, so that what waits for it waits; afterwards only whether the agent lives.
    package func reasonsAgainstOnceReady(at now: WallTime) -> [String] {
        document.onceReady == true ? reasonsAgainstLiveness(at: now) : reasonsAgainstHealth(at: now)
    }
}

extension StatusDocument {
    /// Since when the agent keeps no token because it was told so; nil: it was not, or a reload has followed.
    package var loggedOutAt: String? { tokens.isEmpty ? lastLogout?.at : nil }
}

extension StatusDocument.Token {
    fileprivate func reasonAgainstHealth(at now: WallTime) -> String? {
        let name = printable(self.name, limit: 64)
        let because = firstTrouble.map { ": \($0.sentence)" } ?? ""
        if !served {
            let undelivered = sinks.filter { !$0.delivered }.map { printable($0.name, limit: 200) }
            return switch TokenHealth.Phase(rawValue: phase) {
            case .fresh, .struggling: "\(name): not in \(undelivered.joined(separator: ", "))\(because)"
            case .starting: "\(name): no token yet\(because)"
            case .lost: "\(name): no valid token since \(since)\(because)"
            case .stopped, nil: "\(name): not looked after any more"
            }
        }
        // The agent would have said so itself; one that stands still cannot.
        if let validUntil, !neverExpires, let end = WallTime(rfc3339: validUntil), end <= now {
            return "\(name): the token expired at \(validUntil)"
        }
        return nil
    }

    var firstTrouble: StatusDocument.Failure? {
        trouble ?? sinks.lazy.compactMap(\.trouble).first
    }
}

extension StatusDocument.Failure {
    /// The code, what was seen, what to do.
    var sentence: String {
        let advice = remedy.isEmpty ? "" : ". \(printable(remedy, limit: 1_000))"
        return "\(printable(observed, limit: 1_000))\(advice) (\(printable(code, limit: 64)))"
    }
}
