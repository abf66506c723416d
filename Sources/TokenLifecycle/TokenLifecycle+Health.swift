// TokenLifecycle: how each line is, by what readers find.

import Diagnosis
package import Timekeeping

extension TokenLifecycle {
    /// How the lines are at `now`, that of the login first.
    package func health(at now: Instant) -> [LifecycleHealth] {
        lines.map { line in
            let mine = sinks.filter { $0.line == line.id && !$0.isLeaving }
            let phase = phase(of: line, at: now)
            return LifecycleHealth(
                line: line.id, phase: phase, since: phase == line.phase ? line.phaseSince : now,
                validUntil: validUntil(line, mine, at: now), outageBudget: outageBudget(of: line, mine, at: now),
                fullLease: line.latest.map { _ in line.fullLease },
                trouble: line.failures?.asTrouble,
                sinks: mine.map { sink in
                    LifecycleHealth.Sink(
                        id: sink.id, delivered: isDelivered(sink, at: now), trouble: sink.trouble(at: now))
                },
                next: next(of: line, mine))
        }
    }

    /// The token of the line that is held, whether it is in the sinks or not.
    package func current(of line: LineID = .login) -> TokenID? {
        lines.first { $0.id == line }?.current?.id
    }

    /// The line that holds that token now.
    package func line(of token: TokenID) -> LineID? {
        lines.first { $0.latest?.id == token || $0.isExamining(token) }?.id
    }

    /// The phase is taken down when it changes, so that its beginning is not when somebody looked.
    mutating func notePhases(at now: Instant) {
        for index in lines.indices {
            let phase = phase(of: lines[index], at: now)
            if phase != lines[index].phase { (lines[index].phase, lines[index].phaseSince) = (phase, now) }
        }
    }

    private func phase(of line: TokenLine, at now: Instant) -> LifecycleHealth.Phase {
        switch stage {
        case .ending, .ended: return .stopped
        case .idle: return .starting
        case .running: break
        }
        let mine = sinks.filter { $0.line == line.id && !$0.isLeaving }
        let isTroubled = line.failures != nil || mine.contains { $0.trouble(at: now) != nil }
        let holdsValid = line.current.map { validity(of: $0.id) > now } ?? false
        let isDelivered = mine.isEmpty ? holdsValid : mine.allSatisfy { self.isDelivered($0, at: now) }
        if isDelivered { return isTroubled ? .struggling : .fresh }
        if holdsValid { return isTroubled ? .struggling : .starting }
        // Of a token of an earlier run that has expired nothing is told before something fails.
        return line.latest == nil || line.failures == nil ? .starting : .lost
    }

    /// Whether readers of the sink find a token that is valid.
    func isServed(_ sink: Sink, at now: Instant) -> Bool {
        guard let found = sink.found, sink.isIntact(at: now), validity(of: found.content.token) > now else {
            return false
        }
        if lines.contains(where: { $0.isExamining(found.content.token) }) { return false }
        return sink.wrapTTL == nil || sink.wrapping?.foundExpiry.map { now < $0 } ?? false
    }

    /// Whether that is a token of the sink's own line, not one of other rights that stands there from before a reload.
    private func isDelivered(_ sink: Sink, at now: Instant) -> Bool {
        sink.found?.line == sink.line && isServed(sink, at: now)
    }

    private func validUntil(_ line: TokenLine, _ sinks: [Sink], at now: Instant) -> Instant? {
        let found = sinks.compactMap(\.found).filter { $0.line == line.id }.map { validity(of: $0.content.token) }
        let least =
            !found.isEmpty && found.count == sinks.count && found.allSatisfy { $0 > now }
            ? found.min() : line.latest.map { validity(of: $0.id) }
        guard let least, least < .distantFuture, least > .distantPast else { return line.latest?.lease.expiry }
        return least
    }

    private func next(of line: TokenLine, _ sinks: [Sink]) -> LifecycleHealth.Next? {
        guard stage == .running else { return nil }
        let write = sinks.compactMap { $0.begins(aim(of: $0, at: settledAt)) }.min()
            .map { LifecycleHealth.Next(step: .write, at: $0) }
        let change = nextRequest(at: settledAt, for: line.id) { $0.urgency != .lookUp }
        let request: PlannedRequest? =
            switch flight?.urgency {
            case nil: change ?? nextRequest(at: settledAt, for: line.id)
            case .lookUp: change
            default: nil
            }
        return [write, request.map { LifecycleHealth.Next(step: $0.request.step, at: $0.at) }]
            .compactMap(\.self).min { $0.at < $1.at }
    }
}

extension LifecycleRequest {
    fileprivate var step: LifecycleHealth.Step {
        switch self {
        case .logIn: .logIn
        case .createChild: .createChild
        case .renew: .renew
        case .lookUp: .lookUp
        case .wrap: .wrap
        case .revoke: .revoke
        }
    }
}
