// TokenLifecycle: how one line of tokens is, in a form that STATUS, logs and the status file say in words.

package import Diagnosis
package import Timekeeping

package struct LifecycleHealth: Hashable, Sendable {
    package enum Phase: String, CaseIterable, Hashable, Sendable {
        /// No token in the sinks yet.
        case starting
        /// Readers of every sink find a valid token, the newest or the one before it, and nothing is wrong.
        case fresh
        /// Readers find a valid token, but something fails: a renewal, a login, a sink.
        case struggling
        /// There was a token and it is valid no more.
        case lost
        /// Not looked after any more.
        case stopped
    }

    package struct Trouble: Hashable, Sendable {
        package let error: AgentError
        package let since: Instant
        /// Failures in a row; 0: something that takes too long.
        package let attempts: Int
    }

    /// What the agent does next of its own accord.
    package enum Step: String, CaseIterable, Hashable, Sendable {
        case logIn = "log in"
        case createChild = "make the child token"
        case renew
        case lookUp = "look up"
        case wrap
        case revoke = "revoke the old token"
        case write = "write the sinks"
    }

    package struct Sink: Hashable, Sendable {
        package let id: SinkID
        /// Its readers find a token that is valid.
        package let delivered: Bool
        package let trouble: Trouble?
    }

    package struct Next: Hashable, Sendable {
        package let step: Step
        package let at: Instant
    }

    package let line: LineID
    package let phase: Phase
    /// When the phase began.
    package let since: Instant
    /// Until when what readers find is valid: the earliest of the sinks'. Nil: nothing that expires.
    package let validUntil: Instant?
    /// How long readers would go on if Vault, or AWS, went away now; nil: they have no valid token as it is.
    package let outageBudget: OutageBudget<Instant>?
    /// The whole of a lease that began last, of which that is left; nil: not known, or it does not expire.
    package let fullLease: Duration?
    /// What fails of logins, renewals and lookups.
    package let trouble: Trouble?
    package let sinks: [Sink]
    /// What comes next for these tokens and when; nil while a request is under way, and where nothing is to come. Lookups are
    /// told only where nothing else is to come: they change nothing, and many come between two renewals.
    package let next: Next?
}
