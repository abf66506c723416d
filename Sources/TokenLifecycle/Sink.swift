// TokenLifecycle: the machine of one sink: what its readers find, what is under way there, what has failed.

import Diagnosis
import Timekeeping

/// Failures in a row, of requests or of a sink.
struct Failures: Hashable, Sendable {
    let error: AgentError
    let since: Instant
    let count: Int

    static func record(_ error: AgentError, after before: Failures?, at now: Instant) -> Failures {
        Failures(error: error, since: before?.since ?? now, count: (before?.count ?? 0) + 1)
    }

    var asTrouble: LifecycleHealth.Trouble {
        LifecycleHealth.Trouble(error: error, since: since, attempts: count)
    }
}

/// One sink.
struct Sink: Hashable, Sendable {
    /// What readers find, as far as is known.
    struct Found: Hashable, Sendable {
        var content: SinkContent
        /// Whose token that is: until a sink that a reload gave to another line is written, the former one's.
        var line: LineID
        /// Somebody has changed it since then.
        var damagedSince: Instant?
    }

    enum State: Hashable, Sendable {
        /// Nothing is under way, and what is there is as it was left. Damage is not put right before that moment.
        case resting(repairFrom: Instant)
        /// `disturbed`: somebody has changed it since, before or after it was written.
        case writing(SinkContent, since: Instant, after: Failures?, disturbed: Bool)
        /// `attempted` nil: it was a withdrawal.
        case failed(Failures, attempted: SinkContent?, retryAt: Instant)
        case withdrawing(since: Instant, after: Failures?)
    }

    /// What is to become of it.
    enum Aim: Hashable, Sendable {
        case hold(SinkContent)
        case beEmpty
        /// Whatever it holds is the best there is.
        case stay
    }

    let id: SinkID
    let line: LineID
    /// Nil: it holds the token itself.
    let wrapTTL: Duration?
    /// The configuration lists it no more: it is emptied and let go of.
    var isLeaving = false
    var found: Found?
    var state = State.resting(repairFrom: .distantPast)
    /// The wrapping token for the newest token; only where the sink wraps.
    var wrapping: Wrapping?

    init(_ outline: LifecycleOutline.Sink) {
        (id, line, wrapTTL) = (outline.id, outline.line, outline.wrapTTL)
        wrapping = outline.wrapTTL.map { _ in Wrapping() }
    }

    // MARK: What happened

    mutating func wrote(at now: Instant) -> (new: SinkContent, before: SinkContent?)? {
        guard case .writing(let content, _, _, let disturbed) = state else { return nil }
        let before = found?.content
        found = Found(content: content, line: line, damagedSince: disturbed ? now : nil)
        state = .resting(repairFrom: now + Pace.betweenRepairs)
        return (content, before)
    }

    mutating func withdrew() {
        guard case .withdrawing = state else { return }
        found = nil
        state = .resting(repairFrom: .distantPast)
    }

    mutating func failed(_ error: AgentError, at now: Instant, using generator: inout SeededGenerator) {
        let (attempted, before): (SinkContent?, Failures?) =
            switch state {
            case .writing(let content, _, let before, _): (content, before)
            case .withdrawing(_, let before): (nil, before)
            case .resting, .failed: (nil, nil)
            }
        guard isBusy else { return }
        let failures = Failures.record(error, after: before, at: now)
        let pause = Pace.deliveryDelay(attempts: failures.count, using: &generator)
        state = .failed(failures, attempted: attempted, retryAt: now + pause)
    }

    mutating func disturbed(at now: Instant) {
        switch state {
        case .resting, .failed:
            if found?.damagedSince == nil { found?.damagedSince = now }
        case .writing(let content, let since, let before, _):
            // The write that is under way may have come before the disturbance.
            state = .writing(content, since: since, after: before, disturbed: true)
        case .withdrawing: break
        }
    }

    /// Those that readers find, or will when a write ends; each once.
    var tokens: [TokenID] {
        let standing = found.flatMap { $0.damagedSince == nil ? $0.content.token : nil }
        guard case .writing(let content, _, _, _) = state, content.token != standing else {
            return [standing].compactMap(\.self)
        }
        return [standing, content.token].compactMap(\.self)
    }

    // MARK: What to do

    var isBusy: Bool {
        switch state {
        case .writing, .withdrawing: true
        case .resting, .failed: false
        }
    }

    /// Failures in a row, until something succeeds.
    private var failures: Failures? {
        switch state {
        case .failed(let failures, _, _): failures
        case .writing(_, _, let before, _), .withdrawing(_, let before): before
        case .resting: nil
        }
    }

    /// When to begin a write or withdrawal for this aim; nil: there is nothing to do, or something is under way.
    func begins(_ aim: Aim) -> Instant? {
        switch (state, aim) {
        case (.writing, _), (.withdrawing, _), (_, .stay): nil
        case (.resting(let repairFrom), .hold(let content)):
            found?.content != content ? .distantPast : found?.damagedSince != nil ? repairFrom : nil
        case (.failed(_, let attempted, let retryAt), .hold(let content)):
            // Another token is not made to wait for what failed with the one before it.
            attempted?.token == content.token ? retryAt : .distantPast
        case (.resting, .beEmpty): found == nil ? nil : .distantPast
        case (.failed(_, let attempted, let retryAt), .beEmpty):
            attempted == nil ? retryAt : found == nil ? nil : .distantPast
        }
    }

    mutating func begin(_ aim: Aim, at now: Instant) -> LifecycleEffect? {
        guard let moment = begins(aim), moment <= now else { return nil }
        switch aim {
        case .hold(let content):
            state = .writing(content, since: now, after: failures, disturbed: false)
            return .write(id, content)
        case .beEmpty:
            state = .withdrawing(since: now, after: failures)
            return .withdraw(id)
        case .stay: return nil
        }
    }

    // MARK: How it is

    /// What ails it at `now`.
    func trouble(at now: Instant) -> LifecycleHealth.Trouble? {
        if let failures { return failures.asTrouble }
        switch state {
        case .writing(_, let since, _, _) where now >= since + Pace.longestWrite:
            return Self.hanging("a write", since)
        case .withdrawing(let since, _) where now >= since + Pace.longestWrite:
            return Self.hanging("taking the token away", since)
        case .writing, .withdrawing, .failed, .resting:
            return wrapping?.trouble(at: now)
        }
    }

    private static func hanging(_ what: String, _ since: Instant) -> LifecycleHealth.Trouble {
        let error = AgentError(
            .sinkUnwritable, "\(what) has not come to an end", remedy: "See whether its file system still answers")
        return LifecycleHealth.Trouble(error: error, since: since, attempts: 0)
    }

    /// Whether readers find what was written: damage that is being put right counts only once that takes too long or fails.
    func isIntact(at now: Instant) -> Bool {
        guard let found else { return false }
        guard let damagedSince = found.damagedSince else { return true }
        if case .failed = state { return false }
        return failures == nil && now < damagedSince + Pace.longestWrite
    }

    /// When ``trouble(at:)`` or ``isIntact(at:)`` changes by time alone.
    var moments: [Instant] {
        var moments: [Instant] = []
        switch state {
        case .writing(_, let since, _, _), .withdrawing(let since, _): moments.append(since + Pace.longestWrite)
        case .resting, .failed: break
        }
        if let damagedSince = found?.damagedSince { moments.append(damagedSince + Pace.longestWrite) }
        if let expiry = wrapping?.foundExpiry { moments.append(expiry) }
        return moments
    }
}

/// The wrapping tokens of a sink with `wrap_ttl`: which is the newest, until when the one that stands there is good, when
/// the next is due.
struct Wrapping: Hashable, Sendable {
    struct Newest: Hashable, Sendable {
        let id: TokenID
        let token: TokenID
        let expiry: Instant
        /// When to make the next.
        let due: Instant
    }

    var newest: Newest?
    /// When what readers find expires; nil: they find none.
    var foundExpiry: Instant?
    var failures: Failures?
    var retryAt = Instant.distantPast

    /// The one that stands for `token`, while it has not expired. Used ones count too: nobody tells.
    func current(for token: TokenID, at now: Instant) -> TokenID? {
        guard let newest, newest.token == token, now < newest.expiry else { return nil }
        return newest.id
    }

    /// When the next is due.
    func due(for token: TokenID) -> Instant {
        guard let newest, newest.token == token else { return retryAt }
        return max(newest.due, retryAt)
    }

    func trouble(at now: Instant) -> LifecycleHealth.Trouble? {
        if let failures { return failures.asTrouble }
        guard let foundExpiry, foundExpiry <= now else { return nil }
        let error = AgentError(
            .vaultThrottled, "the wrapping token expired before the next could be made",
            remedy: "Raise wrap_ttl: at most \(Pace.requestsPerWindow) requests a minute are made for one token")
        return LifecycleHealth.Trouble(error: error, since: foundExpiry, attempts: 0)
    }
}
