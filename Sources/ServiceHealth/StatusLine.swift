// ServiceHealth: the agent's state in one line of words, for `systemctl status`.

package import Diagnosis
package import Timekeeping
import TokenLifecycle

extension AgentHealth {
    /// Longest status line in bytes. systemd cuts a whole notification at 4,096.
    package static let longestStatusLine = 1_000

    /// Tokens told one by one; the rest are counted.
    private static let tokensInStatusLine = 4

    /// "app: fresh until 10:12:03Z, renews at 09:58:11Z". Of several tokens, those in trouble come first.
    ///
    /// Times are UTC, with the date where it is not today's. One line, without control characters.
    package func statusLine(at now: WallTime) -> String {
        var parts: [String] = []
        if stopping { parts.append("stopping") }
        if let refused = configurationTrouble {
            parts.append("new configuration refused, the old one is in force: \(refused.observed)")
        }
        if let since = loggedOutSince {
            parts.append("logged out since \(since.clock(from: now)), a reload logs in anew")
        }
        let worstFirst = tokens.enumerated()
            .sorted { ($0.element.urgency, $0.offset) < ($1.element.urgency, $1.offset) }
            .map(\.element)
        if tokens.count > Self.tokensInStatusLine {
            let served = tokens.count(where: \.served)
            parts.append("\(tokens.count) tokens, \(served) valid in every sink")
        }
        parts += worstFirst.prefix(Self.tokensInStatusLine).map { "\($0.name): \($0.inWords(at: now))" }
        if tokens.count > Self.tokensInStatusLine {
            parts.append("and \(tokens.count - Self.tokensInStatusLine) more")
        }
        for listener in listeners {
            guard let trouble = listener.trouble else { continue }
            parts.append("\(listener.pages.words) at \(listener.address): \(trouble.inWords(at: now))")
        }
        return printable(parts.joined(separator: "; "), limit: Self.longestStatusLine)
    }
}

extension TokenHealth {
    /// Small is urgent.
    fileprivate var urgency: Int {
        switch phase {
        case .lost: 0
        case .starting: 1
        case .struggling: 2
        case .fresh: 3
        case .stopped: 4
        }
    }

    /// "fresh until 10:12:03Z, renews at 09:58:11Z"; "no token yet, Vault unreachable since …, next try at …".
    package func inWords(at now: WallTime) -> String {
        var clauses: [String]
        switch phase {
        case .starting: clauses = ["no token yet"]
        case .fresh: clauses = [validity(as: "fresh", at: now)]
        case .struggling: clauses = [validity(as: "still valid", at: now)]
        case .lost: clauses = ["no valid token since \(since.clock(from: now))"]
        case .stopped: clauses = ["stopped"]
        }
        if let trouble, awaitsMachine {
            clauses.append("waits for this machine since \(trouble.since.clock(from: now)): \(trouble.error.observed)")
        } else if let trouble {
            clauses.append(trouble.inWords(at: now))
        }
        for sink in sinks {
            if let trouble = sink.trouble { clauses.append("\(sink.name): \(trouble.inWords(at: now))") }
        }
        if let nextStep, let nextAt {
            let step = firstTrouble == nil ? nextStep.thirdPerson : "next try"
            clauses.append("\(step) at \(nextAt.clock(from: now))")
        }
        return clauses.joined(separator: ", ")
    }

    private func validity(as word: String, at now: WallTime) -> String {
        if neverExpires { return "\(word), never expires" }
        return validUntil.map { "\(word) until \($0.clock(from: now))" } ?? word
    }
}

extension LifecycleHealth.Step {
    var thirdPerson: String {
        switch self {
        case .renew: "renews"
        case .logIn: "logs in anew"
        case .lookUp: "looks up"
        case .createChild: "makes the child token"
        case .wrap: "wraps the token"
        case .revoke: "revokes the old token"
        case .write: "writes the sinks"
        }
    }
}

extension Trouble {
    fileprivate func inWords(at now: WallTime) -> String {
        "\(error.code.words) since \(since.clock(from: now)) (\(error.code.rawValue))"
    }
}

extension WallTime {
    /// `10:12:03Z` on the day of `now`, `2026-11-22 10:12:03Z` on another.
    package func clock(from now: WallTime) -> String {
        let text = rfc3339
        return text.prefix(10) == now.rfc3339.prefix(10) ? timeOfDay : "\(text.prefix(10)) \(timeOfDay)"
    }
}

extension AgentError.Code {
    /// The failure in a few words, as a clause of a sentence.
    package var words: String {
        switch self {
        case .configurationInvalid: "configuration invalid"
        case .fileUnreadable: "a file cannot be read"
        case .awsCredentialsAbsent: "no AWS credentials found"
        case .awsCredentialsBroken: "AWS credentials unusable"
        case .awsMetadataUnavailable: "AWS metadata service not answering"
        case .awsMetadataRefused: "AWS metadata service refuses its sessions"
        case .awsSTSUnavailable: "AWS STS unavailable"
        case .awsCredentialsRefused: "AWS refuses the credentials"
        case .awsIdentityUnexpected: "AWS identity not the expected one"
        case .awsAccessDenied: "AWS denies access"
        case .awsRegionWrong: "AWS region wrong"
        case .clockSkew: "clock wrong"
        case .vaultUnreachable: "Vault unreachable"
        case .vaultTLS: "TLS with Vault fails"
        case .vaultUnavailable: "Vault unavailable"
        case .vaultThrottled: "Vault asks to wait"
        case .vaultLoginRefused: "Vault refuses the login"
        case .vaultDenied: "Vault denies the request"
        case .vaultOperatorNeeded: "a Vault operator is needed"
        case .tokenDead: "token revoked or expired"
        case .tokenAtMaximum: "token at its maximum"
        case .tokenNotRenewable: "token not renewable"
        case .sinkUnwritable: "cannot be written"
        case .sinkFull: "no space to write"
        case .groupsOutdated: "a group is newer than this process"
        case .addressUnavailable: "address cannot be had"
        case .stateUnwritable: "state directory unusable"
        case .commandFailed: "command failed"
        case .cancelled: "called off"
        case .internalFault: "fault of the agent"
        }
    }
}
