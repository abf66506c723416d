// TokenLifecycle: what the core asks of Vault and of the sinks, and what Vault answers.

package import Diagnosis
package import Timekeeping

/// One request to Vault.
package enum LifecycleRequest: Hashable, Sendable {
    /// `withNewCredentials`: Vault refused the AWS credentials or the time they were used at; fetch them anew.
    case logIn(withNewCredentials: Bool)
    /// A child of that token, for this line.
    case createChild(LineID, of: TokenID)
    case renew(TokenID, increment: Duration?)
    case lookUp(TokenID)
    /// A wrapping token for that token, for this sink.
    case wrap(TokenID, for: SinkID)
    case revoke(TokenID)

    var bringsToken: Bool {
        switch self {
        case .logIn, .createChild: true
        case .renew, .lookUp, .wrap, .revoke: false
        }
    }
}

package enum LifecycleAnswer: Sendable {
    /// To `logIn` and `createChild`.
    case granted(Grant)
    /// `duration` nil: the token now never expires.
    case renewed(duration: Duration?, renewable: Bool, sentAt: Instant)
    /// The token lives. `grant` repeats what Vault says of it.
    case alive(Grant)
    /// The wrapping token is good for `duration` from `sentAt`.
    case wrapped(TokenID, duration: Duration, sentAt: Instant)
    case revoked
    /// To `logIn`: refused, and another signature may do better. The next one begins as soon as the budget has room.
    case refusedOnce
    case failed(AgentError)
}

/// What a sink is to hold.
package struct SinkContent: Hashable, Sendable {
    package let token: TokenID
    /// What stands for the token in a sink that wraps.
    package let wrapping: TokenID?
    /// Counts what has become known of the token since: its new expiry, which some sinks tell.
    package let edition: Int
}

package enum LifecycleEffect: Hashable, Sendable {
    /// Make the request; tell its end once by ``TokenLifecycle/answered(_:_:at:)``, within `limit` of asking Vault.
    case request(RequestID, LifecycleRequest, limit: Duration)
    /// Put this into the sink; tell by `sinkWrote` or `sinkFailed`.
    case write(SinkID, SinkContent)
    /// Empty the sink; tell by `sinkWithdrew` or `sinkFailed`.
    case withdraw(SinkID)
    /// Nobody writes to this sink any more: let go of it, and leave what it holds.
    case release(SinkID)
    /// Readers of the sink find another token than before.
    case announceSink(SinkID, SinkContent)
    /// Readers of the line's sinks find another token than before.
    case announceToken(TokenID)
    /// Keep ``TokenLifecycle/memory`` for the next start, before anything else is done: the process may end in between.
    case remember
    /// The token, or wrapping token, is of no use any more.
    case forget(TokenID)
    /// A login that somebody asked for is over; nil: it worked.
    case requestedLoginEnded(AgentError?)
    /// Nothing is under way any more and nothing will be.
    case finished
}
