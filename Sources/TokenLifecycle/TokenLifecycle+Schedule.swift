// TokenLifecycle: what comes next, and when.

package import Timekeeping

extension TokenLifecycle {
    // MARK: What comes next

    var heldLease: Lease? {
        switch phase {
        case .holding(let lease): lease
        case .lacking(let last): last
        case .idle, .examining, .stopping, .stopped: nil
        }
    }

    /// The token that readers find while a newer one is on its way into the sinks.
    var tokenInSinks: Replaced? {
        replaced.first { $0.id == delivery.done }
    }

    /// Whether the failures on record, if any, are those of lookups: no renewal or login is due yet.
    func retryIsForLookup(at now: Instant) -> Bool {
        guard case .holding(let lease) = phase, replacement == nil else { return false }
        return lease.due.map { now < $0 } ?? true
    }

    /// The renewal or login to make next, and not before when. Nil: none, ever, unless something happens.
    func mainStep() -> (request: LifecycleRequest, at: Instant)? {
        let login = LifecycleRequest.logIn(withNewCredentials: credentialsRefused)
        switch phase {
        case .idle, .stopping, .stopped:
            return nil
        case .examining(let id):
            return (.lookUp(id), retryAt)
        case .lacking:
            return (login, retryAt)
        case .holding(let lease):
            let renewal = LifecycleRequest.renew(lease.id, increment: policy.increment)
            let renews = lease.canBeRenewed && !lease.limitedUses
            if replacement != nil {
                // A refused lookup is no proof. While the login fails and renewal is due, both are tried in turn.
                let isDue = lease.due.map { retryAt >= $0 } ?? false
                let triesRenewal = replacement == .dead && renews && isDue && (failures?.count ?? 0) % 2 == 1
                return (triesRenewal ? renewal : login, retryAt)
            }
            guard let due = lease.due else { return nil }
            return (renews ? renewal : login, max(due, retryAt))
        }
    }

    /// The next request and the earliest moment for it.
    func nextRequest() -> (request: LifecycleRequest, at: Instant)? {
        guard phase != .stopping, phase != .stopped else { return nil }
        let floor = max(budget.earliest(fullLease: pacingLease), quietUntil)
        var next = mainStep()
        if case .holding(let lease) = phase, replacement == nil, let lookupAt, asks(at: lookupAt, before: lease.due) {
            next = (.lookUp(lease.id), lookupAt)
        }
        if let revocation = revocations.min(by: { $0.at < $1.at }) {
            // Many at once must not keep a renewal waiting.
            let moment = max(revocation.at, floor, budget.whenQuarterUnspent(fullLease: pacingLease))
            if moment < next?.at ?? .distantFuture { next = (.revoke(revocation.id), moment) }
        }
        return next.map { ($0.request, max($0.at, floor)) }
    }

    /// Whether a lookup is worth while: a renewal shows as well that the token lives, and must not wait for a lookup's end.
    private func asks(at moment: Instant, before due: Instant?) -> Bool {
        due.map { moment + min(pacingLease / 50, .seconds(5)) < $0 } ?? true
    }

    /// Begins whatever is due.
    mutating func proceed(at now: Instant, _ effects: inout [LifecycleEffect]) {
        if flight == nil, let next = nextRequest(), next.at <= now {
            let troubledFor = failures.map { now - $0.since } ?? .zero
            let limit = Pace.requestLimit(fullLease: pacingLease, troubledFor: troubledFor)
            begin(next.request, limit: limit, at: now, &effects)
        }
        if let wanted = deliverable, delivery.notBefore <= now {
            delivery.underWay = wanted
            delivery.hasNews = false
            effects.append(.deliver(wanted))
        }
    }

    /// The token that is to be written now, or as soon as a pause is over. A dead one is not written any more.
    private var deliverable: TokenID? {
        guard case .holding = phase, delivery.underWay == nil, delivery.wanted != delivery.done || delivery.hasNews
        else { return nil }
        return delivery.wanted
    }

    mutating func begin(
        _ request: LifecycleRequest, limit: Duration, at now: Instant, _ effects: inout [LifecycleEffect]
    ) {
        lastRequest += 1
        let flight = Flight(id: RequestID(number: lastRequest), request: request, startedAt: now)
        self.flight = flight
        effects.append(.request(flight.id, request, limit: limit))
    }

    /// When ``handle(_:at:)`` wants to be called with `timerFired`; nil: not before something else happens.
    package var wake: Instant? {
        var moments: [Instant] = []
        if flight == nil, let next = nextRequest() { moments.append(next.at) }
        if case .holding(let lease) = phase, let expiry = lease.expiry { moments.append(expiry) }
        if deliverable != nil { moments.append(delivery.notBefore) }
        for old in replaced where old.lives {
            if let expiry = old.expiry { moments.append(expiry) }
        }
        return moments.min()
    }
}
