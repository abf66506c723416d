// TokenLifecycle: the one scheduler: which request comes next, and when.

import Diagnosis
import Timekeeping

extension TokenLifecycle {
    /// A request that is to be made.
    struct PlannedRequest {
        let request: LifecycleRequest
        let urgency: Urgency
        let at: Instant
        /// Of the tokens that it is about.
        let line: LineID
    }

    /// The shortest lease in use bounds how many requests may be made.
    var shortestLease: Duration {
        lines.map(\.fullLease).min() ?? Pace.leaseBeforeFirst
    }

    /// Of those that are due at `now` the most urgent; where none is, the one that is due first.
    func nextRequest(
        at now: Instant, for line: LineID? = nil, where isMeant: (PlannedRequest) -> Bool = { _ in true }
    ) -> PlannedRequest? {
        let candidates = candidates(at: now).filter { (line == nil || $0.line == line) && isMeant($0) }
        let due = candidates.filter { $0.at <= now }.min { ($0.urgency, $0.at) < ($1.urgency, $1.at) }
        return due ?? candidates.min { ($0.at, $0.urgency) < ($1.at, $1.urgency) }
    }

    private func candidates(at now: Instant) -> [PlannedRequest] {
        switch stage {
        case .idle, .ended: []
        case .ending: revocations(at: now)
        case .running: lines.flatMap { candidates(of: $0, at: now) } + wraps(at: now) + revocations(at: now)
        }
    }

    /// `deadline`: when readers lose what they have; once they have lost it, nothing is left to be saved by haste.
    private func candidate(
        _ request: LifecycleRequest, _ urgency: Urgency, at moment: Instant, line: TokenLine, deadline: Instant? = nil,
        now: Instant
    ) -> PlannedRequest {
        let deadline = deadline.flatMap { $0 > now ? $0 : nil }
        let attempt = Pace.timeForOneAttempt(fullLease: line.fullLease, maxBackoff: policy.maxBackoff)
        let floor = max(
            budget.earliest(for: urgency, fullLease: shortestLease),
            quiet.end(for: urgency, deadline: deadline, attempt: attempt))
        return PlannedRequest(request: request, urgency: urgency, at: max(moment, floor), line: line.id)
    }

    // MARK: Tokens

    private func candidates(of line: TokenLine, at now: Instant) -> [PlannedRequest] {
        var candidates: [PlannedRequest] = []
        if let (request, moment) = mainStep(line) {
            let urgency: Urgency =
                switch request {
                case .logIn, .renew: .keep
                case .createChild: .child
                case .wrap: .wrap
                case .lookUp: .lookUp
                case .revoke: .revoke
                }
            let deadline = line.current.map { validity(of: $0.id) }
            candidates.append(candidate(request, urgency, at: moment, line: line, deadline: deadline, now: now))
        }
        if let holding = line.current, holding.replacement == nil, let moment = lookup(of: holding, line) {
            candidates.append(candidate(.lookUp(holding.id), .lookUp, at: moment, line: line, now: now))
        }
        return candidates
    }

    /// The renewal, login or examination to make next, and not before when. Nil: none, ever, unless something happens.
    private func mainStep(_ line: TokenLine) -> (LifecycleRequest, at: Instant)? {
        switch line.state {
        case .lacking:
            return obtaining(line).map { ($0, line.retryAt) }
        case .examining(let id, let last, let logsInFirst):
            if logsInFirst { return (.logIn(withNewCredentials: credentialsRefused), line.retryAt) }
            // Long due: and a role that forbids lookups allows it.
            return (last == nil ? .lookUp(id) : .renew(id, increment: policy.increment), line.retryAt)
        case .holding(let holding):
            let lease = holding.lease
            let renewal = LifecycleRequest.renew(lease.id, increment: policy.increment)
            if holding.replacement != nil || isOutdated(holding), let obtaining = obtaining(line) {
                // A refused lookup is no proof. While the login fails and renewal is due, both are tried in turn.
                let isDue = lease.due.map { line.retryAt >= $0 } ?? false
                let failures = line.failures?.count ?? 0
                let triesRenewal = holding.replacement != .requested && lease.canBeRenewed && isDue
                return (triesRenewal && failures % 2 == 1 ? renewal : obtaining, line.retryAt)
            }
            guard let due = lease.due, let request = lease.canBeRenewed ? renewal : obtaining(line) else { return nil }
            return (request, max(due, line.retryAt))
        }
    }

    /// The request that brings another token; nil where there is no parent to make a child of.
    private func obtaining(_ line: TokenLine) -> LifecycleRequest? {
        if line.isLogins { return .logIn(withNewCredentials: credentialsRefused) }
        guard let parent = lines[0].current, !parent.isDead else { return nil }
        return .createChild(line.id, of: parent.id)
    }

    /// Whether it is a child of a token that has been replaced, and dies with that.
    func isOutdated(_ holding: Holding) -> Bool {
        guard let parent = holding.parent, let newest = lines[0].current else { return false }
        return parent != newest.id
    }

    /// When to ask about it, if that is worth while: a renewal shows as well that the token lives, and must not wait for a
    /// lookup's end.
    private func lookup(of holding: Holding, _ line: TokenLine) -> Instant? {
        let moment: Instant
        switch holding.lookup {
        case .never: return nil
        case .at(let at), .proving(let at): moment = at
        }
        guard let due = holding.lease.due else { return moment }
        return max(moment, settledAt) + min(line.fullLease / 50, .seconds(5)) < due ? moment : nil
    }

    // MARK: Wrapping tokens and revocations

    private func wraps(at now: Instant) -> [PlannedRequest] {
        sinks.compactMap { sink in
            guard let wrapping = sink.wrapping, !sink.isLeaving, let line = line(of: sink), let holding = line.current
            else { return nil }
            return candidate(
                .wrap(holding.id, for: sink.id), .wrap, at: wrapping.due(for: holding.id), line: line,
                deadline: wrapping.foundExpiry, now: now)
        }
    }

    private func revocations(at now: Instant) -> [PlannedRequest] {
        retired.compactMap { token in
            token.revocation.map { candidate(.revoke(token.id), .revoke, at: $0.at, line: lines[0], now: now) }
        }
    }

    func line(of sink: Sink) -> TokenLine? {
        lines.first { $0.id == sink.line }
    }

    // MARK: Begin

    mutating func beginRequest(at now: Instant) {
        guard flight == nil, let next = nextRequest(at: now), next.at <= now else { return }
        let line = lines.first { $0.id == next.line } ?? lines[0]
        var limit = Pace.requestLimit(
            fullLease: line.fullLease, troubledFor: line.failures.map { now - $0.since } ?? .zero)
        if case .ending(let until, _) = stage { limit = min(limit, until - now) }
        lastRequest += 1
        let flight = Flight(
            id: RequestID(number: lastRequest), request: next.request, urgency: next.urgency, startedAt: now)
        self.flight = flight
        effects.append(.request(flight.id, next.request, limit: limit))
    }
}
