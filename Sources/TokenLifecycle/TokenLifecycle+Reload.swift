// TokenLifecycle: what a start finds, what a reload keeps, and what is remembered for the next start.

import Timekeeping

/// A token that readers of a sink find, with what the next start needs to go on with it.
package struct HeldInSink: Hashable, Sendable {
    package let sink: SinkID
    package let token: TokenID
    package let line: LineID
    package let parent: TokenID?
    package let lease: KnownLease
}

extension TokenLifecycle {
    // MARK: Start

    /// Of several the newest that is valid is the line's token. One of which nothing is known is asked about first.
    mutating func takeOver(_ found: [FoundToken], line index: Int, at now: Instant) {
        for token in found {
            for sink in sinks.indices where token.sinks.contains(sinks[sink].id) {
                // Of no edition: whatever the sink holds, it is written once, and so looked at.
                let content = SinkContent(token: token.id, wrapping: nil, edition: -1)
                sinks[sink].found = Sink.Found(content: content, line: sinks[sink].line, damagedSince: nil)
            }
            if let full = token.lease?.full { lines[index].fullLease = full }
            guard case .lacking(last: nil) = lines[index].state else {
                takeBack(token, at: now)
                continue
            }
            guard let lease = token.lease else {
                lines[index].state = .examining(token.id, last: nil, logsInFirst: false)
                continue
            }
            guard lease.renewable || lease.expiry.map({ now < $0 }) ?? true, isParentKnown(token, at: now) else {
                effects.append(.forget(token.id))
                continue
            }
            hold(Lease(token.id, lease, using: &generator), parent: token.parent, line: index)
            lines[index].announced = token.id
            lines[index].update {
                $0.lookup = lease.limitedUses ? .never : .at(now)
                $0.isHearsay = true
            }
            if let last = lines[index].current, validity(of: last.id) <= now {
                lines[index].state = .examining(last.id, last: last, logsInFirst: false)
            }
        }
    }

    private func isParentKnown(_ token: FoundToken, at now: Instant) -> Bool {
        token.parent.map { validity(of: $0) > now } ?? true
    }

    /// An older token that stands in a sink that the newest has not reached.
    private mutating func takeBack(_ token: FoundToken, at now: Instant) {
        guard let lease = token.lease, lease.expiry.map({ now < $0 }) ?? true else {
            effects.append(.forget(token.id))
            return
        }
        retired.append(Retired(id: token.id, parent: token.parent, lease: lease))
    }

    /// What is known of the tokens that readers may find from now on, by sink: of the one that stands there, and of the one that
    /// is being written, whose readers come before the news of it.
    package var memory: [HeldInSink] {
        sinks.filter { $0.wrapTTL == nil }.flatMap { sink in
            sink.tokens.compactMap { held($0, in: sink) }
        }
    }

    private func held(_ id: TokenID, in sink: Sink) -> HeldInSink? {
        for line in lines {
            guard let holding = line.latest, holding.id == id else { continue }
            return HeldInSink(
                sink: sink.id, token: id, line: sink.line, parent: holding.parent, lease: holding.lease.known)
        }
        return retired.first { $0.id == id }.map {
            HeldInSink(sink: sink.id, token: id, line: sink.line, parent: $0.parent, lease: $0.lease)
        }
    }

    // MARK: Reload

    mutating func reconfigure(
        _ outline: LifecycleOutline, _ login: LoginChange, _ taken: Set<SinkID>, at now: Instant
    ) {
        let lookupIntervalChanges = outline.policy.lookupInterval != policy.lookupInterval
        policy = outline.policy
        renewalAsksAWS = outline.renewalAsksAWS
        if lookupIntervalChanges { planLookupsAnew(at: now) }
        // Somebody is at work on it: what failed before may be mended.
        quiet = Quiet()
        for index in lines.indices where lines[index].failures != nil {
            lines[index].retryAt = min(lines[index].retryAt, now)
        }
        switch login {
        case .fits: keepLogin(at: now)
        case .awaited: break
        case .other(let logInFrom): leaveLogin(logInFrom, at: now)
        }
        reconfigureLines(outline.children, at: now)
        reconfigureSinks(outline.sinks, taken)
    }

    /// The token stays in its sinks until the new login brings another.
    private mutating func leaveLogin(_ logInFrom: Instant, at now: Instant) {
        if case .examining(let id, _, _) = lines[0].state {
            retireUnknown(id)
            lines[0].state = .lacking(last: nil)
        }
        lines[0].update { $0.replacement = .unconfigured(isDead: $0.isDead) }
        (lines[0].failures, lines[0].retryAt) = (nil, logInFrom)
        if case .logIn = flight?.request { abandonFlight(at: now) }
    }

    /// The token that is held is of the configured login again, where it was not: what has been asked of the other one meanwhile
    /// does not count.
    private mutating func keepLogin(at now: Instant) {
        guard case .unconfigured(let isDead) = lines[0].current?.replacement else { return }
        lines[0].update { $0.replacement = isDead ? .dead : wish == .none ? nil : .requested }
        (lines[0].failures, lines[0].retryAt) = (nil, now)
        if case .logIn = flight?.request { abandonFlight(at: now) }
    }

    /// Whoever waits for a login waits for the next one.
    mutating func abandonFlight(at now: Instant) {
        guard let flight else { return }
        budget.ended(flight.urgency, fullLease: shortestLease, at: now)
        self.flight = nil
        if flight.request.bringsToken { abandoned.insert(flight.id) }
        if case .logIn = flight.request, wish == .anotherLogin { wish = .login }
    }

    private mutating func reconfigureLines(_ children: [LineID], at now: Instant) {
        for line in lines.dropFirst() where !children.contains(line.id) {
            retireToken(of: line)
            settleDoubts(of: line.id, isDead: false)
        }
        let former = lines
        lines = [lines[0]]
        for id in children {
            if let known = former.first(where: { $0.id == id }) {
                lines.append(known)
            } else {
                var line = TokenLine(id)
                (line.retryAt, line.phaseSince) = (now, now)
                lines.append(line)
            }
        }
    }

    private mutating func reconfigureSinks(_ outlines: [LifecycleOutline.Sink], _ taken: Set<SinkID>) {
        let former = sinks
        let kept = Set(outlines.flatMap { [$0.id, $0.successorOf].compactMap(\.self) })
        sinks = outlines.map { outline in
            if let known = former.first(where: { $0.id == outline.id }) { return known }
            var sink = Sink(outline)
            guard let before = former.first(where: { $0.id == outline.successorOf }) else { return sink }
            // Readers find what they found before, until the new sink is written.
            sink.found = before.found.map {
                let content = SinkContent(
                    token: $0.content.token, wrapping: $0.content.wrapping, edition: -1)
                return Sink.Found(content: content, line: $0.line, damagedSince: $0.damagedSince)
            }
            if sink.wrapping != nil, before.line == sink.line, let wrapping = before.wrapping {
                sink.wrapping = wrapping
            }
            return sink
        }
        for var sink in former where !kept.contains(sink.id) {
            if taken.contains(sink.id) {
                effects.append(.release(sink.id))
            } else {
                sink.isLeaving = true
                sinks.append(sink)
            }
        }
    }
}
