// TokenLifecycle: what each answer of Vault changes.

import Diagnosis
import Timekeeping

extension TokenLifecycle {
    // MARK: Good news

    /// The answer to a login.
    mutating func loggedIn(
        _ grant: Grant, _ flight: Flight, at now: Instant, _ effects: inout [LifecycleEffect]
    ) {
        if let duration = grant.duration, grant.sentAt + duration <= now {
            // Dead on arrival: what is in the sinks is no worse.
            effects.append(.forget(grant.id))
            let late = AgentError(
                .vaultUnavailable, "the login's answer took longer than the lease it brought",
                remedy: "Give the role a longer token_ttl, or see why Vault is slow")
            failed(late, flight, at: now, &effects)
            return
        }
        accept(grant, at: now)
    }

    mutating func accept(_ grant: Grant, at now: Instant) {
        if let before = heldLease {
            replaced.append(
                Replaced(id: before.id, expiry: before.expiry, lives: before.isValid(at: now) && replacement != .dead))
        }
        let lease = Lease(grant, using: &generator)
        pacingLease = lease.full ?? Pace.leaseBeforeFirst
        proving = replacement == .dead && !lookupsForbidden
        replacement = nil
        phase = .holding(lease)
        succeeded()
        deliver(lease.id, at: now)
        lookupAt = proving ? now : nextLookup(at: now, first: true)
    }

    mutating func renewed(
        _ duration: Duration?, _ renewable: Bool, _ sentAt: Instant, _ flight: Flight, at now: Instant
    ) {
        guard var lease = heldLease, flight.request == .renew(lease.id, increment: policy.increment) else { return }
        lease.renew(
            duration: duration, renewable: renewable, sentAt: sentAt, increment: policy.increment, using: &generator)
        pacingLease = lease.full ?? Pace.leaseBeforeFirst
        if replacement == .dead {
            // It lives: what refused the lookup was the role, not the token's end.
            lookupsForbidden = true
            replacement = nil
        }
        if case .lacking = phase { deliver(lease.id, at: now) }
        // A renewal moves the expiry, which some sinks tell; the others find all in place.
        delivery.hasNews = true
        phase = .holding(lease)
        succeeded()
        lookupAt = nextLookup(at: now)
    }

    mutating func alive(_ grant: Grant, at now: Instant) {
        switch phase {
        case .examining(let id) where grant.id == id:
            accept(grant, at: now)
        case .holding(var lease) where grant.id == lease.id:
            lease.learn(remaining: grant.duration, sentAt: grant.sentAt, using: &generator)
            phase = .holding(lease)
            proving = false
            if retryIsForLookup(at: now) { succeeded() }
            lookupAt = nextLookup(at: now)
        case .idle, .examining, .holding, .lacking, .stopping, .stopped:
            break
        }
    }

    mutating func succeeded() {
        failures = nil
        credentialsRefused = false
        retryAt = .distantPast
    }

    mutating func nextLookup(at now: Instant, first: Bool = false) -> Instant? {
        guard let lease = heldLease, !lease.limitedUses, !lookupsForbidden else { return nil }
        return now + Pace.lookupInterval(fullLease: pacingLease, first: first, using: &generator)
    }

    // MARK: Bad news

    mutating func failed(
        _ error: AgentError, _ flight: Flight, at now: Instant, _ effects: inout [LifecycleEffect]
    ) {
        if let asked = error.retryAfter {
            quietUntil = max(quietUntil, now + Pace.afterRetryAfter(asked, using: &generator))
        }
        switch flight.request {
        case .logIn(let withNewCredentials):
            loginFailed(error, flight, triedNewCredentials: withNewCredentials, at: now)
        case .renew:
            renewalFailed(error, flight, at: now)
        case .lookUp(let id):
            lookupFailed(error, id, flight, at: now, &effects)
        case .revoke:
            break  // dealt with before
        }
    }

    mutating func loginFailed(
        _ error: AgentError, _ flight: Flight, triedNewCredentials: Bool, at now: Instant
    ) {
        if replacement == .requested {
            // The token that is held is good: back to its own schedule, with the failure on record.
            replacement = nil
        }
        record(error, at: now)
        // Fetched anew, or signed with the time that the answer told: once at once, then with patience.
        credentialsRefused = error.code == .awsCredentialsRefused || error.code == .clockSkew
        if credentialsRefused, !triedNewCredentials {
            retryAt = now
        } else {
            retry(flight, at: now)
        }
    }

    mutating func renewalFailed(_ error: AgentError, _ flight: Flight, at now: Instant) {
        guard case .holding(var lease) = phase else {
            // It expired while Vault was asked: a login is due, and no failure of this request changes when.
            record(error, at: now)
            return
        }
        switch error.code {
        case .tokenDead where replacement == nil:
            replacement = .dead
            retryAt = now
        case .tokenAtMaximum, .tokenNotRenewable, .vaultDenied:
            lease.refuseRenewal()
            phase = .holding(lease)
            retryAt = now
        default:
            record(error, at: now)
            retry(flight, at: now)
        }
    }

    mutating func lookupFailed(
        _ error: AgentError, _ id: TokenID, _ flight: Flight, at now: Instant, _ effects: inout [LifecycleEffect]
    ) {
        let examining = phase == .examining(id)
        switch error.code {
        case let code where examining && !code.isPassing:
            phase = .lacking(last: nil)
            effects.append(.forget(id))
            failures = nil
            retryAt = now
        // Vault says that it knows the token and its policies do not let it ask.
        case .vaultDenied where !examining, .tokenDead where proving:
            proving = false
            lookupsForbidden = true
            lookupAt = nil
        case .tokenDead:
            guard case .holding = phase else { return }
            replacement = .dead
            lookupAt = nil
            retryAt = now
        default:
            record(error, at: now)
            if examining {
                retry(flight, at: now)
            } else {
                lookupAt = flight.startedAt + delay(at: now)
            }
        }
    }

    mutating func record(_ error: AgentError, at now: Instant) {
        failures = Failures.record(error, after: failures, at: now)
    }

    mutating func retry(_ flight: Flight, at now: Instant) {
        retryAt = flight.startedAt + delay(at: now)
    }

    mutating func delay(at now: Instant) -> Duration {
        let remaining: Duration =
            switch phase {
            case .holding(let lease): lease.remaining(at: now) ?? pacingLease
            case .idle, .examining, .lacking, .stopping, .stopped: .zero
            }
        return Pace.retryDelay(
            attempts: failures?.count ?? 1, fullLease: pacingLease, remaining: remaining,
            refused: failures?.error.code.needsPeople ?? false, maxBackoff: policy.maxBackoff, using: &generator)
    }

    /// The token's time is over and nothing better has come.
    mutating func expire(at now: Instant, _ effects: inout [LifecycleEffect]) {
        for index in replaced.indices where replaced[index].expiry.map({ $0 <= now }) ?? false {
            replaced[index].lives = false
        }
        if case .holding(let lease) = phase, !lease.isValid(at: now) { lose(lease, at: now) }
        if policy.expired == .remove { emptySinks(&effects) }
    }

    private mutating func lose(_ lease: Lease, at now: Instant) {
        phase = .lacking(last: lease)
        replacement = nil
        lookupAt = nil
        proving = false
        if failures == nil {
            record(
                AgentError(
                    .tokenDead, "the token expired before a new one could be had",
                    remedy: "See the log for what kept the agent from renewing it"), at: now)
        }
        // A token that is overdue is not made to wait out a pause that was meant for one with time to spare.
        retryAt = min(retryAt, now + Pace.mostDelay(fullLease: pacingLease, maxBackoff: policy.maxBackoff))
    }

    /// A token that expired before every sink held it has left the one before it in some: that stays for as long as it lives.
    private mutating func emptySinks(_ effects: inout [LifecycleEffect]) {
        guard case .lacking = phase, delivery.wanted != nil, !replaced.contains(where: \.lives) else { return }
        delivery.wanted = nil
        delivery.done = nil
        effects.append(.withdraw)
    }
}
