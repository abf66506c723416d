// TokenLifecycle: the state machine of one token. Told what happened and when, it says what to do and when to ask again.

import Diagnosis
package import Timekeeping

/// One token's life, from the first login to the stop.
///
/// Pure: the same seed and the same events at the same moments give the same effects. One Vault request at a time; none
/// before ``RequestBudget`` allows it. Call ``handle(_:at:)`` for every event and again at ``wake``.
package struct TokenLifecycle: Sendable {
    enum Phase: Hashable, Sendable {
        /// Before `started`.
        case idle
        /// A token of an earlier run is asked about.
        case examining(TokenID)
        /// A token that was valid when last heard of.
        case holding(Lease)
        /// No valid token; `last` is the one that expired.
        case lacking(last: Lease?)
        /// Told to stop; the last token may be under revocation.
        case stopping
        case stopped
    }

    /// Why the token that is held is to be replaced before its time.
    enum Replacement: Hashable, Sendable {
        /// Vault does not know it any more, or so it says.
        case dead
        /// Somebody asked; dropped when it fails, for the token is good.
        case requested
    }

    /// A request under way.
    struct Flight: Hashable, Sendable {
        let id: RequestID
        let request: LifecycleRequest
        let startedAt: Instant
    }

    /// Failures in a row, of requests or of sinks.
    struct Failures: Hashable, Sendable {
        var error: AgentError
        let since: Instant
        var count: Int

        static func record(_ error: AgentError, after before: Failures?, at now: Instant) -> Failures {
            Failures(error: error, since: before?.since ?? now, count: (before?.count ?? 0) + 1)
        }
    }

    /// The sinks: what they should hold, what they hold.
    struct Delivery: Hashable, Sendable {
        var wanted: TokenID?
        var done: TokenID?
        var underWay: TokenID?
        /// There is news about the token that the sinks hold: they are asked to take it in.
        var hasNews = false
        var notBefore = Instant.distantPast
        var failures: Failures?

        var isComplete: Bool { wanted == done }
    }

    /// A token that a newer one has taken the place of. Until the new one is in every sink, readers still find it.
    struct Replaced: Hashable, Sendable {
        let id: TokenID
        /// Nil: never.
        let expiry: Instant?
        var lives: Bool
    }

    struct Revocation: Hashable, Sendable {
        let id: TokenID
        var at: Instant
        var attempts = 0
    }

    let policy: LifecyclePolicy
    var generator: SeededGenerator
    var phase = Phase.idle
    var replacement: Replacement?
    var flight: Flight?
    var lastRequest: UInt64 = 0
    var budget = RequestBudget()
    var failures: Failures?
    /// The next renewal or login is not made before.
    var retryAt = Instant.distantPast
    /// Vault asked to be left alone until then.
    var quietUntil = Instant.distantPast
    var lookupAt: Instant?
    /// The token of a new login is asked about at once: was the old one really dead, or are lookups forbidden?
    var proving = false
    var lookupsForbidden = false
    var credentialsRefused = false
    /// The full lease of the latest token: sets the pace while there is none.
    var pacingLease = Pace.leaseBeforeFirst
    var delivery = Delivery()
    /// Tokens that were replaced: kept until the new one is in every sink.
    var replaced: [Replaced] = []
    var revocations: [Revocation] = []

    package init(policy: LifecyclePolicy, seed: UInt64) {
        self.policy = policy
        generator = SeededGenerator(seed: seed)
    }

    // MARK: Events

    /// Takes in what happened and answers what to do, in this order.
    package mutating func handle(_ event: LifecycleEvent, at now: Instant) -> [LifecycleEffect] {
        var effects: [LifecycleEffect] = []
        switch event {
        case .started(let candidate):
            start(candidate, at: now)
        case .answered(let id, let answer):
            answered(id, answer, at: now, &effects)
        case .delivered(let id):
            delivered(id, at: now, &effects)
        case .deliveryFailed(let id, let error):
            deliveryFailed(id, error, at: now)
        case .sinkDisturbed:
            sinkDisturbed(at: now)
        case .timerFired:
            break
        case .loginRequested:
            if case .holding = phase, replacement == nil { replacement = .requested }
            retryAt = now
        case .stopRequested:
            stop(at: now, &effects)
        }
        expire(at: now, &effects)
        proceed(at: now, &effects)
        return effects
    }

    mutating func start(_ candidate: TokenID?, at now: Instant) {
        guard phase == .idle else { return }
        phase = candidate.map { .examining($0) } ?? .lacking(last: nil)
        retryAt = now
    }

    mutating func answered(
        _ id: RequestID, _ answer: LifecycleAnswer, at now: Instant, _ effects: inout [LifecycleEffect]
    ) {
        guard let flight, flight.id == id else { return }
        self.flight = nil
        budget.ended(at: now)
        if phase == .stopping {
            finish(&effects)
            return
        }
        if case .revoke(let token) = flight.request {
            revocationEnded(token, answer, at: now, &effects)
            return
        }
        switch answer {
        case .loggedIn(let grant): loggedIn(grant, flight, at: now, &effects)
        case .renewed(let duration, let renewable, let sentAt):
            renewed(duration, renewable, sentAt, flight, at: now)
        case .alive(let grant): alive(grant, at: now)
        case .failed(let error): failed(error, flight, at: now, &effects)
        case .revoked: break  // the answer to `revoke` alone, which is dealt with above
        }
    }

    // MARK: Health

    /// How the token is at `now`.
    package func health(at now: Instant) -> LifecycleHealth {
        let lease = heldLease
        let valid = lease?.isValid(at: now) ?? false
        let phase: LifecycleHealth.Phase =
            switch self.phase {
            case .stopping, .stopped: .stopped
            case .idle: .starting
            case .examining, .lacking(last: nil): .starting
            case .lacking: .lost
            case .holding where !valid: .lost
            case .holding where failures != nil || delivery.failures != nil: .struggling
            // While the new token is on its way into the sinks, the old one there may still be good.
            case .holding: delivery.isComplete || tokenInSinks?.lives == true ? .fresh : .starting
            }
        var next: LifecycleHealth.Next?
        if flight == nil, let request = nextRequest() {
            next = LifecycleHealth.Next(step: request.request.step, at: request.at)
        }
        return LifecycleHealth(
            phase: phase, validUntil: lease?.expiry, trouble: failures.map(\.asTrouble),
            sinkTrouble: delivery.failures.map(\.asTrouble), next: next)
    }
}

extension TokenLifecycle.Failures {
    var asTrouble: LifecycleHealth.Trouble {
        LifecycleHealth.Trouble(error: error, since: since, attempts: count)
    }
}

extension LifecycleRequest {
    var step: LifecycleHealth.Step {
        switch self {
        case .logIn: .logIn
        case .renew: .renew
        case .lookUp: .lookUp
        case .revoke: .revoke
        }
    }
}
