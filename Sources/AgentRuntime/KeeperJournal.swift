// AgentRuntime: writes down what happened to one token: a line in the log for each event, a count for the metrics.

import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle

/// The record of one token's requests.
final class KeeperJournal {
    /// Has the line's name, which a reload may change.
    var log: Logger
    private let words: (made: Logger.Message, failed: Logger.Message)
    private var repeated = RepeatedFailures()
    private(set) var counters = TokenCounters()

    init(isChild: Bool, log: Logger) {
        words = isChild ? ("Child token made", "Child token could not be made") : ("Logged in", "Login failed")
        self.log = log
    }

    /// `token`: the token that the answer is about, where it is one that was not known before.
    func succeeded(_ request: LifecycleRequest, _ answer: LifecycleAnswer, token: HeldToken?) {
        let failures = repeated.recovered(request.subject)
        switch answer {
        case .granted:
            counters.logins += 1
            log.info(words.made, metadata: Self.fields(of: token, failuresBefore: failures))
        case .renewed(let duration, _, _):
            counters.renewals += 1
            var fields: Logger.Metadata = ["lease": "\(duration?.text ?? "unlimited")"]
            if failures > 0 { fields["failures_before"] = "\(failures)" }
            log.info("Token renewed", metadata: fields)
        case .alive:
            counters.lookups += 1
            log.debug("Token looked up")
        case .revoked:
            log.info("Old token revoked")
        case .wrapped:
            log.debug("Token wrapped")
        case .refusedOnce, .failed:
            break
        }
    }

    func failed(_ request: LifecycleRequest, _ error: AgentError) {
        counters.failures[error.code, default: 0] += 1
        guard error.code != .cancelled, let attempts = repeated.failed(request.subject, error.code) else { return }
        var fields: Logger.Metadata = ["attempts": "\(attempts)"]
        if let retryAfter = error.retryAfter { fields["retry_after"] = "\(retryAfter.text)" }
        log.error(message(for: request), error: error, metadata: fields)
    }

    private func message(for request: LifecycleRequest) -> Logger.Message {
        switch request {
        case .logIn, .createChild: words.failed
        case .renew: "Renewal failed"
        case .lookUp: "Lookup failed"
        case .wrap: "Token could not be wrapped"
        case .revoke: "Revocation failed"
        }
    }

    private static func fields(of token: HeldToken?, failuresBefore failures: Int) -> Logger.Metadata {
        guard let token else { return [:] }
        var fields: Logger.Metadata = [
            "lease": "\(token.leaseDuration?.text ?? "unlimited")", "renewable": "\(token.renewable)",
            "policies": "\(token.policies.joined(separator: ","))",
        ]
        if !token.accessor.isEmpty { fields["accessor"] = "\(token.accessor)" }
        if failures > 0 { fields["failures_before"] = "\(failures)" }
        return fields
    }
}

extension LifecycleRequest {
    fileprivate var subject: String {
        switch self {
        case .logIn, .createChild: "log in"
        case .renew: "renew"
        case .lookUp: "look up"
        case .wrap: "wrap"
        case .revoke: "revoke"
        }
    }
}
