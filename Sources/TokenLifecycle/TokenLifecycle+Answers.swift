// TokenLifecycle: what each answer of Vault changes.

import Diagnosis
import Timekeeping

extension TokenLifecycle {
    mutating func take(_ answer: LifecycleAnswer, of flight: Flight, at now: Instant) {
        if case .failed(let error) = answer {
            failed(error, flight, at: now)
            return
        }
        quiet.served()
        switch (flight.request, answer) {
        case (.logIn, .granted(let grant)):
            granted(grant, parent: nil, line: 0, flight, at: now)
            loginEnded(nil, at: now)
        case (.logIn, .refusedOnce): lines[0].retryAt = now
        case (.createChild(let line, let parent), .granted(let grant)):
            guard let index = index(of: line) else { return retire(grant, at: now) }
            granted(grant, parent: parent, line: index, flight, at: now)
        case (.renew(let id, _), .renewed(let duration, let renewable, let sentAt)):
            renewed(id, duration, renewable, sentAt, at: now)
        case (.lookUp, .alive(let grant)): alive(grant, at: now)
        case (.wrap(let token, let sink), .wrapped(let id, let duration, let sentAt)):
            wrapped(id, token, duration, sentAt, for: sink)
        case (.revoke(let id), .revoked):
            retired.removeAll { $0.id == id }
            effects.append(.forget(id))
        case (_, .granted(let grant)): effects.append(.forget(grant.id))
        case (_, .wrapped(let id, _, _)): effects.append(.forget(id))
        default: break
        }
    }

    func index(of line: LineID) -> Int? {
        lines.firstIndex { $0.id == line }
    }

    // MARK: Good news

    private mutating func granted(
        _ grant: Grant, parent: TokenID?, line index: Int, _ flight: Flight, at now: Instant
    ) {
        guard stage == .running else { return retire(grant, at: now) }
        if let duration = grant.duration, grant.sentAt + duration <= now {
            // Dead on arrival: what is in the sinks is no worse.
            effects.append(.forget(grant.id))
            let late = AgentError(
                .vaultUnavailable, "the answer took longer than the lease it brought",
                remedy: "Give the role a longer token_ttl, or see why Vault is slow")
            record(late, line: index, at: now)
            retry(flight, line: index, at: now)
            return
        }
        let before = lines[index].latest
        let proves = before?.isDead == true || lines[index].lookupsForbidden
        retireToken(of: lines[index])
        hold(Lease(grant, using: &generator), parent: parent, line: index)
        let lookup = nextLookup(line: index, first: true, at: now)
        if proves, lookup != .never {
            plan(.proving(at: now), line: index)
        } else {
            plan(lookup, line: index)
            settleDoubts(of: lines[index].id, isDead: false)
        }
        if index == 0 { credentialsRefused = false }
    }

    /// Makes this the line's token. Whatever hindered those before it is over.
    mutating func hold(_ lease: Lease, parent: TokenID?, line index: Int) {
        lines[index].fullLease = lease.full ?? Pace.leaseBeforeFirst
        lines[index].lookupsForbidden = false
        lines[index].state = .holding(Holding(lease: lease, parent: parent, replacement: nil, lookup: .never))
        lines[index].succeeded()
        for sink in sinks.indices where sinks[sink].line == lines[index].id {
            sinks[sink].wrapping?.retryAt = .distantPast
        }
        guard index == 0 else { return }
        // A child that could not be made of the token before may be made of this one.
        for child in lines.indices.dropFirst() { lines[child].retryAt = .distantPast }
    }

    private mutating func renewed(
        _ id: TokenID, _ duration: Duration?, _ renewable: Bool, _ sentAt: Instant, at now: Instant
    ) {
        guard let index = lines.firstIndex(where: { $0.latest?.id == id }), var holding = lines[index].latest else {
            return
        }
        holding.lease.renew(
            duration: duration, renewable: renewable, sentAt: sentAt, increment: policy.increment, using: &generator)
        lines[index].fullLease = holding.lease.full ?? Pace.leaseBeforeFirst
        if holding.isDead {
            // It lives: what refused the lookup was the role, not the token's end.
            lines[index].lookupsForbidden = true
            holding.replacement = holding.replacement == .dead ? nil : .unconfigured(isDead: false)
        }
        // A renewal moves the expiry, which some sinks tell; the others find all in place.
        holding.edition += 1
        holding.isHearsay = false
        lines[index].state = .holding(holding)
        if holding.replacement == nil { lines[index].succeeded() } else { lines[index].failures?.passTurn() }
        plan(nextLookup(line: index, at: now), line: index)
    }

    private mutating func alive(_ grant: Grant, at now: Instant) {
        for index in lines.indices {
            switch lines[index].state {
            case .examining(let id, _, _) where grant.id == id:
                hold(Lease(grant, using: &generator), parent: nil, line: index)
            case .holding(var holding) where grant.id == holding.id:
                holding.lease.learn(remaining: grant.duration, sentAt: grant.sentAt, using: &generator)
                holding.isHearsay = false
                lines[index].state = .holding(holding)
                if holding.isProving { settleDoubts(of: lines[index].id, isDead: true) }
                if retryIsForLookup(lines[index], at: now) { lines[index].succeeded() }
            case .examining, .holding, .lacking: continue
            }
            plan(nextLookup(line: index, at: now), line: index)
        }
    }

    private mutating func wrapped(
        _ id: TokenID, _ token: TokenID, _ duration: Duration, _ sentAt: Instant, for sink: SinkID
    ) {
        guard let index = sinks.firstIndex(where: { $0.id == sink }), var wrapping = sinks[index].wrapping,
            line(of: sinks[index])?.current?.id == token
        else {
            effects.append(.forget(id))
            return
        }
        let spent = Pace.wrappingSpentWhenDue
        let due = sentAt + generator.share(of: duration, between: spent.least, and: spent.most)
        if let before = wrapping.newest, before.id != sinks[index].found?.content.wrapping {
            effects.append(.forget(before.id))
        }
        wrapping.newest = .init(id: id, token: token, expiry: sentAt + duration, due: due)
        (wrapping.failures, wrapping.retryAt) = (nil, .distantPast)
        sinks[index].wrapping = wrapping
    }

    private mutating func nextLookup(line index: Int, first: Bool = false, at now: Instant) -> Holding.Lookup {
        guard let holding = lines[index].current, !holding.lease.limitedUses, !lines[index].lookupsForbidden else {
            return .never
        }
        return .at(
            now
                + Pace.lookupInterval(
                    fullLease: lines[index].fullLease, most: policy.lookupInterval, first: first, using: &generator))
    }

    /// The interval is another one. A fleet that was reloaded as one does not ask as one.
    mutating func planLookupsAnew(at now: Instant) {
        for index in lines.indices {
            guard case .at = lines[index].current?.lookup else { continue }
            plan(nextLookup(line: index, first: true, at: now), line: index)
        }
    }

    private mutating func plan(_ lookup: Holding.Lookup, line index: Int) {
        lines[index].update { $0.lookup = lookup }
    }

    // MARK: Bad news

    private mutating func failed(_ error: AgentError, _ flight: Flight, at now: Instant) {
        let most = Pace.mostDelay(fullLease: shortestLease, maxBackoff: policy.maxBackoff)
        quiet.refused(flight.urgency, with: error, most: most, at: now, using: &generator)
        switch flight.request {
        case .logIn(let withNewCredentials):
            loginFailed(error, flight, triedNewCredentials: withNewCredentials, at: now)
        case .createChild(let line, let parent):
            guard let index = index(of: line) else { return }
            record(error, line: index, at: now)
            retry(flight, line: index, at: now)
            if error.code == .tokenDead { doubt(parent, at: now) }
        case .renew(let id, _):
            guard let index = lines.firstIndex(where: { $0.latest?.id == id }) else { return }
            renewalFailed(error, flight, line: index, at: now)
        case .lookUp(let id): lookupFailed(error, id, flight, at: now)
        case .wrap(let token, let sink):
            guard let index = sinks.firstIndex(where: { $0.id == sink }), var wrapping = sinks[index].wrapping else {
                return
            }
            wrapping.failures = Failures.record(error, after: wrapping.failures, at: now)
            wrapping.retryAt = flight.startedAt + delay(wrapping, line(of: sinks[index]) ?? lines[0], at: now)
            sinks[index].wrapping = wrapping
            if error.code == .tokenDead { doubt(token, at: now) }
        case .revoke(let id): revocationFailed(error, id, at: now)
        }
    }

    /// What was asked with that token was refused as if it were dead: it is asked about now.
    private mutating func doubt(_ id: TokenID, at now: Instant) {
        guard let index = lines.firstIndex(where: { $0.current?.id == id }) else { return }
        lines[index].update { if case .at(let moment) = $0.lookup { $0.lookup = .at(min(moment, now)) } }
    }

    private mutating func loginFailed(
        _ error: AgentError, _ flight: Flight, triedNewCredentials: Bool, at now: Instant
    ) {
        record(error, line: 0, at: now)
        // Fetched anew, or signed with the time that the answer told: once at once, then with patience.
        credentialsRefused = error.code == .awsCredentialsRefused || error.code == .clockSkew
        if credentialsRefused, !triedNewCredentials {
            lines[0].retryAt = now
            return
        }
        // The token that is held is good: back to its own schedule, with the failure on record.
        lines[0].update { if $0.replacement == .requested { $0.replacement = nil } }
        examine(logsInFirst: false)
        retry(flight, line: 0, at: now)
        loginEnded(error, at: now)
    }

    private mutating func renewalFailed(_ error: AgentError, _ flight: Flight, line index: Int, at now: Instant) {
        if case .examining(let id, let last?, let logsInFirst) = lines[index].state {
            // Anything but that it is dead shows that it lives, or nothing.
            if error.code == .tokenDead {
                lines[index].state = .lacking(last: last)
                beginAgain(line: index, at: now)
            } else if error.code.isPassing {
                record(error, line: index, at: now)
                retry(flight, line: index, at: now)
            } else {
                lines[index].state = .examining(id, last: nil, logsInFirst: logsInFirst)
                lines[index].retryAt = now
            }
            return
        }
        guard let holding = lines[index].current else {
            // It expired while Vault was asked: a login is due, and no failure of this request changes when.
            record(error, line: index, at: now)
            return
        }
        switch error.code {
        case .tokenDead where holding.replacement == nil || holding.replacement == .requested:
            lines[index].update { $0.replacement = .dead }
            beginAgain(line: index, at: now)
        case .tokenAtMaximum, .tokenNotRenewable, .vaultDenied:
            lines[index].update { $0.lease.refuseRenewal() }
            lines[index].retryAt = now
        default:
            record(error, line: index, at: now)
            retry(flight, line: index, at: now)
        }
    }

    private mutating func lookupFailed(_ error: AgentError, _ id: TokenID, _ flight: Flight, at now: Instant) {
        for index in lines.indices {
            switch lines[index].state {
            case .examining(id, _, _) where !error.code.isPassing:
                retireUnknown(id)
                lines[index].state = .lacking(last: nil)
                lines[index].failures = nil
                lines[index].retryAt = now
            case .examining(id, _, _):
                record(error, line: index, at: now)
                retry(flight, line: index, at: now)
            case .holding(let holding) where holding.id == id:
                lookupFailed(error, of: holding, flight, line: index, at: now)
            case .examining, .holding, .lacking: break
            }
        }
    }

    private mutating func lookupFailed(
        _ error: AgentError, of holding: Holding, _ flight: Flight, line index: Int, at now: Instant
    ) {
        switch error.code {
        // Vault says that it knows the token and its policies do not let it ask.
        case .vaultDenied,
            .tokenDead where holding.isProving:
            lines[index].lookupsForbidden = true
            plan(.never, line: index)
            settleDoubts(of: lines[index].id, isDead: false)
        case .tokenDead:
            lines[index].update { ($0.replacement, $0.lookup) = (.dead, .never) }
            beginAgain(line: index, at: now)
        default:
            record(error, line: index, at: now)
            let moment = flight.startedAt + delay(line: index, at: now)
            plan(holding.isProving ? .proving(at: moment) : .at(moment), line: index)
        }
    }

    mutating func record(_ error: AgentError, line index: Int, at now: Instant) {
        lines[index].failures = Failures.record(error, after: lines[index].failures, at: now)
    }

    private mutating func retry(_ flight: Flight, line index: Int, at now: Instant) {
        lines[index].retryAt = flight.startedAt + delay(line: index, at: now)
    }

    /// What hindered the token that Vault now calls dead says nothing of its replacement: that is tried at once, and first.
    private mutating func beginAgain(line index: Int, at now: Instant) {
        lines[index].failures = lines[index].failures.map { Failures(error: $0.error, since: $0.since, count: 0) }
        lines[index].retryAt = now
    }

    private mutating func delay(line index: Int, at now: Instant) -> Duration {
        let line = lines[index]
        // What Vault calls dead gives readers no time to spare.
        let good = line.current.flatMap { $0.isDead ? nil : $0.id }
        return delay(line.failures, line, until: good.map { validity(of: $0) }, at: now)
    }

    private mutating func delay(_ wrapping: Wrapping, _ line: TokenLine, at now: Instant) -> Duration {
        delay(wrapping.failures, line, until: wrapping.foundExpiry, at: now)
    }

    /// `end`: of what readers have; nil: nothing.
    private mutating func delay(
        _ failures: Failures?, _ line: TokenLine, until end: Instant?, at now: Instant
    ) -> Duration {
        Pace.retryDelay(
            attempts: failures?.count ?? 1, fullLease: line.fullLease,
            remaining: end.map { max(.zero, min($0 - now, line.fullLease)) } ?? .zero,
            refused: failures?.error.code.needsPeople ?? false, maxBackoff: policy.maxBackoff, using: &generator)
    }

    /// Whether the failures on record, if any, are those of lookups: no renewal or login is due yet.
    private func retryIsForLookup(_ line: TokenLine, at now: Instant) -> Bool {
        guard let holding = line.current, holding.replacement == nil, !isOutdated(holding) else { return false }
        return holding.lease.due.map { now < $0 } ?? true
    }

    // MARK: Logins that somebody asked for

    mutating func requestLogin(at now: Instant) {
        // Whoever asks for it knows better than what Vault said before.
        quiet = Quiet()
        examine(logsInFirst: true)
        lines[0].update { $0.replacement = $0.replacement ?? .requested }
        lines[0].retryAt = now
        if case .logIn = flight?.request { wish = .anotherLogin } else { wish = .login }
    }

    private mutating func examine(logsInFirst: Bool) {
        guard case .examining(let id, let last, _) = lines[0].state else { return }
        lines[0].state = .examining(id, last: last, logsInFirst: logsInFirst)
    }

    private mutating func loginEnded(_ error: AgentError?, at now: Instant) {
        switch wish {
        case .none: break
        case .login:
            wish = .none
            effects.append(.requestedLoginEnded(error))
        case .anotherLogin:
            wish = .login
            lines[0].update { $0.replacement = $0.replacement ?? .requested }
            lines[0].retryAt = now
        }
    }
}

extension Failures {
    /// A renewal that worked while the login fails: the login's turn is next.
    fileprivate mutating func passTurn() {
        self = Failures(error: error, since: since, count: count + 1)
    }
}
