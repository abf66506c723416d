// AgentRuntime: `login`: the tokens are put into their sinks once, and that is all.

import Configuration
package import Crypto
import Diagnosis
import EventLoop
import Logging
import ServiceHealth
import Timekeeping
import TokenSinks

/// One token that `login` has put into its sinks.
package struct LoginSummary: Sendable {
    package let name: String
    package let token: Secret
    /// Empty for batch tokens.
    package let accessor: String
    package let policies: [String]
    package let metadata: [String: String]
    /// Nil: does not expire.
    package let leaseDuration: Duration?
    package let renewable: Bool
}

/// The real sinks, and nobody told of changes: `on_change` is for programs that run beside the service.
struct LoginSinks: SinkMaking {
    let factory: SinkFactory

    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        try factory.makeSink(settings, log: log)
    }
}

/// Waits until every token is served, or until one cannot be.
final class LoginReporter: HealthReporter {
    private let whenDecided: @Sendable (AgentError?) -> Void
    private var decided = false
    private(set) var latestTrouble: AgentError?

    init(whenDecided: @escaping @Sendable (AgentError?) -> Void) {
        self.whenDecided = whenDecided
    }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        let troubles = health.tokens.compactMap(\.firstTrouble)
        latestTrouble = troubles.first?.error
        if health.ready {
            decide(nil)
        } else if let hopeless = troubles.first(where: { $0.error.code.endsALogin }) {
            decide(hopeless.error)
        }
    }

    func reloading() {}
    func reloaded(_ health: AgentHealth, at now: WallTime) {}

    private func decide(_ error: AgentError?) {
        guard !decided else { return }
        decided = true
        whenDecided(error)
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
