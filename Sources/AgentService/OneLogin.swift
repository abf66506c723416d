// AgentService: `login`: the tokens are put into their sinks once, and that is all.

import AgentRuntime
import Configuration
import Diagnosis
import EventLoop
import Logging
import ServiceHealth
import Timekeeping
import TokenSinks

/// The real sinks, and nobody told of changes: `on_change` is for programs that run beside the service.
struct LoginSinks: SinkMaking {
    let factory: SinkFactory

    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        try factory.makeSink(settings, log: log)
    }
}

/// How a `login` ends.
enum LoginDecision: Sendable {
    /// Every sink holds its token.
    case served
    /// A failure that trying again within a minute does not mend.
    case hopeless(AgentError)
    case timedOut

    /// What failed last, as the reason for a time-out.
    static func failure(after timeout: Duration, _ health: AgentHealth) -> AgentError {
        let observed = "no token in every sink within \(timeout.text)"
        guard let last = health.tokens.compactMap(\.firstTrouble).first?.error else {
            return AgentError(.vaultUnavailable, "\(observed)", remedy: "Nothing has failed yet: give it more time")
        }
        return AgentError(last.code, "\(observed). The last failure: \(last.observed)", remedy: last.remedy)
    }
}

/// Waits until every token is served, or until one cannot be.
final class LoginReporter: HealthReporter {
    private let whenDecided: @Sendable (LoginDecision) -> Void
    private var decided = false

    /// Who waits for `login` waits for its end: it is told at once.
    var leastPause: Duration { .zero }

    var tellsConfiguration: Bool { false }

    init(whenDecided: @escaping @Sendable (LoginDecision) -> Void) {
        self.whenDecided = whenDecided
    }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        if health.ready {
            decide(.served)
        } else if let hopeless = health.tokens.compactMap(\.firstTrouble).first(where: { $0.error.code.endsALogin }) {
            decide(.hopeless(hopeless.error))
        }
    }

    func reloading() {}
    func reloaded(_ health: AgentHealth, at now: WallTime) {}

    private func decide(_ decision: LoginDecision) {
        guard !decided else { return }
        decided = true
        whenDecided(decision)
    }
}

extension AgentError.Code {
    /// Whether trying again within a minute is no use.
    fileprivate var endsALogin: Bool {
        switch self {
        case .awsCredentialsAbsent, .awsCredentialsBroken, .sinkUnwritable, .internalFault: true
        default: needsPeople
        }
    }
}
