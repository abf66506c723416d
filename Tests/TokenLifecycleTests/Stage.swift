// Plays the runtime, the sinks and Vault for one TokenLifecycle on a clock of its own, and writes down what was asked and when.

import Diagnosis
import Timekeeping
import TokenLifecycle

/// What Vault answers, and how long it takes.
struct Reply {
    var answer: LifecycleAnswer
    var latency: Duration = .milliseconds(20)
}

/// What becomes of a write or withdrawal.
enum DiskFate {
    case done
    case failed(AgentError)
    /// Never comes to an end.
    case hangs
}

struct Stage {
    struct Asked {
        let at: Instant
        let request: LifecycleRequest
        let limit: Duration
    }

    private enum Event {
        case answered(RequestID, LifecycleAnswer)
        case wrote(SinkID)
        case withdrew(SinkID)
        case failed(SinkID, AgentError)
    }

    var lifecycle: TokenLifecycle
    private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    let begin = Instant(nanoseconds: 1_000_000_000_000)
    private(set) var asked: [Asked] = []
    private(set) var effects: [LifecycleEffect] = []
    private var pending: [(at: Instant, event: Event)] = []
    private var lastToken: UInt64 = 0
    /// What each sink holds by what was written and withdrawn.
    private(set) var held: [SinkID: SinkContent] = [:]

    /// Answers each request; `sentAt` is when it was asked.
    var vault: (_ request: LifecycleRequest, _ sentAt: Instant, _ newID: TokenID) -> Reply
    /// `content` nil: a withdrawal.
    var disk: (_ sink: SinkID, _ content: SinkContent?) -> DiskFate = { _, _ in .done }

    /// By default one line and one sink.
    init(
        policy: LifecyclePolicy = LifecyclePolicy(), sinks: [LifecycleOutline.Sink] = [.plain(1)],
        children: [LineID] = [], seed: UInt64 = 1,
        vault: @escaping (_ request: LifecycleRequest, _ sentAt: Instant, _ newID: TokenID) -> Reply
    ) {
        lifecycle = TokenLifecycle(LifecycleOutline(policy: policy, children: children, sinks: sinks), seed: seed)
        self.vault = vault
    }

    var elapsed: Duration { now - begin }

    /// How the login's line is now.
    var health: LifecycleHealth { lifecycle.health(at: now)[0] }

    mutating func start(found: [FoundToken] = []) {
        carryOut(lifecycle.start(found: found, at: now))
    }

    /// Tells the core something, and carries out what it answers.
    mutating func tell(_ input: (inout TokenLifecycle, Instant) -> [LifecycleEffect]) {
        carryOut(input(&lifecycle, now))
    }

    private mutating func carryOut(_ effects: [LifecycleEffect]) {
        self.effects += effects
        for effect in effects {
            switch effect {
            case .request(let id, let request, let limit):
                asked.append(Asked(at: now, request: request, limit: limit))
                lastToken += 1
                let reply = vault(request, now, TokenID(number: lastToken))
                pending.append((now + min(reply.latency, limit), .answered(id, reply.answer)))
            case .write(let sink, let content):
                switch disk(sink, content) {
                case .done:
                    held[sink] = content
                    pending.append((now + .milliseconds(5), .wrote(sink)))
                case .failed(let error): pending.append((now + .milliseconds(5), .failed(sink, error)))
                case .hangs: break
                }
            case .withdraw(let sink):
                switch disk(sink, nil) {
                case .done:
                    held[sink] = nil
                    pending.append((now + .milliseconds(5), .withdrew(sink)))
                case .failed(let error): pending.append((now + .milliseconds(5), .failed(sink, error)))
                case .hangs: break
                }
            case .release, .announceSink, .announceToken, .remember, .forget, .requestedLoginEnded, .finished: break
            }
        }
    }

    /// Lets time pass until `duration` after the beginning.
    mutating func run(until duration: Duration) {
        let end = begin + duration
        for _ in 0..<1_000_000 {
            pending.sort { $0.at < $1.at }
            let event = pending.first?.at ?? .distantFuture
            let wake = lifecycle.wake ?? .distantFuture
            guard min(event, wake) <= end else { break }
            now = max(now, min(event, wake))
            if event <= wake {
                switch pending.removeFirst().event {
                case .answered(let id, let answer): tell { $0.answered(id, answer, at: $1) }
                case .wrote(let sink): tell { $0.sinkWrote(sink, at: $1) }
                case .withdrew(let sink): tell { $0.sinkWithdrew(sink, at: $1) }
                case .failed(let sink, let error): tell { $0.sinkFailed(sink, error, at: $1) }
                }
            } else {
                tell { $0.momentCame(at: $1) }
            }
        }
        now = end
    }

    /// Moments of the requests of one kind, since the beginning.
    func times(of step: Step) -> [Duration] {
        asked.filter { step.matches($0.request) }.map { $0.at - begin }
    }

    /// How often that token was written.
    func writes(of number: UInt64) -> Int {
        effects.count { if case .write(_, let content) = $0 { content.token.number == number } else { false } }
    }

    var withdrawals: Int {
        effects.count { if case .withdraw = $0 { true } else { false } }
    }

    enum Step {
        case login, renewal, lookup, revocation, child, wrap

        func matches(_ request: LifecycleRequest) -> Bool {
            switch (self, request) {
            case (.login, .logIn), (.renewal, .renew), (.lookup, .lookUp), (.revocation, .revoke),
                (.child, .createChild), (.wrap, .wrap):
                true
            default: false
            }
        }
    }
}

extension LifecycleOutline.Sink {
    static func plain(_ number: UInt64, line: LineID = .login) -> Self {
        Self(id: SinkID(number: number), line: line, wrapTTL: nil)
    }

    static func wrapping(_ number: UInt64, ttl: Duration) -> Self {
        Self(id: SinkID(number: number), line: .login, wrapTTL: ttl)
    }
}

extension SinkID {
    static let first = SinkID(number: 1)
    static let second = SinkID(number: 2)
}

/// A healthy Vault: tokens of `ttl`, never past `maximum` from their login.
final class HealthyVault {
    var ttl: Duration
    let maximum: Duration
    let renewable: Bool
    let limitedUses: Bool
    private var issued: [TokenID: Instant] = [:]
    private(set) var expiry: [TokenID: Instant] = [:]
    private var parent: [TokenID: TokenID] = [:]
    /// Set to make every request fail.
    var failure: AgentError?
    /// Set to make every login fail.
    var loginFailure: AgentError?
    var latency: Duration = .milliseconds(20)

    init(ttl: Duration, maximum: Duration = .seconds(1_000_000_000), renewable: Bool = true, limitedUses: Bool = false)
    {
        self.ttl = ttl
        self.maximum = maximum
        self.renewable = renewable
        self.limitedUses = limitedUses
    }

    func revokeAll() {
        expiry = [:]
    }

    private func isValid(_ id: TokenID, at now: Instant) -> Bool {
        guard let ends = expiry[id], now < ends else { return false }
        return parent[id].map { isValid($0, at: now) } ?? true
    }

    func answer(_ request: LifecycleRequest, _ sentAt: Instant, _ newID: TokenID) -> Reply {
        if let failure { return Reply(answer: .failed(failure), latency: latency) }
        let dead = Reply(answer: .failed(AgentError(.tokenDead, "permission denied")), latency: latency)
        switch request {
        case .logIn:
            if let loginFailure { return Reply(answer: .failed(loginFailure), latency: latency) }
            return grant(newID, sentAt)
        case .createChild(_, let parent):
            guard isValid(parent, at: sentAt) else { return dead }
            self.parent[newID] = parent
            return grant(newID, sentAt)
        case .renew(let id, _):
            guard let began = issued[id], isValid(id, at: sentAt) else { return dead }
            let lease = min(ttl, began + maximum - sentAt)
            expiry[id] = sentAt + lease
            return Reply(answer: .renewed(duration: lease, renewable: renewable, sentAt: sentAt), latency: latency)
        case .lookUp(let id):
            guard let ends = expiry[id], isValid(id, at: sentAt) else { return dead }
            let grant = Grant(
                id: id, sentAt: sentAt, duration: ends - sentAt, fullLease: ttl, renewable: renewable,
                limitedUses: limitedUses)
            return Reply(answer: .alive(grant), latency: latency)
        case .wrap(let id, _):
            guard isValid(id, at: sentAt) else { return dead }
            return Reply(answer: .wrapped(newID, duration: .seconds(60), sentAt: sentAt), latency: latency)
        case .revoke(let id):
            expiry[id] = nil
            return Reply(answer: .revoked, latency: latency)
        }
    }

    private func grant(_ id: TokenID, _ sentAt: Instant) -> Reply {
        issued[id] = sentAt
        expiry[id] = sentAt + ttl
        let grant = Grant(
            id: id, sentAt: sentAt, duration: ttl == .zero ? nil : ttl, renewable: renewable, limitedUses: limitedUses)
        return Reply(answer: .granted(grant), latency: latency)
    }

    func revoke(_ id: TokenID) { expiry[id] = nil }
}
