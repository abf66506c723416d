// AgentRuntime: the sinks of one token as one: written together, watched together, each with its own trouble.

import Crypto
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

/// All sinks of one token. One that fails does not keep the others from the token.
final class SinkGroup {
    /// A sink, and what is to be done about it.
    struct Place {
        let sink: any TokenSink
        let path: String
        /// Put a single-use wrapping token there that is good for so long; nil: the token itself.
        var wrapTTL: Duration?
        /// Told when what the sink holds is another token.
        var onChange: (any ChangeListener)?
    }

    private struct Member {
        let sink: any TokenSink
        let path: String
        let onChange: (any ChangeListener)?
        var wrapping: SinkWrapping?
        var holdsToken = false
        var trouble: Trouble?
    }

    private var members: [Member]
    /// Told when any of the sinks holds another token of this group.
    private let onChange: (any ChangeListener)?
    private let vault: VaultClient
    private let metrics: Metrics
    private let timekeeper: any Timekeeper
    private var generator: SeededGenerator
    private let log: Logger
    private var repeated = RepeatedFailures()
    private var budget = WrappingBudget()
    /// The token that ``onChange`` was told of last, or that a sink already held when this run began.
    private var announced: Secret?
    /// What the sinks are to hold; nil: nothing.
    private var content: TokenContent?
    private var isRewrapping = false
    /// Writes that changed something, and those among them that put back what was lost.
    private(set) var writes = 0
    private(set) var repairs = 0

    /// Longest wait for a wrapping token.
    private static let wrapLimit: Duration = .seconds(10)

    init(
        _ places: [Place], onChange: (any ChangeListener)?, vault: VaultClient, metrics: Metrics,
        timekeeper: any Timekeeper, seed: UInt64, log: Logger
    ) {
        members = places.map { place in
            Member(
                sink: place.sink, path: place.path, onChange: place.onChange,
                wrapping: place.wrapTTL.map { SinkWrapping(ttl: $0) })
        }
        self.onChange = onChange
        self.vault = vault
        self.metrics = metrics
        self.timekeeper = timekeeper
        generator = SeededGenerator(seed: seed)
        self.log = log
    }

    /// Tries every sink; throws what only a person can mend. A full disk may pass: it is met when the token is written.
    func check() async throws(AgentError) {
        for member in members {
            do {
                try await member.sink.check()
            } catch  where error.code == .sinkFull {
                log.warning("Sink is full", metadata: ["sink": "\(member.sink.name)", "error": "\(error)"])
            }
        }
    }

    /// The token that the first readable sink holds, left there by an earlier run.
    func heldToken() async -> Secret? {
        for member in members {
            if let token = await member.sink.heldToken() { return token }
        }
        return nil
    }

    // MARK: Writing

    /// Puts the token into every sink; throws the first failure after all were tried.
    func deliver(_ content: TokenContent) async throws(AgentError) {
        self.content = content
        var firstError: AgentError?
        var deliveries: Set<Delivery> = []
        for index in members.indices {
            do {
                deliveries.insert(try await put(content, into: index))
            } catch {
                firstError = firstError ?? error
            }
        }
        announce(content.token, deliveries)
        if let firstError { throw firstError }
    }

    /// Once for each token: after the first round in which a sink took it. One that gets it later is no further change of
    /// the token, and neither is a new sink for a token that others held already.
    private func announce(_ token: Secret, _ deliveries: Set<Delivery>) {
        guard !deliveries.isEmpty, token != announced else { return }
        announced = token
        if deliveries == [.rotated] { onChange?.tokenChanged(secrets: [token]) }
    }

    /// Puts the token, or what stands for it, into one sink. `anew`: by another wrapping token than the one that is there.
    private func put(_ content: TokenContent, into index: Int, anew: Bool = false) async throws(AgentError) -> Delivery
    {
        let sink = members[index].sink
        do throws(AgentError) {
            let content = try await wrapped(content, for: index, anew: anew)
            // A withdrawal or a newer token has come in the meantime.
            guard self.content?.token == content.token else {
                throw AgentError(.cancelled, "the token for \(sink.name) is not wanted any more")
            }
            let delivery = try await sink.deliver(content)
            members[index].holdsToken = true
            members[index].wrapping?.written()
            succeeded(index, delivery)
            if delivery == .rotated {
                let secrets = [content.token] + (content.wrapping.map { [$0.token] } ?? [])
                members[index].onChange?.tokenChanged(secrets: secrets)
            }
            return delivery
        } catch {
            // What stands in the sink while only the next wrapping token fails is as good as before.
            if !anew { members[index].holdsToken = false }
            failed(index, error)
            throw error
        }
    }

    private func succeeded(_ index: Int, _ delivery: Delivery) {
        let name = members[index].sink.name
        members[index].trouble = nil
        if repeated.recovered(name) > 0 { log.notice("Sink works again", metadata: ["sink": "\(name)"]) }
        switch delivery {
        case .unchanged: return
        case .refreshed: log.debug("Sink refreshed", metadata: ["sink": "\(name)"])
        case .restored:
            repairs += 1
            log.warning("Sink put right", metadata: ["sink": "\(name)"])
        case .rotated: log.info("Token written", metadata: ["sink": "\(name)"])
        }
        writes += 1
    }

    private func failed(_ index: Int, _ error: AgentError) {
        guard error.code != .cancelled else { return }
        let before = members[index].trouble
        members[index].trouble = Trouble(
            error: error, since: before?.since ?? timekeeper.wallTime, attempts: (before?.attempts ?? 0) + 1)
        let name = members[index].sink.name
        if let attempts = repeated.failed(name, error.code) {
            log.error(
                "Sink could not be written", error: error, metadata: ["sink": "\(name)", "attempts": "\(attempts)"])
        }
    }

    // MARK: Wrapping

    /// When ``beginRewrapping()`` is to be called next; nil: not before something else happens.
    var wake: Instant? {
        guard content != nil, !isRewrapping else { return nil }
        return members.compactMap { $0.wrapping?.due }.min().map { max($0, budget.earliest) }
    }

    /// Whether ``rewrap()`` is to be called now, and once.
    func beginRewrapping() -> Bool {
        guard let wake, wake <= timekeeper.now else { return false }
        isRewrapping = true
        return true
    }

    /// Replaces the wrapping tokens whose time has come. What fails is tried again later.
    func rewrap() async {
        defer { isRewrapping = false }
        guard let content else { return }
        for index in members.indices {
            guard let due = members[index].wrapping?.due, due <= timekeeper.now else { continue }
            do {
                _ = try await put(content, into: index, anew: true)
            } catch  where error.code == .cancelled {
                return
            } catch {
                members[index].wrapping?.failed(at: timekeeper.now, using: &generator)
            }
        }
    }

    /// The content as this sink is to have it: under a wrapping token of its own where it wraps.
    private func wrapped(
        _ content: TokenContent, for index: Int, anew: Bool
    ) async throws(AgentError) -> TokenContent {
        guard let state = members[index].wrapping else { return content }
        var content = content
        if !anew || !state.isWritten, let standing = state.wrapping(for: content.token, at: timekeeper.now) {
            content.wrapping = standing
            return content
        }
        try budget.take(at: timekeeper.now)
        let token = content.token
        let made = try await metrics.observing(.wrap, by: timekeeper) { () throws(AgentError) in
            try await vault.wrap(token, ttl: state.ttl, within: Self.wrapLimit)
        }
        let wrapping = TokenSinks.WrappedToken(
            token: made.token, accessor: made.accessor, timeToLive: made.ttl,
            createdAt: WallTime(rfc3339: made.creationTime) ?? timekeeper.wallTime, creationPath: made.creationPath,
            wrappedAccessor: made.wrappedAccessor)
        if self.content?.token == token {
            members[index].wrapping?.hold(wrapping, for: token, madeAt: made.sentAt, using: &generator)
        }
        content.wrapping = wrapping
        return content
    }

    // MARK: The rest

    func withdraw() async {
        content = nil
        for index in members.indices {
            let sink = members[index].sink
            members[index].holdsToken = false
            members[index].wrapping?.forget()
            await withdraw(from: sink)
        }
    }

    private func withdraw(from sink: any TokenSink) async {
        do {
            try await sink.withdraw()
            log.notice("Token removed", metadata: ["sink": "\(sink.name)"])
        } catch {
            log.error("Token could not be removed", error: error, metadata: ["sink": "\(sink.name)"])
        }
    }

    /// After ``close()``: empties the sinks at none of these paths.
    func abandon(butAt paths: Set<String>) async {
        for member in members where !paths.contains(member.path) { await withdraw(from: member.sink) }
    }

    /// Whether a sink is at none of these paths.
    func hasOthers(than paths: Set<String>) -> Bool {
        !members.allSatisfy { paths.contains($0.path) }
    }

    /// Has `onDisturbed` called, on the agent's queue, when one of the sinks has lost what was put there.
    func watch(_ onDisturbed: @escaping @Sendable () -> Void) {
        for member in members {
            let (log, name) = (log, member.sink.name)
            member.sink.watch { disturbance in
                log.warning(
                    "Sink was disturbed",
                    metadata: [
                        "sink": "\(name)", "kind": "\(disturbance.kind.rawValue)",
                        "observed": "\(disturbance.observed)",
                    ])
                onDisturbed()
            }
        }
    }

    func close() {
        content = nil
        for member in members {
            member.sink.close()
            member.onChange?.close()
        }
        onChange?.close()
    }

    /// Each sink's own state. A wrapping token that has expired is none.
    func health() -> [SinkHealth] {
        let now = timekeeper.now
        return members.map { member in
            var expired = false
            if let wrapping = member.wrapping, let expiry = wrapping.expiry { expired = expiry <= now }
            return SinkHealth(
                name: member.sink.name, delivered: member.holdsToken && !expired, trouble: member.trouble)
        }
    }
}
