// TokenLifecycle: PURE. One configured token with all that hangs on it, as a state machine: told what happened and when, it
// says what to do and when to ask again. No clock, no I/O, no Foundation, no secret. This file: its state and its inputs.

package import Diagnosis
package import Timekeeping

/// One configured token: the line of tokens that come from its logins, the lines of their children, and the sinks of all.
///
/// Pure: the same seed and the same inputs at the same moments give the same effects. One Vault request at a time; none
/// before ``RequestBudget`` allows it. Each input answers what to do, in that order. Call ``momentCame(at:)`` at ``wake``.
package struct TokenLifecycle: Hashable, Sendable {
    enum Stage: Hashable, Sendable {
        /// Before ``start(found:at:)``.
        case idle
        case running
        /// Told to end; `emptied`: so are the sinks.
        case ending(until: Instant, emptied: Bool)
        case ended
    }

    /// A request under way.
    struct Flight: Hashable, Sendable {
        let id: RequestID
        let request: LifecycleRequest
        let urgency: Urgency
        let startedAt: Instant
    }

    /// Whether somebody waits for a login to be made.
    enum Wish: Hashable, Sendable {
        case none, login
        /// A login was under way when it was asked for: that one does not count.
        case anotherLogin
    }

    var policy: LifecyclePolicy
    /// See ``LifecycleOutline/renewalAsksAWS``.
    var renewalAsksAWS: Bool
    var generator: SeededGenerator
    var stage = Stage.idle
    /// That of the login first.
    var lines: [TokenLine]
    var sinks: [Sink]
    var retired: [Retired] = []
    var flight: Flight?
    /// Requests for tokens that are not wanted any more. What Vault grants all the same is revoked.
    package internal(set) var abandoned: Set<RequestID> = []
    var lastRequest: UInt64 = 0
    var budget = RequestBudget()
    var quiet = Quiet()
    /// The AWS credentials that the last login was made with were refused, or the time was.
    var credentialsRefused = false
    var wish = Wish.none
    /// What the next start was told to remember.
    var remembered: [HeldInSink] = []
    /// When everything that was due had been begun.
    var settledAt = Instant.distantPast
    var effects: [LifecycleEffect] = []

    package init(_ outline: LifecycleOutline, seed: UInt64) {
        policy = outline.policy
        renewalAsksAWS = outline.renewalAsksAWS
        generator = SeededGenerator(seed: seed)
        lines = ([.login] + outline.children).map { TokenLine($0) }
        sinks = outline.sinks.map { Sink($0) }
    }

    // MARK: Inputs

    /// The agent is up. `found`: what earlier runs left in the sinks, the newest first.
    package mutating func start(found: [FoundToken] = [], at now: Instant) -> [LifecycleEffect] {
        if stage == .idle {
            stage = .running
            for index in lines.indices {
                (lines[index].retryAt, lines[index].phaseSince) = (now, now)
                takeOver(found.filter { $0.line == lines[index].id }, line: index, at: now)
            }
            let known = Set(lines.map(\.id))
            for token in found where !known.contains(token.line) { effects.append(.forget(token.id)) }
        }
        return settled(at: now)
    }

    /// A request of ``LifecycleEffect/request(_:_:limit:)`` has come to its end.
    package mutating func answered(
        _ id: RequestID, _ answer: LifecycleAnswer, at now: Instant
    ) -> [LifecycleEffect] {
        if let flight, flight.id == id {
            self.flight = nil
            budget.ended(flight.urgency, fullLease: shortestLease, at: now)
            take(answer, of: flight, at: now)
        } else if abandoned.remove(id) != nil {
            if case .granted(let grant) = answer { revokeUnused(grant, at: now) }
        } else if case .granted(let grant) = answer {
            retire(grant, at: now)
        } else if case .wrapped(let id, _, _) = answer {
            effects.append(.forget(id))
        }
        return settled(at: now)
    }

    /// The sink holds what it was given, durably.
    package mutating func sinkWrote(_ id: SinkID, at now: Instant) -> [LifecycleEffect] {
        change(id) { sink, core in core.wrote(&sink, at: now) }
        return settled(at: now)
    }

    /// A write or withdrawal has failed.
    package mutating func sinkFailed(_ id: SinkID, _ error: AgentError, at now: Instant) -> [LifecycleEffect] {
        change(id) { sink, core in sink.failed(error, at: now, using: &core.generator) }
        return settled(at: now)
    }

    package mutating func sinkWithdrew(_ id: SinkID, at now: Instant) -> [LifecycleEffect] {
        change(id) { sink, core in core.withdrew(&sink) }
        return settled(at: now)
    }

    /// The sink does not hold any more what was put there.
    package mutating func sinkDisturbed(_ id: SinkID, at now: Instant) -> [LifecycleEffect] {
        change(id) { sink, _ in sink.disturbed(at: now) }
        return settled(at: now)
    }

    /// The moment of ``wake`` has come, or any other: nothing is due before its time.
    package mutating func momentCame(at now: Instant) -> [LifecycleEffect] {
        settled(at: now)
    }

    /// Somebody wants a new login now (SIGUSR1). Its outcome is told by ``LifecycleEffect/requestedLoginEnded(_:)``.
    package mutating func loginRequested(at now: Instant) -> [LifecycleEffect] {
        if stage == .running { requestLogin(at: now) }
        return settled(at: now)
    }

    /// The configuration is another one; or the same, and somebody has had a look at it. Sinks that the outline does not have are
    /// emptied, but not those that somebody else writes to (`taken`).
    package mutating func reconfigured(
        _ outline: LifecycleOutline, login: LoginChange = .fits, taken: Set<SinkID> = [], at now: Instant
    ) -> [LifecycleEffect] {
        if stage == .idle || stage == .running { reconfigure(outline, login, taken, at: now) }
        return settled(at: now)
    }

    /// The process ends, or the configuration names the token no more (`dropped`). ``LifecycleEffect/finished`` follows, at the
    /// latest after ``Pace/longestStop``; a minute for one that is dropped, for nobody waits for it. `revoking`: whatever the
    /// policy says, the token is revoked and the sinks are emptied, but those that somebody else writes to (`taken`; told again
    /// where there are others meanwhile).
    package mutating func end(
        dropped: Bool, revoking: Bool = false, taken: Set<SinkID> = [], at now: Instant
    ) -> [LifecycleEffect] {
        if revoking { policy.revokeOnStop = true }
        if stage != .ended { release(taken) }
        switch stage {
        case .idle, .running: beginEnd(dropped: dropped, at: now)
        case .ending where !dropped: stage = .ending(until: now + Pace.longestStop, emptied: isEmptied)
        case .ending, .ended: break
        }
        return settled(at: now)
    }

    private var isEmptied: Bool {
        if case .ending(_, let emptied) = stage { emptied } else { false }
    }

    private mutating func change(_ id: SinkID, _ body: (inout Sink, inout TokenLifecycle) -> Void) {
        guard let index = sinks.firstIndex(where: { $0.id == id }) else { return }
        var sink = sinks[index]
        body(&sink, &self)
        sinks[index] = sink
    }

    // MARK: What follows from each

    /// Begins all that is due.
    private mutating func settled(at now: Instant) -> [LifecycleEffect] {
        if stage != .idle, stage != .ended {
            expire(at: now)
            settleSinks(at: now)
            announceTokens()
            settleRetired(at: now)
            beginRequest(at: now)
            endIfDone(at: now)
        }
        settledAt = max(settledAt, now)
        notePhases(at: now)
        if stage == .running, memory != remembered {
            remembered = memory
            effects.insert(.remember, at: 0)
        }
        defer { effects = [] }
        return effects
    }

    /// When ``momentCame(at:)`` is to be called next; nil: not before something else happens. Never in the past.
    package var wake: Instant? {
        var moments: [Instant] = []
        switch stage {
        case .idle, .ended: return nil
        case .ending(let until, _): moments.append(until)
        case .running: break
        }
        if flight == nil, let next = nextRequest(at: settledAt) { moments.append(next.at) }
        moments += lines.compactMap { $0.current.map { validity(of: $0.id) } }
        moments += retired.map { validity(of: $0.id) }
        for sink in sinks {
            moments += sink.moments
            if let moment = sink.begins(aim(of: sink, at: settledAt)) { moments.append(moment) }
            if let found = sink.found { moments.append(validity(of: found.content.token)) }
        }
        return moments.filter { $0 > settledAt && $0 < .distantFuture }.min()
    }
}
