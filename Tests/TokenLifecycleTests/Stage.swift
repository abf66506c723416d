// Plays the runtime and Vault for one TokenLifecycle on a clock of its own, and writes down what was asked and when.

import Diagnosis
import Timekeeping
import TokenLifecycle

/// What Vault answers, and how long it takes.
struct Reply {
    var answer: LifecycleAnswer
    var latency: Duration = .milliseconds(20)
}

struct Stage {
    struct Asked {
        let at: Instant
        let request: LifecycleRequest
        let limit: Duration
    }

    var lifecycle: TokenLifecycle
    private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    let begin = Instant(nanoseconds: 1_000_000_000_000)
    private(set) var asked: [Asked] = []
    private(set) var effects: [LifecycleEffect] = []
    private var pending: [(at: Instant, event: LifecycleEvent)] = []
    private var lastToken: UInt64 = 0

    /// Answers each request; `sentAt` is when it was asked.
    var vault: (_ request: LifecycleRequest, _ sentAt: Instant, _ newID: TokenID) -> Reply
    /// Nil: written at once.
    var disk: (_ id: TokenID) -> AgentError? = { _ in nil }

    init(
        policy: LifecyclePolicy = LifecyclePolicy(), seed: UInt64 = 1,
        vault: @escaping (_ request: LifecycleRequest, _ sentAt: Instant, _ newID: TokenID) -> Reply
    ) {
        lifecycle = TokenLifecycle(policy: policy, seed: seed)
        self.vault = vault
    }

    var elapsed: Duration { now - begin }

    mutating func send(_ event: LifecycleEvent) {
        let effects = lifecycle.handle(event, at: now)
        self.effects += effects
        for effect in effects {
            switch effect {
            case .request(let id, let request, let limit):
                asked.append(Asked(at: now, request: request, limit: limit))
                lastToken += 1
                let reply = vault(request, now, TokenID(number: lastToken))
                pending.append((now + min(reply.latency, limit), .answered(id, reply.answer)))
            case .deliver(let id):
                let event = disk(id).map { LifecycleEvent.deliveryFailed(id, $0) } ?? .delivered(id)
                pending.append((now + .milliseconds(5), event))
            case .withdraw, .forget, .finished:
                break
            }
        }
    }

    /// Lets time pass until `duration` after the beginning.
    mutating func run(until duration: Duration) {
        let end = begin + duration
        for _ in 0..<1_000_000 {
            pending.sort { $0.at < $1.at }
            let answer = pending.first?.at ?? .distantFuture
            let wake = lifecycle.wake ?? .distantFuture
            guard min(answer, wake) <= end else { break }
            if answer <= wake {
                now = max(now, answer)
                send(pending.removeFirst().event)
            } else {
                now = max(now, wake)
                send(.timerFired)
            }
        }
        now = end
    }

    /// Moments of the requests of one kind, since the beginning.
    func times(of step: Step) -> [Duration] {
        asked.filter { step.matches($0.request) }.map { $0.at - begin }
    }

    enum Step {
        case login, renewal, lookup, revocation

        func matches(_ request: LifecycleRequest) -> Bool {
            switch (self, request) {
            case (.login, .logIn), (.renewal, .renew), (.lookup, .lookUp), (.revocation, .revoke): true
            default: false
            }
        }
    }
}

/// A healthy Vault: tokens of `ttl`, never past `maximum` from their login.
final class HealthyVault {
    let ttl: Duration
    let maximum: Duration
    let renewable: Bool
    let limitedUses: Bool
    private var issued: [TokenID: Instant] = [:]
    private var expiry: [TokenID: Instant] = [:]
    /// Set to make every request fail.
    var failure: AgentError?
    var latency: Duration = .milliseconds(20)

    init(ttl: Duration, maximum: Duration = .seconds(1_000_000_000), renewable: Bool = true, limitedUses: Bool = false)
    {
        self.ttl = ttl
        self.maximum = maximum
        self.renewable = renewable
        self.limitedUses = limitedUses
    }

    func answer(_ request: LifecycleRequest, _ sentAt: Instant, _ newID: TokenID) -> Reply {
        if let failure { return Reply(answer: .failed(failure), latency: latency) }
        switch request {
        case .logIn:
            issued[newID] = sentAt
            expiry[newID] = sentAt + ttl
            let grant = Grant(
                id: newID, sentAt: sentAt, duration: ttl == .zero ? nil : ttl, renewable: renewable,
                limitedUses: limitedUses)
            return Reply(answer: .loggedIn(grant), latency: latency)
        case .renew(let id, _):
            guard let began = issued[id], let ends = expiry[id], sentAt < ends else {
                return Reply(answer: .failed(AgentError(.tokenDead, "permission denied")), latency: latency)
            }
            let lease = min(ttl, began + maximum - sentAt)
            expiry[id] = sentAt + lease
            return Reply(answer: .renewed(duration: lease, renewable: renewable, sentAt: sentAt), latency: latency)
        case .lookUp(let id):
            guard let ends = expiry[id], sentAt < ends else {
                return Reply(answer: .failed(AgentError(.tokenDead, "permission denied")), latency: latency)
            }
            let grant = Grant(
                id: id, sentAt: sentAt, duration: ends - sentAt, fullLease: ttl, renewable: renewable,
                limitedUses: limitedUses)
            return Reply(answer: .alive(grant), latency: latency)
        case .revoke(let id):
            expiry[id] = nil
            return Reply(answer: .revoked, latency: latency)
        }
    }

    func revoke(_ id: TokenID) { expiry[id] = nil }
}
