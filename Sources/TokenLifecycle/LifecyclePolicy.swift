// TokenLifecycle: PURE. One token's life as a state machine. No clock, no I/O, no Foundation, no secret.

/// The choices that the configuration leaves to the operator about one token's life.
package struct LifecyclePolicy: Hashable, Sendable {
    /// What becomes of a token in the sinks once it has expired with no better one to be had.
    package enum Expired: String, CaseIterable, Hashable, Sendable {
        case keep, remove
    }

    /// What becomes of the old token once a new login has replaced it.
    package enum Replaced: Hashable, Sendable {
        /// It lives out its lease: readers may still hold it.
        case expire
        /// It is revoked after a grace.
        case revoke(after: Duration)
    }

    package var expired: Expired = .keep
    package var replaced: Replaced = .expire
    /// Lease to ask for at each renewal; nil: what the role gives.
    package var increment: Duration?
    package var revokeOnStop = false
    /// Most time between attempts once the token is dead, or nearly. The default is under the 30 s after which a healthy
    /// Vault must have given a fresh token; more spreads a fleet that comes back after an outage, and leaves it dead longer.
    package var maxBackoff: Duration = .seconds(25)
    /// Most time until a revoked token is noticed, at least 5 s; nil: a tenth of the lease, at most 5 min.
    package var lookupInterval: Duration?

    package init() {}
}
