// TokenLifecycle: what is known of the token that is held. Facts only; the token itself stays with the runtime.

package import Timekeeping

/// What Vault granted at a login, or said of a token that is taken over.
package struct Grant: Hashable, Sendable {
    package let id: TokenID
    /// When the request was sent: the lease runs from here at the latest.
    package let sentAt: Instant
    /// Nil: never expires (Vault says TTL 0).
    package let duration: Duration?
    /// The lease that the token was made with, where that is more than what is left.
    package let fullLease: Duration?
    package let renewable: Bool
    /// The token was made for a limited number of requests: the agent spends none it need not.
    package let limitedUses: Bool

    package init(
        id: TokenID, sentAt: Instant, duration: Duration?, fullLease: Duration? = nil, renewable: Bool,
        limitedUses: Bool = false
    ) {
        self.id = id
        self.sentAt = sentAt
        self.duration = duration
        self.fullLease = fullLease
        self.renewable = renewable
        self.limitedUses = limitedUses
    }
}

/// A lease as it was known when a former run wrote it down.
package struct KnownLease: Hashable, Sendable {
    /// Nil: never.
    package let expiry: Instant?
    /// The longest lease that Vault gave the token at once; nil: never expires.
    package let full: Duration?
    package let renewable: Bool
    package let limitedUses: Bool

    package init(expiry: Instant?, full: Duration?, renewable: Bool, limitedUses: Bool) {
        self.expiry = expiry
        self.full = full
        self.renewable = renewable
        self.limitedUses = limitedUses
    }
}

/// The lease of the token that is held.
struct Lease: Hashable, Sendable {
    let id: TokenID
    let limitedUses: Bool
    private(set) var renewable: Bool
    /// Counted from when the request was sent; nil: never.
    private(set) var expiry: Instant?
    /// The longest lease that Vault gave at once; nil: never expires.
    private(set) var full: Duration?
    /// Vault gave less than asked: no renewal will lead past ``expiry``.
    private(set) var nearMaximum = false
    /// When to renew, or to log in anew where renewal leads nowhere; nil: never.
    private(set) var due: Instant?

    init(_ grant: Grant, using generator: inout SeededGenerator) {
        id = grant.id
        limitedUses = grant.limitedUses
        renewable = grant.renewable
        expiry = grant.duration.map { grant.sentAt + $0 }
        full = grant.duration.map { max($0, grant.fullLease ?? $0) }
        plan(using: &generator)
    }

    init(_ id: TokenID, _ known: KnownLease, using generator: inout SeededGenerator) {
        self.id = id
        limitedUses = known.limitedUses
        renewable = known.renewable
        expiry = known.expiry
        full = known.full
        plan(using: &generator)
    }

    var known: KnownLease {
        KnownLease(expiry: expiry, full: full, renewable: canBeRenewed, limitedUses: limitedUses)
    }

    /// Whether renewing is of use: each request with a token of limited uses would spend one.
    var canBeRenewed: Bool { renewable && !nearMaximum && !limitedUses }

    func remaining(at now: Instant) -> Duration? {
        expiry.map { max(.zero, $0 - now) }
    }

    func isValid(at now: Instant) -> Bool {
        expiry.map { now < $0 } ?? true
    }

    /// Takes in a renewal's answer. `increment` is what was asked for; nil: whatever the role gives.
    ///
    /// Less than both what was asked for and what was given before means that the maximum cut it short.
    mutating func renew(
        duration: Duration?, renewable: Bool, sentAt: Instant, increment: Duration?,
        using generator: inout SeededGenerator
    ) {
        guard let duration else {
            (expiry, full, due, self.renewable) = (nil, nil, nil, renewable)
            return
        }
        let before = full ?? duration
        nearMaximum = duration < min(increment ?? before, before) * 0.95
        self.renewable = renewable
        expiry = sentAt + duration
        // A little less is the server's rounding, not a new measure.
        if !nearMaximum, duration < before * 0.95 || duration > before { full = duration }
        plan(using: &generator)
    }

    /// Vault says how long the token has left; believed where that differs from what is known by more than its whole
    /// seconds: somebody else renewed it or shortened its life, or the answer to a renewal was lost.
    mutating func learn(remaining: Duration?, sentAt: Instant, using generator: inout SeededGenerator) {
        guard let remaining, let known = expiry else { return }
        let said = sentAt + remaining
        guard said + .seconds(2) < known || said > known else { return }
        expiry = said
        full = full.map { max($0, remaining) }
        // Vault counts from a little after the request was sent, and tells whole seconds: a little more is no reason to renew at
        // another time.
        if said < known || said > known + .seconds(2) { plan(using: &generator) }
    }

    mutating func refuseRenewal() {
        renewable = false
    }

    private mutating func plan(using generator: inout SeededGenerator) {
        guard let expiry, let full else {
            due = nil
            return
        }
        let left = Pace.shareLeftWhenDue
        due = expiry - generator.share(of: full, between: left.least, and: left.most)
    }
}
