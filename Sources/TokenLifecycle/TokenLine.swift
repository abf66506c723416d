// TokenLifecycle: one line of tokens, each of which takes the place of the one before it: what is held, what is known of it.

import Diagnosis
import Timekeeping

/// The tokens of the login, or the children of one kind.
struct TokenLine: Hashable, Sendable {
    enum State: Hashable, Sendable {
        /// No valid token; `last` is the one that expired.
        case lacking(last: Holding?)
        /// A token of an earlier run, not known to be dead, is asked about. `last`: what is on record of it, by which its time
        /// is over; nil: nothing is known. `logsInFirst`: somebody wants a login.
        case examining(TokenID, last: Holding?, logsInFirst: Bool)
        /// A token that was valid when last heard of.
        case holding(Holding)
    }

    let id: LineID
    var state = State.lacking(last: nil)
    /// Of logins, renewals and lookups in a row.
    var failures: Failures?
    /// The next renewal, login or examination is not made before.
    var retryAt = Instant.distantPast
    /// The full lease of the latest token: sets the pace while there is none.
    var fullLease = Pace.leaseBeforeFirst
    /// Vault refuses to tell of these tokens. Tried again with each new one.
    var lookupsForbidden = false
    /// What health says, and since when.
    var phase = LifecycleHealth.Phase.starting
    var phaseSince = Instant.distantPast
    /// The token that was announced last.
    var announced: TokenID?

    init(_ id: LineID) {
        self.id = id
    }

    var isLogins: Bool { id == .login }

    /// The token that is held, or was last.
    var latest: Holding? {
        switch state {
        case .holding(let holding): holding
        case .lacking(let last), .examining(_, let last, _): last
        }
    }

    var current: Holding? {
        if case .holding(let holding) = state { holding } else { nil }
    }

    func isExamining(_ id: TokenID) -> Bool {
        if case .examining(id, _, _) = state { true } else { false }
    }

    /// Changes what is known of the token that is held; nothing where none is.
    mutating func update(_ change: (inout Holding) -> Void) {
        guard case .holding(var holding) = state else { return }
        change(&holding)
        state = .holding(holding)
    }

    mutating func succeeded() {
        failures = nil
        retryAt = .distantPast
    }
}

/// A token that is held.
struct Holding: Hashable, Sendable {
    /// Why it is to be replaced before its time.
    enum Replacement: Hashable, Sendable {
        /// Vault does not know it any more, or so it says.
        case dead
        /// Somebody asked; dropped when it fails, for the token is good.
        case requested
        /// It comes from a login that the configuration does not have any more. `isDead`: and Vault does not know it, either.
        case unconfigured(isDead: Bool)
    }

    enum Lookup: Hashable, Sendable {
        /// Each would cost a use, or Vault forbids them.
        case never
        case at(Instant)
        /// Soon: was the token before it really dead, or are lookups forbidden?
        case proving(at: Instant)
    }

    var lease: Lease
    /// The token that it is a child of.
    let parent: TokenID?
    var replacement: Replacement?
    var isDead: Bool { replacement == .dead || replacement == .unconfigured(isDead: true) }
    var lookup: Lookup
    /// See ``SinkContent/edition``.
    var edition = 0
    /// Its lease is known from the record of an earlier run alone, and renewals after that may not have been recorded.
    var isHearsay = false

    var id: TokenID { lease.id }

    /// Past the end of its lease it may live all the same.
    var mayLiveOn: Bool { isHearsay && lease.canBeRenewed }

    var isProving: Bool {
        if case .proving = lookup { true } else { false }
    }
}

/// A token that a newer one has taken the place of. Kept while readers may find it, or a child of it.
struct Retired: Hashable, Sendable {
    let id: TokenID
    let parent: TokenID?
    /// Nil: never.
    let lease: KnownLease
    /// Nobody is to find it any more: it is revoked.
    struct Revocation: Hashable, Sendable {
        var at: Instant
        var attempts = 0
    }

    var revocation: Revocation?
    /// The line whose proof will tell whether it is really dead: Vault's word for that is also its word for a lookup that
    /// policies forbid. Nil: not in doubt.
    var doubtOf: LineID?
}
