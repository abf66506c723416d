// AgentRuntime: keeps one configured token: feeds its state machine, carries out what that decides, remembers the secrets.

import AWSIdentity
import Configuration
import Crypto
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks

/// Something to be done off the state machine's path, whose end is news for it.
enum KeeperWork: Sendable {
    case request(RequestID, LifecycleRequest, limit: Duration)
    case write(SinkID, SinkContent)
    case withdraw(SinkID)
    /// Have on disk what the next start is to know. What is written to sinks from then on waits for it.
    case record
    /// Let readers come and wait for the first token.
    case open(SinkID)

    var isRequest: Bool {
        if case .request = self { true } else { false }
    }
}

/// What the state machine is told.
enum KeeperNews {
    case answered(RequestID, LifecycleAnswer)
    case wrote(SinkID)
    case withdrew(SinkID)
    case sinkFailed(SinkID, AgentError)
    case sinkDisturbed(SinkID)
    case momentCame
    case loginRequested
}

/// One token of the configuration, with its children and its sinks. Belongs to the agent's actor, which starts the work that
/// it hands out and brings the news of it back. Decides nothing: that is ``TokenLifecycle``'s.
final class TokenKeeper {
    let name: String
    private let shared: SharedSurroundings
    var surroundings: AgentSurroundings { shared.all }
    let log: Logger
    /// What is in force; nil before the first ``adopt(_:former:taken:logInFrom:_:)``.
    var inForce: InForce?
    var lifecycle: TokenLifecycle
    /// The tokens that are still of use, under the numbers by which the core knows them.
    var held: [TokenID: HeldToken] = [:]
    var wrappings: [TokenID: WrappedToken] = [:]
    /// Sinks that the configuration names no more and that are not empty yet.
    var leaving: [KeptSink] = []
    /// What an earlier run left, until ``begin()``.
    var found: [FoundToken] = []
    private var lastID: UInt64 = 0
    private(set) var isFinished = false
    var recording = Recording()
    /// Why tokens could not be revoked, since it was told to log out; nil: it was not.
    var revocationFailures: [TokenID: AgentError]?

    /// What a configuration has made of this token.
    struct InForce {
        let settings: TokenSettings
        var login: LoginPoint
        var lines: [KeptLine]
        var sinks: [KeptSink]
        var onChange: (any ChangeListener)?
        /// Of `settings`. Made when it is first asked for, and once: every report of a service tells it.
        private(set) lazy var fingerprint = TokenFingerprint(settings)

        init(
            settings: TokenSettings, login: LoginPoint, lines: [KeptLine], sinks: [KeptSink],
            onChange: (any ChangeListener)?
        ) {
            self.settings = settings
            self.login = login
            self.lines = lines
            self.sinks = sinks
            self.onChange = onChange
        }
    }

    init(name: String, in shared: SharedSurroundings) {
        self.name = name
        self.shared = shared
        var log = shared.all.log
        log[metadataKey: "token"] = "\(name)"
        self.log = log
        lifecycle = TokenLifecycle(LifecycleOutline(policy: LifecyclePolicy(), sinks: []), seed: 0)
    }

    var timekeeper: any Timekeeper { surroundings.loop }

    /// Whether what it has asked of Vault is to be heard though it ends: a token that comes of it is revoked.
    var listensOn: Bool { !lifecycle.abandoned.isEmpty }

    /// When there is to be news of ``KeeperNews/momentCame``.
    var wake: Instant? { isFinished ? nil : lifecycle.wake }

    func nextNumber() -> UInt64 {
        lastID += 1
        return lastID
    }

    // MARK: News and work

    /// Takes in what happened and answers what is to be done.
    func take(_ news: KeeperNews) -> [KeeperWork] {
        guard !isFinished else { return [] }
        let now = timekeeper.now
        switch news {
        case .answered(let id, let answer): return carryOut(lifecycle.answered(id, answer, at: now))
        case .wrote(let id): return carryOut(lifecycle.sinkWrote(id, at: now))
        case .withdrew(let id): return carryOut(lifecycle.sinkWithdrew(id, at: now))
        case .sinkFailed(let id, let error): return carryOut(lifecycle.sinkFailed(id, error, at: now))
        case .sinkDisturbed(let id): return carryOut(lifecycle.sinkDisturbed(id, at: now))
        case .momentCame: return carryOut(lifecycle.momentCame(at: now))
        case .loginRequested: return carryOut(lifecycle.loginRequested(at: now))
        }
    }

    /// Ends: with the process, or because the configuration names the token no more (`dropped`). Sinks at the paths in
    /// `taken` are somebody else's now.
    func end(dropped: Bool, taken: Set<String> = []) -> [KeeperWork] {
        // Another keeper of the same name may have something newer to tell.
        if dropped { recording.next = nil }
        let ids = Set(allSinks.filter { taken.contains($0.path) }.map(\.id))
        return carryOut(lifecycle.end(dropped: dropped, taken: ids, at: timekeeper.now))
    }

    /// Ends, and leaves nothing behind: the token is revoked, the sinks are emptied, the next start takes nothing over.
    func logOut() -> [KeeperWork] {
        revocationFailures = [:]
        return record(nil) + carryOut(lifecycle.end(dropped: true, revoking: true, at: timekeeper.now))
    }

    /// What has come of ``logOut()``, once it is finished; nil: all is well.
    var logoutFailure: AgentError? {
        if let first = revocationFailures?.min(by: { $0.key < $1.key }) { return first.value }
        guard !lifecycle.owesNothing else { return nil }
        return AgentError(.vaultUnavailable, "the token could not be revoked in time", remedy: "It lives out its lease")
    }

    func carryOut(_ effects: [LifecycleEffect]) -> [KeeperWork] {
        var work: [KeeperWork] = []
        for effect in effects {
            switch effect {
            case .request(let id, let request, let limit): work.append(.request(id, request, limit: limit))
            case .write(let id, let content): work.append(.write(id, content))
            case .withdraw(let id): work.append(.withdraw(id))
            case .release(let id): release(id)
            case .announceSink(let id, let content): announce(content, in: id)
            case .announceToken(let id): announce(id)
            case .remember: work += record(memory)
            case .forget(let id): (held[id], wrappings[id]) = (nil, nil)
            case .requestedLoginEnded(nil): log.notice("Logged in anew, as told")
            case .requestedLoginEnded(let error?): log.error("Could not log in anew, as told", error: error)
            case .finished: finish()
            }
        }
        return work
    }

    /// Does one piece of work. Its end, as news; nil where nobody waits for it.
    func perform(_ work: KeeperWork) async -> KeeperNews? {
        switch work {
        case .request(let id, let request, let limit):
            return .answered(id, await answer(to: request, limit: limit))
        case .write(let id, let content):
            await recorded(before: content)
            guard let sink = sink(id), let content = tokenContent(content) else { return nil }
            do throws(AgentError) {
                try await sink.write(content)
                return .wrote(id)
            } catch {
                return .sinkFailed(id, error)
            }
        case .withdraw(let id):
            guard let sink = sink(id) else { return nil }
            do throws(AgentError) {
                try await sink.withdraw()
                return .withdrew(id)
            } catch {
                return .sinkFailed(id, error)
            }
        case .record:
            await keepRecord()
            return nil
        case .open(let id):
            // What keeps it from opening is met again, and told, when the token is written.
            try? await sink(id)?.open()
            return nil
        }
    }

    private func tokenContent(_ content: SinkContent) -> TokenContent? {
        guard let known = held[content.token] else { return nil }
        let sentAt = wallTime(of: known.sentAt)
        return TokenContent(
            token: known.token, accessor: known.accessor, policies: known.policies, metadata: known.metadata,
            leaseDuration: known.leaseDuration, renewable: known.renewable, issuedAt: sentAt,
            expiresAt: known.leaseDuration.map { sentAt + $0 }, vaultAddress: known.login.address,
            vaultNamespace: known.login.namespace, wrapping: content.wrapping.flatMap { wrappings[$0] })
    }

    func wallTime(of moment: Instant) -> WallTime {
        timekeeper.wallTime + (moment - timekeeper.now)
    }

    func keep(_ token: HeldToken) -> TokenID {
        let id = TokenID(number: nextNumber())
        held[id] = token
        return id
    }

    // MARK: Sinks

    var allSinks: [KeptSink] { (inForce?.sinks ?? []) + leaving }

    func sink(_ id: SinkID) -> KeptSink? {
        allSinks.first { $0.id == id }
    }

    private func release(_ id: SinkID) {
        guard let sink = sink(id) else { return }
        leaving.removeAll { $0.id == id }
        inForce?.sinks.removeAll { $0.id == id }
        if !sink.isHandedOver { sink.close() }
    }

    private func announce(_ content: SinkContent, in id: SinkID) {
        let secrets = [held[content.token]?.token, content.wrapping.flatMap { wrappings[$0]?.token }]
        sink(id)?.onChange?.tokenChanged(secrets: secrets.compactMap(\.self))
    }

    private func announce(_ id: TokenID) {
        inForce?.onChange?.tokenChanged(secrets: held[id].map { [$0.token] } ?? [])
    }

    private func finish() {
        isFinished = true
        allSinks.filter { !$0.isHandedOver }.forEach { $0.close() }
        inForce?.onChange?.close()
        (held, wrappings, leaving) = ([:], [:], [])
    }
}
