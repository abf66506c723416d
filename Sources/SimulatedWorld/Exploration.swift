// SimulatedWorld: every order in which things can happen to the core, to a stated depth: the core alone, no runtime.

import Diagnosis
import Timekeeping
import TokenLifecycle

/// What can happen next. Time passes in three ways; all else happens at once.
private enum Happening: Hashable {
    /// Half-way to the next wake, to it, and to long after it.
    case waitsHalf, wakes, oversleeps
    case answers(Verdict)
    /// To a request that the core has abandoned.
    case answersLate(RequestID, isGranted: Bool)
    case sinkSucceeds(SinkID), sinkFails(SinkID), sinkIsDisturbed(SinkID)
    case loginIsRequested
    case reloadsTheSame, reloadsASink, reloadsTheLogin
    case ends, isDropped
    /// Of one that ends: another token is configured there.
    case losesSink(SinkID)
}

/// What Vault makes of the request that is under way.
private enum Verdict: CaseIterable {
    case grants, isUnreachable, saysDead, denies, throttles
}

/// The core and what an observer knows of the world around it.
private struct Situation: Hashable {
    var core: TokenLifecycle
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var request: RequestID?
    var asked: LifecycleRequest?
    var askedAt: Instant?
    var lastToken: UInt64 = 0
    var lastSink: UInt64
    /// When each token that Vault gave ends; one that was revoked is not among them.
    var validUntil: [TokenID: Instant] = [:]
    var forgotten: Set<TokenID> = []
    /// Tokens that nobody wanted any more when they came, but for those whose revocation was asked for.
    var unwanted: Set<TokenID> = []
    /// What each sink holds, and what is on its way there; nil: it is being emptied.
    var holds: [SinkID: TokenID] = [:]
    var underWay: [SinkID: SinkContent?] = [:]
    /// Sinks that are somebody else's by now.
    var lost: Set<SinkID> = []
    /// Moments of requests, the latest last.
    var moments: [Instant] = []
    var outline: LifecycleOutline
    var isEnding = false
    var isFinished = false

    init(_ outline: LifecycleOutline, nextSink: UInt64) {
        self.outline = outline
        lastSink = nextSink
        core = TokenLifecycle(outline, seed: 1)
    }
}

/// Breadth first, from the start; situations that have been seen are not gone into again.
package struct Exploration {
    package struct Outcome: Sendable {
        package var depth: Int
        package var situations: Int
        package var steps: Int
        /// The way to the first state that breaks a rule, and the rule.
        package var fault: String?
    }

    private static let child = LineID(number: 9)

    private let first: Situation

    /// One configured token: two sinks of its own, one that wraps, one with a child. `policy` 0 to 3: what becomes of expired
    /// and of replaced tokens.
    package init(policy number: Int) {
        var policy = LifecyclePolicy()
        if number & 1 == 1 { policy.expired = .remove }
        if number & 2 == 2 { (policy.replaced, policy.revokeOnStop) = (.revoke(after: .seconds(5)), true) }
        let sinks = [
            LifecycleOutline.Sink(id: SinkID(number: 1), line: .login, wrapTTL: nil),
            LifecycleOutline.Sink(id: SinkID(number: 2), line: .login, wrapTTL: .seconds(30)),
            LifecycleOutline.Sink(id: SinkID(number: 3), line: Self.child, wrapTTL: nil),
        ]
        first = Situation(LifecycleOutline(policy: policy, children: [Self.child], sinks: sinks), nextSink: 3)
    }

    /// Explores to `depth` happenings, or until `limit` situations are known.
    package func run(depth: Int, limit: Int) -> Outcome {
        var outcome = Outcome(depth: 0, situations: 1, steps: 0)
        var start = first
        if let fault = start.take(start.core.start(at: start.now)) { outcome.fault = fault }
        var known: Set<Situation> = [start]
        var edge: [(Situation, [Happening])] = [(start, [])]
        while outcome.depth < depth, outcome.fault == nil, !edge.isEmpty, known.count < limit {
            var next: [(Situation, [Happening])] = []
            for (situation, way) in edge where known.count < limit {
                for happening in situation.happenings {
                    var after = situation
                    outcome.steps += 1
                    var fault = after.happen(happening)
                    let isNew = known.insert(after).inserted
                    if fault == nil, isNew { fault = after.hopelessness }
                    if let fault {
                        let words = (way + [happening]).map { "\($0)" }.joined(separator: ", ")
                        outcome.fault = "\(fault), after: \(words)"
                        outcome.situations = known.count
                        return outcome
                    }
                    if isNew { next.append((after, way + [happening])) }
                }
            }
            outcome.depth += 1
            edge = next
        }
        outcome.situations = known.count
        return outcome
    }
}

extension Situation {
    var happenings: [Happening] {
        guard !isFinished else { return [] }
        var all: [Happening] = core.wake == nil ? [] : [.waitsHalf, .wakes, .oversleeps]
        if request != nil { all += Verdict.allCases.map { .answers($0) } }
        for id in core.abandoned.sorted(by: { $0.number < $1.number }) {
            all += [true, false].map { .answersLate(id, isGranted: $0) }
        }
        for sink in underWay.keys.sorted(by: { $0.number < $1.number }) {
            all += [.sinkSucceeds(sink), .sinkFails(sink)]
        }
        guard !isEnding else {
            return all + outline.sinks.map(\.id).filter { !lost.contains($0) }.map { .losesSink($0) }
        }
        all += holds.keys.sorted { $0.number < $1.number }.map { .sinkIsDisturbed($0) }
        return all + [.loginIsRequested, .reloadsTheSame, .reloadsASink, .reloadsTheLogin, .ends, .isDropped]
    }

    /// What is wrong with what the core does then, if anything.
    mutating func happen(_ happening: Happening) -> String? {
        switch happening {
        case .waitsHalf: return pass { now, wake in now + (wake - now) / 2 }
        case .wakes: return pass { _, wake in wake }
        case .oversleeps: return pass { _, wake in wake + .seconds(120) }
        case .answers(let verdict): return answer(verdict)
        case .answersLate(let id, let isGranted): return answer(late: id, isGranted)
        case .sinkSucceeds(let sink):
            guard let content = underWay.removeValue(forKey: sink) else { return nil }
            holds[sink] = content?.token
            return take(content == nil ? core.sinkWithdrew(sink, at: now) : core.sinkWrote(sink, at: now))
        case .sinkFails(let sink):
            underWay[sink] = nil
            return take(core.sinkFailed(sink, AgentError(.sinkFull, "no space"), at: now))
        case .sinkIsDisturbed(let sink):
            holds[sink] = nil
            return take(core.sinkDisturbed(sink, at: now))
        case .loginIsRequested: return take(core.loginRequested(at: now))
        case .reloadsTheSame: return take(core.reconfigured(outline, at: now))
        case .reloadsASink: return reloadASink()
        case .reloadsTheLogin:
            return take(core.reconfigured(outline, login: .other(from: now), at: now))
        case .ends, .isDropped:
            isEnding = true
            if outline.policy.revokeOnStop { (request, asked) = (nil, nil) }
            return take(core.end(dropped: happening == .isDropped, at: now))
        case .losesSink(let sink):
            lost.insert(sink)
            underWay[sink] = nil
            return take(core.end(dropped: true, taken: [sink], at: now))
        }
    }

    private mutating func pass(_ moment: (Instant, Instant) -> Instant) -> String? {
        guard let wake = core.wake else { return nil }
        now = moment(now, wake)
        return take(core.momentCame(at: now))
    }

    /// The first sink gets other settings.
    private mutating func reloadASink() -> String? {
        let before = outline.sinks[0]
        lastSink += 1
        let next = LifecycleOutline.Sink(
            id: SinkID(number: lastSink), line: .login, wrapTTL: nil, successorOf: before.id)
        outline.sinks[0] = next
        holds[next.id] = holds.removeValue(forKey: before.id)
        underWay[before.id] = nil
        return take(core.reconfigured(outline, at: now))
    }

    private mutating func answer(_ verdict: Verdict) -> String? {
        guard let request, let asked else { return nil }
        (self.request, self.asked) = (nil, nil)
        let answer: LifecycleAnswer =
            switch verdict {
            case .grants: grant(asked)
            case .isUnreachable: .failed(AgentError(.vaultUnreachable, "refused"))
            case .saysDead: .failed(AgentError(.tokenDead, "permission denied"))
            case .denies: .failed(AgentError(.vaultDenied, "policies"))
            case .throttles: .failed(AgentError(.vaultThrottled, "429", retryAfter: .seconds(30)))
            }
        return take(core.answered(request, answer, at: now))
    }

    private mutating func answer(late id: RequestID, _ isGranted: Bool) -> String? {
        guard isGranted else {
            return take(core.answered(id, .failed(AgentError(.vaultUnreachable, "cut off")), at: now))
        }
        lastToken += 1
        let token = TokenID(number: lastToken)
        unwanted.insert(token)
        validUntil[token] = now + .seconds(100)
        let grant = Grant(id: token, sentAt: now, duration: .seconds(100), renewable: true)
        return take(core.answered(id, .granted(grant), at: now))
    }

    private mutating func grant(_ request: LifecycleRequest) -> LifecycleAnswer {
        let (sentAt, lease) = (askedAt ?? now, Duration.seconds(100))
        switch request {
        case .logIn, .createChild:
            lastToken += 1
            let id = TokenID(number: lastToken)
            validUntil[id] = sentAt + lease
            return .granted(Grant(id: id, sentAt: sentAt, duration: lease, renewable: true))
        case .renew(let id, _):
            validUntil[id] = sentAt + lease
            return .renewed(duration: lease, renewable: true, sentAt: sentAt)
        case .lookUp(let id):
            let left = max(.zero, (validUntil[id] ?? sentAt) - sentAt)
            return .alive(Grant(id: id, sentAt: sentAt, duration: left, fullLease: lease, renewable: true))
        case .wrap:
            lastToken += 1
            return .wrapped(TokenID(number: lastToken), duration: .seconds(30), sentAt: sentAt)
        case .revoke(let id):
            validUntil[id] = nil
            return .revoked
        }
    }

    // MARK: The rules

    /// Takes down what the core wants, and says which rule that breaks.
    mutating func take(_ effects: [LifecycleEffect]) -> String? {
        if let request, core.abandoned.contains(request) { (self.request, asked) = (nil, nil) }
        for effect in effects {
            if let fault = take(effect) { return fault }
        }
        if let wake = core.wake, wake <= now { return "wants to be woken in the past" }
        if isFinished, core.wake != nil { return "goes on after the end" }
        // An agent that ends lets go of all of them.
        if !isEnding, lastToken > 0 {
            let needed = core.needed
            for id in (1...lastToken).map({ TokenID(number: $0) }) where !forgotten.contains(id) {
                if !needed.contains(id) { return "\(id) is of no use any more and is not let go" }
            }
        }
        return nil
    }

    private mutating func take(_ effect: LifecycleEffect) -> String? {
        if isFinished { return "does something after the end: \(effect)" }
        switch effect {
        case .request(let id, let what, _):
            if request != nil { return "two requests at a time: \(what)" }
            (request, asked, askedAt) = (id, what, now)
            if case .revoke(let token) = what { unwanted.remove(token) }
            if let token = what.token, forgotten.contains(token) { return "a request with \(token), which was let go" }
            if moments.count == 20, now - moments[0] < .seconds(60) { return "21 requests within a minute" }
            if let last = moments.last, last == now { return "two requests without a wait" }
            moments = (moments + [now]).suffix(20)
        case .write(let sink, let content):
            if lost.contains(sink) { return "\(sink) is written, which is somebody else's" }
            if underWay[sink] != nil { return "two writes of \(sink) at a time" }
            if forgotten.contains(content.token) { return "\(content.token) is written, which was let go" }
            if unwanted.contains(content.token) { return "\(content.token) is written, which nobody wants any more" }
            if let wrapping = content.wrapping, forgotten.contains(wrapping) {
                return "a wrapping token that was let go"
            }
            underWay[sink] = .some(content)
        case .withdraw(let sink):
            if lost.contains(sink) { return "\(sink) is emptied, which is somebody else's" }
            if underWay[sink] != nil { return "\(sink) is emptied while it is written" }
            if !isEnding, let token = holds[sink], let end = validUntil[token], now < end {
                // A child is as good as its parent: that is for the simulation, whose Vault knows families.
                if outline.sinks.first(where: { $0.id == sink })?.line == .login {
                    return "\(token) is valid and is taken from \(sink)"
                }
            }
            underWay[sink] = .some(nil)
        case .forget(let id):
            if unwanted.contains(id), let end = validUntil[id], now < end { return "\(id) lives on, unwanted" }
            forgotten.insert(id)
        case .finished: (isFinished, request, asked) = (true, nil, nil)
        case .release, .announceSink, .announceToken, .remember, .requestedLoginEnded: break
        }
        return nil
    }

    /// Nil where all comes right if only nothing else goes wrong: every line fresh, or the end reached.
    var hopelessness: String? {
        var future = self
        for _ in 0..<120 {
            if future.isFinished { return nil }
            if !isEnding, future.request == nil, future.underWay.isEmpty,
                future.core.health(at: future.now).allSatisfy({ $0.phase == .fresh })
            {
                return nil
            }
            let fault: String?
            if let sink = future.underWay.keys.min(by: { $0.number < $1.number }) {
                fault = future.happen(.sinkSucceeds(sink))
            } else if let id = future.core.abandoned.min(by: { $0.number < $1.number }) {
                fault = future.happen(.answersLate(id, isGranted: true))
            } else if future.request != nil {
                fault = future.happen(.answers(.grants))
            } else if future.core.wake != nil {
                fault = future.happen(.wakes)
            } else {
                return "stands still for ever"
            }
            if let fault { return "\(fault), when all went well again" }
        }
        return isEnding ? "never finishes" : "never becomes fresh again"
    }
}

extension LifecycleRequest {
    /// The token that it is made with.
    fileprivate var token: TokenID? {
        switch self {
        case .logIn: nil
        case .createChild(_, let token), .renew(let token, _), .lookUp(let token), .wrap(let token, _),
            .revoke(let token):
            token
        }
    }
}
