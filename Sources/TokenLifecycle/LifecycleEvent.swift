// TokenLifecycle: what the core is told and what it wants done.

package import Diagnosis
package import Timekeeping

/// Names one request, so that an answer that comes late finds no ear.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    package let number: UInt64

    package init(number: UInt64) {
        self.number = number
    }

    package var description: String { "request \(number)" }
}

package enum LifecycleEvent: Sendable {
    /// The agent is up. `candidate` is a token that an earlier run left and that may still be good.
    case started(candidate: TokenID?)
    /// The answer to a request of ``LifecycleEffect/request(_:_:limit:)``.
    case answered(RequestID, LifecycleAnswer)
    /// Every sink holds this token, durably.
    case delivered(TokenID)
    case deliveryFailed(TokenID, AgentError)
    /// A sink does not hold any more what was put there.
    case sinkDisturbed
    /// The moment of ``TokenLifecycle/wake`` has come, or any other: nothing is due before its time.
    case timerFired
    /// Somebody asked for a new login now (SIGUSR1).
    case loginRequested
    case stopRequested
}

package enum LifecycleAnswer: Sendable {
    case loggedIn(Grant)
    /// `duration` nil: the token now never expires.
    case renewed(duration: Duration?, renewable: Bool, sentAt: Instant)
    /// The token lives. `grant` repeats what Vault says of it.
    case alive(Grant)
    case revoked
    case failed(AgentError)
}

/// One request to Vault.
package enum LifecycleRequest: Hashable, Sendable {
    /// `withNewCredentials`: Vault refused the AWS credentials or the time they were used at; fetch them anew.
    case logIn(withNewCredentials: Bool)
    case renew(TokenID, increment: Duration?)
    case lookUp(TokenID)
    case revoke(TokenID)
}

package enum LifecycleEffect: Hashable, Sendable {
    /// Make the request; answer with ``LifecycleEvent/answered(_:_:)`` once, within `limit` of asking Vault.
    case request(RequestID, LifecycleRequest, limit: Duration)
    /// Put the token into every sink; answer with `delivered` or `deliveryFailed`.
    case deliver(TokenID)
    /// Remove the token from every sink.
    case withdraw
    /// The token is of no use any more: let go of it.
    case forget(TokenID)
    /// Nothing is under way any more and nothing will be.
    case finished
}
