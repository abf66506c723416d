// TokenLifecycle: what each sink is to hold, what becomes of tokens that were replaced, and the end.

import Diagnosis
import Timekeeping

extension TokenLifecycle {
    // MARK: Validity

    /// Until when that token is valid, as far as is known; a child no longer than its parent. The distant future: it does
    /// not expire. The distant past: it is dead, or unknown.
    func validity(of id: TokenID) -> Instant {
        for line in lines {
            // Not known to be dead.
            if line.isExamining(id) { return .distantFuture }
            guard let holding = line.latest, holding.id == id else { continue }
            return bounded(holding.lease.expiry, by: holding.parent)
        }
        guard let token = retired.first(where: { $0.id == id }) else { return .distantPast }
        return bounded(token.lease.expiry, by: token.parent)
    }

    private func bounded(_ expiry: Instant?, by parent: TokenID?) -> Instant {
        min(expiry ?? .distantFuture, parent.map { validity(of: $0) } ?? .distantFuture)
    }

    /// Tokens whose time is over while nothing better has come.
    mutating func expire(at now: Instant) {
        for index in lines.indices {
            guard let holding = lines[index].current, validity(of: holding.id) <= now else { continue }
            lines[index].state =
                holding.mayLiveOn
                ? .examining(holding.id, last: holding, logsInFirst: false) : .lacking(last: holding)
            if lines[index].failures == nil {
                record(
                    AgentError(
                        .tokenDead, "the token expired before a new one could be had",
                        remedy: "See the log for what kept the agent from renewing it"), line: index, at: now)
            }
            // A token that is overdue is not made to wait out a pause that was meant for one with time to spare.
            let pause = Pace.mostDelay(fullLease: lines[index].fullLease, maxBackoff: policy.maxBackoff)
            lines[index].retryAt = min(lines[index].retryAt, now + pause)
        }
    }

    // MARK: Sinks

    func aim(of sink: Sink, at now: Instant) -> Sink.Aim {
        if sink.isLeaving { return .beEmpty }
        if case .ending(_, let emptied) = stage { return emptied ? .beEmpty : .stay }
        guard stage == .running, let line = line(of: sink) else { return .stay }
        if let holding = line.current {
            guard sink.wrapTTL != nil else {
                return .hold(SinkContent(token: holding.id, wrapping: nil, edition: holding.edition))
            }
            // What cannot be wrapped is never written bare.
            guard let wrapping = sink.wrapping?.current(for: holding.id, at: now) else { return .stay }
            return .hold(SinkContent(token: holding.id, wrapping: wrapping, edition: 0))
        }
        guard policy.expired == .remove, let found = sink.found, validity(of: found.content.token) <= now else {
            return .stay
        }
        return .beEmpty
    }

    mutating func settleSinks(at now: Instant) {
        for index in sinks.indices {
            let aim = aim(of: sinks[index], at: now)
            if let effect = sinks[index].begin(aim, at: now) { effects.append(effect) }
        }
        for sink in sinks where sink.isLeaving && sink.found == nil && !sink.isBusy { release(sink) }
        sinks.removeAll { $0.isLeaving && $0.found == nil && !$0.isBusy }
    }

    /// Somebody else writes to these.
    mutating func release(_ taken: Set<SinkID>) {
        for sink in sinks where taken.contains(sink.id) { release(sink) }
        sinks.removeAll { taken.contains($0.id) }
    }

    private mutating func release(_ sink: Sink) {
        for id in Set([sink.wrapping?.newest?.id, sink.found?.content.wrapping].compactMap(\.self)) {
            effects.append(.forget(id))
        }
        effects.append(.release(sink.id))
    }

    mutating func wrote(_ sink: inout Sink, at now: Instant) {
        guard let (new, before) = sink.wrote(at: now) else { return }
        if sink.wrapping != nil {
            let newest = sink.wrapping?.newest
            if newest?.id == new.wrapping { sink.wrapping?.foundExpiry = newest?.expiry }
            if let old = before?.wrapping, old != new.wrapping { effects.append(.forget(old)) }
        }
        if before?.token != new.token || before?.wrapping != new.wrapping {
            effects.append(.announceSink(sink.id, new))
        }
    }

    mutating func withdrew(_ sink: inout Sink) {
        sink.withdrew()
        sink.wrapping?.foundExpiry = nil
    }

    /// A token is announced once, after the first round of writes in which a sink took it.
    mutating func announceTokens() {
        for index in lines.indices {
            guard let id = lines[index].current?.id, id != lines[index].announced else { continue }
            let mine = sinks.filter { $0.line == lines[index].id }
            let isUnderWay = mine.contains {
                if case .writing(let content, _, _, _) = $0.state { content.token == id } else { false }
            }
            guard !isUnderWay, mine.contains(where: { $0.found?.content.token == id }) else { continue }
            lines[index].announced = id
            effects.append(.announceToken(id))
        }
    }

    // MARK: Tokens that were replaced

    /// The line's token, whose place another takes, or none.
    mutating func retireToken(of line: TokenLine) {
        switch line.state {
        case .examining(let candidate, _, _): retireUnknown(candidate)
        case .holding(let holding), .lacking(last: let holding?): retire(holding, of: line.id)
        case .lacking(last: nil): break
        }
    }

    private mutating func retire(_ holding: Holding, of line: LineID) {
        let isDoubted = holding.isDead
        retired.append(
            Retired(
                id: holding.id, parent: holding.parent, lease: holding.lease.known, doubtOf: isDoubted ? line : nil))
    }

    /// Whether the tokens of the line that Vault called dead really are is known now.
    mutating func settleDoubts(of line: LineID, isDead: Bool) {
        for token in retired.reversed() where token.doubtOf == line {
            if isDead { forget(token.id) }
        }
        for index in retired.indices where retired[index].doubtOf == line { retired[index].doubtOf = nil }
    }

    /// A token that came too late to be of use.
    mutating func retire(_ grant: Grant, at now: Instant) {
        if stage == .running { revokeUnused(grant, at: now) } else { effects.append(.forget(grant.id)) }
    }

    /// A token that no reader has ever had: whatever the policy says, nobody misses it.
    mutating func revokeUnused(_ grant: Grant, at now: Instant) {
        guard stage != .ended else {
            effects.append(.forget(grant.id))
            return
        }
        retired.append(
            Retired(
                id: grant.id, parent: nil, lease: Lease(grant, using: &generator).known,
                revocation: Retired.Revocation(at: now)))
    }

    /// A token of an earlier run of which nothing is known: not dead for sure.
    mutating func retireUnknown(_ id: TokenID) {
        let lease = KnownLease(expiry: nil, full: nil, renewable: false, limitedUses: false)
        retired.append(Retired(id: id, parent: nil, lease: lease))
    }

    /// Lets go of tokens that are dead, and of those that no reader finds and no child depends on: these are revoked first
    /// where the policy says so.
    mutating func settleRetired(at now: Instant) {
        for token in retired.reversed() {
            let isUnderWay = flight?.request == .revoke(token.id)
            if validity(of: token.id) <= now {
                guard !isUnderWay else { continue }
                forget(token.id)
            } else if token.revocation == nil, token.doubtOf == nil, !isInUse(token.id, at: now), stage == .running {
                guard case .revoke(let grace) = policy.replaced, !diesWithItsParent(token) else {
                    forget(token.id)
                    continue
                }
                guard let index = retired.firstIndex(where: { $0.id == token.id }) else { continue }
                retired[index].revocation = Retired.Revocation(at: now + grace)
            }
        }
    }

    /// Those that something can still come of: of all others ``LifecycleEffect/forget(_:)`` has been said.
    package var needed: Set<TokenID> {
        var needed = Set(retired.map(\.id))
        for line in lines {
            if case .examining(let id, _, _) = line.state { needed.insert(id) }
            if let id = line.latest?.id { needed.insert(id) }
        }
        for sink in sinks {
            var wrappings = [sink.wrapping?.newest?.id, sink.found?.content.wrapping]
            if case .writing(let content, _, _, _) = sink.state { wrappings.append(content.wrapping) }
            needed.formUnion(wrappings.compactMap(\.self))
        }
        return needed
    }

    private mutating func forget(_ id: TokenID) {
        retired.removeAll { $0.id == id }
        effects.append(.forget(id))
    }

    /// Whether readers find it, or a child of it.
    private func isInUse(_ id: TokenID, at now: Instant) -> Bool {
        sinks.contains { sink in
            if sink.found?.content.token == id { return true }
            if case .writing(let content, _, _, _) = sink.state { return content.token == id }
            return false
        } || lines.contains { $0.current?.parent == id && $0.current?.id != id }
            || retired.contains { $0.parent == id && $0.revocation == nil && validity(of: $0.id) > now }
    }

    private func diesWithItsParent(_ token: Retired) -> Bool {
        guard let parent = token.parent else { return false }
        return lines[0].current?.id != parent
    }

    private mutating func revocationIndex(_ id: TokenID) -> Int? {
        retired.firstIndex { $0.id == id && $0.revocation != nil }
    }

    mutating func revocationFailed(_ error: AgentError, _ id: TokenID, at now: Instant) {
        guard let index = revocationIndex(id), var revocation = retired[index].revocation else { return }
        revocation.attempts += 1
        guard error.code != .tokenDead, revocation.attempts < Pace.revocationAttempts else {
            forget(id)
            return
        }
        revocation.at = now + Pace.mostDelay(fullLease: lines[0].fullLease, maxBackoff: policy.maxBackoff)
        retired[index].revocation = revocation
    }

    // MARK: The end

    mutating func beginEnd(dropped: Bool, at now: Instant) {
        let emptied = policy.revokeOnStop || (dropped && policy.expired == .remove)
        stage = .ending(until: now + (dropped ? Pace.longestDrop : Pace.longestStop), emptied: emptied)
        for line in lines.reversed() { if let holding = line.current { retire(holding, of: line.id) } }
        guard policy.revokeOnStop else {
            if !dropped { (retired, abandoned) = ([], []) }
            retired.removeAll { $0.revocation == nil }
            if dropped, flight?.request.bringsToken == true { abandonFlight(at: now) }
            return
        }
        // Children end with their parents.
        retired.removeAll { $0.parent != nil }
        for index in retired.indices { retired[index].revocation = Retired.Revocation(at: now) }
        abandonFlight(at: now)
    }

    /// Whether every token that Vault has granted, or may still grant, has been revoked or let go.
    package var owesNothing: Bool { retired.isEmpty && abandoned.isEmpty }

    mutating func endIfDone(at now: Instant) {
        guard case .ending(let until, let emptied) = stage else { return }
        let isEmptying = emptied && sinks.contains { $0.isBusy || $0.begins(.beEmpty) != nil }
        let isLeaving = sinks.contains(where: \.isLeaving)
        let revokes: Bool =
            if case .revoke = flight?.request { true } else { nextRequest(at: now).map { $0.at < until } ?? false }
        guard now >= until || !(isEmptying || isLeaving || revokes || !abandoned.isEmpty) else { return }
        stage = .ended
        flight = nil
        effects.append(.finished)
    }
}
