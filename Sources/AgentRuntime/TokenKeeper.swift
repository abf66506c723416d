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
    /// Replace the wrapping tokens whose time has come.
    case rewrap
    /// Empty the sinks that nobody writes to any more: all but those at these paths.
    case abandon(butAt: Set<String>)
}

/// One token of the configuration. Belongs to the agent's actor, which starts the work that ``handle(_:)`` hands out and
/// brings its outcome back.
final class TokenKeeper {
    /// The configuration that asked for it; a child's is its parent's.
    let settings: TokenSettings
    /// The token's name in health and logs: `app`, or `app/1` for a child of it.
    let name: String
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
    /// When to ask for a child of the parent's newest token, while that has not succeeded.
    private var adoptionDue: Instant?
    private var hasBegun = false
    private var phase = TokenHealth.Phase.starting
    private var phaseSince: Instant
    private(set) var isFinished = false

    init(
        settings: TokenSettings, name: String, seed: UInt64, origin: any TokenOrigin, vault: VaultClient,
        sinks: SinkGroup,
        takeovers: (any TakeoverStore)?, metrics: Metrics, timekeeper: any Timekeeper, log: Logger
    ) {
        self.settings = settings
        self.name = name
        self.origin = origin
        self.vault = vault
        self.sinks = sinks
        self.takeovers = takeovers
        self.metrics = metrics
        self.timekeeper = timekeeper
        lifecycle = TokenLifecycle(policy: settings.policy, seed: seed)
        journal = KeeperJournal(words: origin.words, log: log)
        phaseSince = timekeeper.now
    }

    /// When the state machine wants to be called next.
    var wake: Instant? {
        isFinished ? nil : [lifecycle.wake, sinks.wake, adoptionDue].compactMap(\.self).min()
    }

    // MARK: Events

    /// Tries the sinks and the origin, then looks for a token that an earlier run left in one of them: the event to begin with.
    ///
    /// Throws what makes a sink or a login impossible, and what only a person can mend.
    func begin() async throws(AgentError) -> LifecycleEvent {
        try await sinks.check()
        try await origin.prepare()
        guard let takeovers, let record = takeovers.record(for: name),
            record.loginDigest == settings.loginDigest, let token = await sinks.heldToken(),
            SHA256.digest(of: token) == record.tokenDigest
        else { return .started(candidate: nil) }
        return .started(candidate: keep(HeldToken(found: token, at: timekeeper.now)))
    }

    /// Takes in an event and answers what is to be done.
    func handle(_ event: LifecycleEvent) -> [KeeperWork] {
        guard !isFinished else { return [] }
        let now = timekeeper.now
        var effects = lifecycle.handle(event, at: now)
        if isAdoptionDue(at: now) { effects += lifecycle.handle(.loginRequested, at: now) }
        var work: [KeeperWork] = []
        for effect in effects {
            switch effect {
            case .request(let id, let request, let limit): work.append(.request(id, request, limit: limit))
            case .deliver(let id): work.append(.deliver(id))
            case .withdraw: work.append(.withdraw)
            case .forget(let id): held[id] = nil
            case .finished: isFinished = true
            }
        }
        if !isFinished, sinks.beginRewrapping() { work.append(.rewrap) }
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
            takeovers?.keep(nil, for: name)
            await sinks.withdraw()
            return nil
        case .rewrap:
            await sinks.rewrap()
            return .timerFired
        case .abandon(let paths):
            await sinks.abandon(butAt: paths)
            return nil
        }
    }

    /// Stops because the configuration names the token no more. Its sinks are emptied where an expired token's would be.
    func letGo() -> [KeeperWork] {
        let work = handle(.stopRequested)
        return settings.policy.expired == .remove && !settings.policy.revokeOnStop ? work + [.withdraw] : work
    }

    /// Ends because a keeper of other settings takes its place, and takes over what is in the sinks at `paths`.
    func giveWay(paths: Set<String>) -> [KeeperWork] {
        isFinished = true
        close()
        return sinks.hasOthers(than: paths) ? [.abandon(butAt: paths)] : []
    }

    // MARK: Parents and children

    var isChild: Bool { origin is ChildOrigin }

    /// The newest token, where it is valid.
    var currentToken: (id: TokenID, token: HeldToken)? {
        guard let newest = held.max(by: { $0.key.number < $1.key.number }), newest.value.isValid(at: timekeeper.now)
        else { return nil }
        return (newest.key, newest.value)
    }

    /// A child's keeper is told that its parent has written a token: the event to go on with; nil: it is the one it knows.
    func parentDelivered() -> LifecycleEvent? {
        guard let origin = origin as? ChildOrigin, origin.isOutdated else { return nil }
        guard hasBegun else {
            hasBegun = true
            return .started(candidate: nil)
        }
        adoptionDue = timekeeper.now
        return .timerFired
    }

    /// A child of the parent's former token dies with that: a failure to make the next one is not left at that, as it would
    /// be with a login that somebody merely asked for.
    private func isAdoptionDue(at now: Instant) -> Bool {
        guard let due = adoptionDue, due <= now else { return false }
        guard let origin = origin as? ChildOrigin, origin.isOutdated else {
            adoptionDue = nil
            return false
        }
        adoptionDue = now + Self.betweenAdoptions
        return true
    }

    private static let betweenAdoptions: Duration = .seconds(15)

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
            for: name)
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
            name: name, token: known.token, accessor: known.accessor, policies: known.policies,
            metadata: known.metadata, leaseDuration: known.leaseDuration, renewable: known.renewable)
    }

    private func wallTime(of moment: Instant) -> WallTime {
        timekeeper.wallTime + (moment - timekeeper.now)
    }

    /// How the token is now.
    func health() -> TokenHealth {
        let now = timekeeper.now
        let state = lifecycle.health(at: now)
        let sinkHealth = sinks.health()
        var phase = TokenHealth.Phase(state.phase)
        // A wrapping token that cannot be replaced is no matter of the token's own.
        if phase == .fresh, sinkHealth.contains(where: { $0.trouble != nil }) { phase = .struggling }
        if phase != self.phase {
            (self.phase, phaseSince) = (phase, now)
        }
        var health = TokenHealth(name: name, phase: phase, since: wallTime(of: phaseSince))
        health.validUntil = state.validUntil.map(wallTime(of:))
        health.neverExpires = state.validUntil == nil && (phase == .fresh || phase == .struggling)
        health.nextStep = state.next.map { TokenHealth.Step($0.step) }
        health.nextAt = state.next.map { wallTime(of: $0.at) }
        health.trouble = state.trouble.map {
            Trouble(error: $0.error, since: wallTime(of: $0.since), attempts: $0.attempts)
        }
        health.sinks = sinkHealth
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
