// ServiceHealth: what a reader of the status file concludes: `healthcheck`'s decision and `status`'s table. Pure.

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
        if tokens.isEmpty {
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

    /// The table that `status` prints: a line about the agent, a line for each token, and under it what ails it.
    package func table(at now: WallTime) -> String {
        let rows =
            [["TOKEN", "STATE", "VALID UNTIL", "NEXT", "SINKS"]]
            + document.tokens.map { token in
                [
                    token.name, token.phase, token.validity(at: now), token.next(at: now),
                    "\(token.sinks.count(where: \.delivered))/\(token.sinks.count)",
                ].map { printable($0, limit: 200) }
            }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            zip(row, widths)
                .map { $0 + String(repeating: " ", count: $1 - $0.count) }
                .joined(separator: "  ")
        }
        var text = summary(at: now) + "\n\n" + trimmed(lines[0]) + "\n"
        for (line, token) in zip(lines.dropFirst(), document.tokens) {
            text += trimmed(line) + "\n"
            for detail in token.ailments(at: now) { text += "  \(detail)\n" }
        }
        return text
    }

    private func summary(at now: WallTime) -> String {
        let reasons = reasonsAgainstHealth(at: now)
        let started = WallTime(rfc3339: document.startedAt).map { ", up \((now - $0).text)" } ?? ""
        var text = "vault-token-agent \(printable(document.version, limit: 64)), process \(document.pid)\(started), "
        text += "last heartbeat \(max(.zero, now - heartbeat).text) ago: "
        text += reasons.isEmpty ? "healthy" : "NOT HEALTHY"
        if let refused = document.configurationTrouble {
            text += "\nThe last reload was refused, the configuration before it is in force: " + refused.sentence
        }
        if let seconds = document.clockBehindSeconds, seconds != 0 {
            text +=
                "\nThis machine's clock is \(Duration.seconds(Int64(clamping: seconds.magnitude)).text) "
                + "\(seconds < 0 ? "ahead of" : "behind") that of AWS STS, by which logins are signed: set it right"
        }
        for reason in reasons { text += "\n- \(reason)" }
        return text
    }

    private func trimmed(_ line: String) -> Substring {
        var line = Substring(line)
        while line.last == " " { line.removeLast() }
        return line
    }
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

    private var firstTrouble: StatusDocument.Failure? {
        trouble ?? sinks.lazy.compactMap(\.trouble).first
    }

    fileprivate func validity(at now: WallTime) -> String {
        if neverExpires { return "never expires" }
        return Self.moment(validUntil, at: now)
    }

    fileprivate func next(at now: WallTime) -> String {
        guard let nextStep else { return "-" }
        let step = firstTrouble == nil ? nextStep : "try again"
        return nextAt == nil ? step : "\(step) \(Self.moment(nextAt, at: now))"
    }

    /// `10:12:03Z (in 13m52s)`, `10:12:03Z (2s ago)`, `-`.
    private static func moment(_ text: String?, at now: WallTime) -> String {
        guard let text, let time = WallTime(rfc3339: text) else { return "-" }
        let distance = time - now
        let words = distance >= .zero ? "in \(distance.text)" : "\((.zero - distance).text) ago"
        return "\(time.clock(from: now)) (\(words))"
    }

    fileprivate func ailments(at now: WallTime) -> [String] {
        let own = trouble.map { [$0.report(at: now)] } ?? []
        return own
            + sinks.compactMap { sink in
                sink.trouble.map { "\(printable(sink.name, limit: 200)): \($0.report(at: now))" }
            }
    }
}

extension StatusDocument.Failure {
    /// The code, what was seen, what to do.
    fileprivate var sentence: String {
        let advice = remedy.isEmpty ? "" : ". \(printable(remedy, limit: 1_000))"
        return "\(printable(observed, limit: 1_000))\(advice) (\(printable(code, limit: 64)))"
    }

    fileprivate func report(at now: WallTime) -> String {
        guard let since, let began = WallTime(rfc3339: since) else { return sentence }
        let times = attempts.map { $0 == 1 ? ", once" : ", \($0) times" } ?? ""
        return "since \(began.clock(from: now))\(times): \(sentence)"
    }
}
