// AgentRuntime: keeps one token: feeds its state machine, carries out what that decides, remembers the secrets.

import Configuration
import Crypto
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

/// Something to be done off the state machine's path, whose end is an event for it.
enum KeeperWork: Sendable {
    case request(RequestID, LifecycleRequest, limit: Duration)
    case deliver(TokenID)
    case withdraw
}

/// One token of the configuration. Belongs to the agent's actor, which starts the work that ``handle(_:)`` hands out and
/// brings its outcome back.
final class TokenKeeper {
    let settings: TokenSettings
    private var lifecycle: TokenLifecycle
    private let origin: any TokenOrigin
    private let vault: VaultClient
    private let sinks: SinkGroup
    private let takeovers: (any TakeoverStore)?
    private let metrics: Metrics
    private let timekeeper: any Timekeeper
    private let journal: KeeperJournal

    /// The tokens that are still of use, under the numbers by which the core knows them.
    private var held: [TokenID: HeldToken] = [:]
    private var lastID: UInt64 = 0
    private var phase = TokenHealth.Phase.starting
    private var phaseSince: Instant
    private(set) var isFinished = false

    init(
        settings: TokenSettings, seed: UInt64, origin: any TokenOrigin, vault: VaultClient, sinks: SinkGroup,
        takeovers: (any TakeoverStore)?, metrics: Metrics, timekeeper: any Timekeeper, log: Logger
    ) {
        self.settings = settings
        self.origin = origin
        self.vault = vault
        self.sinks = sinks
        self.takeovers = takeovers
        self.metrics = metrics
        self.timekeeper = timekeeper
        lifecycle = TokenLifecycle(policy: settings.policy, seed: seed)
        journal = KeeperJournal(log: log)
        phaseSince = timekeeper.now
    }

    /// When the state machine wants to be called next.
    var wake: Instant? { lifecycle.wake }

    // MARK: Events

    /// Tries the sinks and the origin, then looks for a token that an earlier run left in one of them: the event to begin with.
    ///
    /// Throws what makes a sink or a login impossible, and what only a person can mend.
    func begin() async throws(AgentError) -> LifecycleEvent {
        try await sinks.check()
        try await origin.prepare()
        guard let takeovers, let record = takeovers.record(for: settings.name),
            record.loginDigest == settings.loginDigest, let token = await sinks.heldToken(),
            SHA256.digest(of: token) == record.tokenDigest
        else { return .started(candidate: nil) }
        return .started(candidate: keep(HeldToken(found: token, at: timekeeper.now)))
    }

    /// Takes in an event and answers what is to be done.
    func handle(_ event: LifecycleEvent) -> [KeeperWork] {
        var work: [KeeperWork] = []
        for effect in lifecycle.handle(event, at: timekeeper.now) {
            switch effect {
            case .request(let id, let request, let limit): work.append(.request(id, request, limit: limit))
            case .deliver(let id): work.append(.deliver(id))
            case .withdraw: work.append(.withdraw)
            case .forget(let id): held[id] = nil
            case .finished: isFinished = true
            }
        }
        return work
    }

    /// Does one piece of work. Its end, as an event; nil where nobody waits for it.
    func perform(_ work: KeeperWork) async -> LifecycleEvent? {
        switch work {
        case .request(let id, let request, let limit):
            return .answered(id, await answer(to: request, limit: limit))
        case .deliver(let id):
            return await deliver(id)
        case .withdraw:
            takeovers?.keep(nil, for: settings.name)
            await sinks.withdraw()
            return nil
        }
    }

    // MARK: Requests

    private func answer(to request: LifecycleRequest, limit: Duration) async -> LifecycleAnswer {
        do {
            let answer = try await ask(request, within: limit)
            journal.succeeded(request, answer, token: token(in: answer))
            return answer
        } catch {
            journal.failed(request, error)
            return .failed(error)
        }
    }

    private func ask(_ request: LifecycleRequest, within limit: Duration) async throws(AgentError) -> LifecycleAnswer {
        switch request {
        case .logIn(let withNewCredentials):
            let grant = try await origin.obtain(withNewCredentials: withNewCredentials, within: limit)
            return .loggedIn(
                Grant(
                    id: keep(HeldToken(grant)), sentAt: grant.sentAt, duration: grant.leaseDuration,
                    renewable: grant.renewable, limitedUses: grant.numUses > 0))
        case .renew(let id, let increment):
            let token = try token(id)
            let renewal = try await metrics.observing(.renew, by: timekeeper) { () throws(AgentError) in
                try await vault.renewSelf(token, increment: increment, within: limit)
            }
            held[id]?.renewed(by: renewal)
            return .renewed(
                duration: renewal.leaseDuration, renewable: renewal.renewable, sentAt: renewal.sentAt)
        case .lookUp(let id):
            let token = try token(id)
            let facts = try await metrics.observing(.lookUp, by: timekeeper) { () throws(AgentError) in
                try await vault.lookUpSelf(token, within: limit)
            }
            held[id]?.learn(from: facts)
            return .alive(
                Grant(
                    id: id, sentAt: facts.sentAt, duration: facts.ttl, fullLease: facts.period ?? facts.creationTTL,
                    renewable: facts.renewable, limitedUses: facts.numUses != 0))
        case .revoke(let id):
            let token = try token(id)
            try await metrics.observing(.revoke, by: timekeeper) { () throws(AgentError) in
                try await vault.revokeSelf(token, within: limit)
            }
            return .revoked
        }
    }

    private func token(in answer: LifecycleAnswer) -> HeldToken? {
        switch answer {
        case .loggedIn(let facts), .alive(let facts): held[facts.id]
        case .renewed, .revoked, .failed: nil
        }
    }

    private func keep(_ token: HeldToken) -> TokenID {
        lastID += 1
        let id = TokenID(number: lastID)
        held[id] = token
        return id
    }

    private func token(_ id: TokenID) throws(AgentError) -> Secret {
        guard let known = held[id] else {
            throw AgentError(.internalFault, "token \(id) is needed and was let go", remedy: "Report this as a fault")
        }
        return known.token
    }

    // MARK: Sinks

    private func deliver(_ id: TokenID) async -> LifecycleEvent {
        guard let known = held[id] else {
            return .deliveryFailed(id, AgentError(.internalFault, "token \(id) is to be written and was let go"))
        }
        do {
            try await sinks.deliver(content(of: known))
        } catch {
            return .deliveryFailed(id, error)
        }
        takeovers?.keep(
            TakeoverRecord(loginDigest: settings.loginDigest, tokenDigest: SHA256.digest(of: known.token)),
            for: settings.name)
        return .delivered(id)
    }

    private func content(of known: HeldToken) -> TokenContent {
        let sentAt = wallTime(of: known.sentAt)
        return TokenContent(
            token: known.token, accessor: known.accessor, policies: known.policies, metadata: known.metadata,
            leaseDuration: known.leaseDuration, renewable: known.renewable, issuedAt: sentAt,
            expiresAt: known.leaseDuration.map { sentAt + $0 }, vaultAddress: settings.vault.addresses[0],
            vaultNamespace: settings.vault.namespace)
    }

    /// Has `onDisturbed` called, on the agent's queue, when a sink has lost what was put there.
    func watchSinks(_ onDisturbed: @escaping @Sendable () -> Void) {
        sinks.watch(onDisturbed)
    }

    func close() {
        sinks.close()
        held = [:]
    }

    // MARK: Health

    /// The newest token, for the summary of a login.
    func summary() -> LoginSummary? {
        guard let known = held.max(by: { $0.key.number < $1.key.number })?.value else { return nil }
        return LoginSummary(
            name: settings.name, token: known.token, accessor: known.accessor, policies: known.policies,
            metadata: known.metadata, leaseDuration: known.leaseDuration, renewable: known.renewable)
    }

    private func wallTime(of moment: Instant) -> WallTime {
        timekeeper.wallTime + (moment - timekeeper.now)
    }

    /// How the token is now.
    func health() -> TokenHealth {
        let now = timekeeper.now
        let state = lifecycle.health(at: now)
        let phase = TokenHealth.Phase(state.phase)
        if phase != self.phase {
            (self.phase, phaseSince) = (phase, now)
        }
        var health = TokenHealth(name: settings.name, phase: phase, since: wallTime(of: phaseSince))
        health.validUntil = state.validUntil.map(wallTime(of:))
        health.neverExpires = state.validUntil == nil && (phase == .fresh || phase == .struggling)
        health.nextStep = state.next.map { TokenHealth.Step($0.step) }
        health.nextAt = state.next.map { wallTime(of: $0.at) }
        health.trouble = state.trouble.map {
            Trouble(error: $0.error, since: wallTime(of: $0.since), attempts: $0.attempts)
        }
        health.sinks = sinks.health(troubleSince: state.sinkTrouble.map { wallTime(of: $0.since) })
        health.counters = journal.counters
        health.counters.sinkWrites = sinks.writes
        health.counters.sinkRepairs = sinks.repairs
        return health
    }
}

extension TokenHealth.Phase {
    fileprivate init(_ phase: LifecycleHealth.Phase) {
        self =
            switch phase {
            case .starting: .starting
            case .fresh: .fresh
            case .struggling: .struggling
            case .lost: .lost
            case .stopped: .stopped
            }
    }
}

extension TokenHealth.Step {
    fileprivate init(_ step: LifecycleHealth.Step) {
        self =
            switch step {
            case .logIn: .logIn
            case .renew: .renew
            case .lookUp: .lookUp
            case .revoke: .deliver
            }
    }
}
