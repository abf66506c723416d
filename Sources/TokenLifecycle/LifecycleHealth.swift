// TokenLifecycle: how the token is, in a form that STATUS, logs and the status file say in words.

package import Diagnosis
package import Timekeeping

package struct LifecycleHealth: Hashable, Sendable {
    package enum Phase: String, Hashable, Sendable {
        /// No token in the sinks yet, nothing has failed.
        case starting
        /// Every sink holds a valid token, the newest or the one before it, and nothing is wrong.
        case fresh
        /// The token is valid, but something fails: a renewal, a login, a sink.
        case struggling
        /// There was a token and it is valid no more.
        case lost
        case stopped
    }

    package struct Trouble: Hashable, Sendable {
        package let error: AgentError
        package let since: Instant
        /// Failures in a row.
        package let attempts: Int
    }

    package enum Step: String, Hashable, Sendable {
        case logIn = "log in"
        case renew
        case lookUp = "look up"
        case revoke = "revoke the old token"
    }

    package let phase: Phase
    /// Nil with a valid token: it never expires. Nil without: there was none.
    package let validUntil: Instant?
    package let trouble: Trouble?
    package let sinkTrouble: Trouble?
    /// What comes next and when; nil while a request is under way.
    package let next: Next?

    package struct Next: Hashable, Sendable {
        package let step: Step
        package let at: Instant
    }
}
