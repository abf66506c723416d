// TokenLifecycle: the new token goes into the sinks, the old one goes away, and the last one at the stop.

import Diagnosis
import Timekeeping

extension TokenLifecycle {
    // MARK: Sinks

    mutating func deliver(_ id: TokenID, at now: Instant) {
        delivery.wanted = id
        delivery.notBefore = now
        delivery.failures = nil
    }

    mutating func delivered(_ id: TokenID, at now: Instant, _ effects: inout [LifecycleEffect]) {
        guard delivery.underWay == id else { return }
        delivery.underWay = nil
        delivery.failures = nil
        delivery.done = id
        delivery.notBefore = now + Pace.betweenRepairs
        guard delivery.wanted == id else {
            if delivery.wanted == nil, phase != .stopping, phase != .stopped {
                // It expired while it was written.
                delivery.done = nil
                effects.append(.withdraw)
            }
            return
        }
        for old in replaced {
            if old.lives, case .revoke(let grace) = policy.replaced {
                revocations.append(Revocation(id: old.id, at: now + grace))
            } else {
                effects.append(.forget(old.id))
            }
        }
        replaced = []
    }

    mutating func deliveryFailed(_ id: TokenID, _ error: AgentError, at now: Instant) {
        guard delivery.underWay == id else { return }
        delivery.underWay = nil
        delivery.done = nil
        delivery.failures = Failures.record(error, after: delivery.failures, at: now)
        delivery.notBefore =
            now + Pace.deliveryDelay(attempts: delivery.failures?.count ?? 1, using: &generator)
    }

    mutating func sinkDisturbed(at now: Instant) {
        guard delivery.wanted != nil else { return }
        delivery.done = nil
        // The write that is under way may have come before the disturbance.
        delivery.hasNews = delivery.underWay != nil
        // Right away, unless sinks fail anyway or were only just put right: then not faster than that.
        if delivery.failures == nil { delivery.notBefore = max(delivery.notBefore, now) }
    }

    // MARK: Revocation and stop

    mutating func revocationEnded(
        _ id: TokenID, _ answer: LifecycleAnswer, at now: Instant, _ effects: inout [LifecycleEffect]
    ) {
        guard let index = revocations.firstIndex(where: { $0.id == id }) else { return }
        revocations[index].attempts += 1
        if case .failed(let error) = answer, let asked = error.retryAfter {
            quietUntil = max(quietUntil, now + Pace.afterRetryAfter(asked, using: &generator))
        }
        if case .failed(let error) = answer, error.code != .tokenDead,
            revocations[index].attempts < Pace.revocationAttempts
        {
            revocations[index].at = now + Pace.mostDelay(fullLease: pacingLease, maxBackoff: policy.maxBackoff)
            return
        }
        revocations.remove(at: index)
        effects.append(.forget(id))
    }

    mutating func stop(at now: Instant, _ effects: inout [LifecycleEffect]) {
        guard phase != .stopping, phase != .stopped else { return }
        let last = heldLease
        phase = .stopping
        delivery.wanted = nil
        guard policy.revokeOnStop, let last else {
            finish(&effects)
            return
        }
        effects.append(.withdraw)
        guard last.isValid(at: now), now >= max(quietUntil, budget.whenUnspent(fullLease: pacingLease)) else {
            // Dead already; or Vault is to be left alone and stopping cannot wait: the token lives out its lease.
            finish(&effects)
            return
        }
        begin(.revoke(last.id), limit: Pace.revocationLimitWhenStopping, at: now, &effects)
    }

    mutating func finish(_ effects: inout [LifecycleEffect]) {
        phase = .stopped
        flight = nil
        effects.append(.finished)
    }
}
