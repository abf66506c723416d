// SimulatedWorld: the product's promises as checks on the world, made from outside the agent.

import Timekeeping

/// What the agent promises, by the names of the README.
package enum Promise: String, CaseIterable, Sendable {
    /// Healthy for 30 s: the file holds a valid token with a third of its lease left (a fifth under 60 s).
    case fresh = "fresh"
    /// A valid token is never replaced with nothing, nor with a worse one.
    case neverWorse = "never worse"
    /// At most 20 requests a minute, or a lease where that is shorter; Retry-After honoured.
    case neverAStorm = "never a storm"
    /// What is not fresh is reported, with its cause and the next attempt.
    case neverSilent = "never silent"
    /// Expiry counts from when the request was sent, and nothing sleeps past it.
    case neverLate = "never late"
    /// What the agent is told is done: by its configuration, a reload, a signal or a stop.
    case asTold = "as told"
}

/// A promise that was not kept.
package struct Violation: Sendable, CustomStringConvertible {
    package let promise: Promise
    package let moment: String
    package let what: String

    package var description: String { "\(promise.rawValue): at \(moment) \(what)" }
}

/// How much readers depend on a request, as the oracle sees it.
enum RequestRank: Int, CaseIterable {
    case keep, child, wrap, lookUp, revoke

    /// Told by the path that is asked for.
    init(path: String) {
        self =
            switch true {
            case path.hasSuffix("/create"): .child
            case path.hasSuffix("/wrap"): .wrap
            case path.hasSuffix("/lookup-self"): .lookUp
            case path.hasSuffix("/revoke-self"): .revoke
            default: .keep
            }
    }
}

/// The requests of one process to Vault, for the promise "never a storm". Its numbers are its own.
struct RequestLedger {
    private static let most = 20
    private static let longestWindow: Duration = .seconds(60)

    private var latest: [(moment: Instant, lease: Duration?)] = []
    /// By the rank of what was answered so.
    private var quietUntil: [Instant] = RequestRank.allCases.map { _ in .distantPast }

    /// Vault said Retry-After to such a request; its answer reaches the agent at `arrival`.
    mutating func askedForQuiet(_ rank: RequestRank, until moment: Instant) {
        quietUntil[rank.rawValue] = max(quietUntil[rank.rawValue], moment)
    }

    /// Somebody wants something done now.
    mutating func endQuiet() {
        for index in quietUntil.indices { quietUntil[index] = .distantPast }
    }

    /// A request at `now` by a process that lives by this lease; `left` of it: what readers still have. What is wrong with it,
    /// if anything. `isAlone`: nobody else revokes tokens of that name.
    mutating func note(
        _ rank: RequestRank, at now: Instant, lease: Duration?, left: Duration?, isAlone: Bool
    ) -> String? {
        defer {
            if latest.count == Self.most { latest.removeFirst() }
            latest.append((now, lease))
        }
        // What was said to something less urgent does not count, nor anything when readers are about to lose their token.
        let quietUntil = quietUntil.prefix(rank.rawValue + 1).max() ?? .distantPast
        let isLastChance = left.map { left in lease.map { left <= $0 / 4 + .seconds(1) } ?? false } ?? false
        if now < quietUntil, isAlone || rank != .revoke, !isLastChance || rank == .lookUp || rank == .revoke {
            return "a request \((quietUntil - now).text) before the end of Retry-After"
        }
        if let last = latest.last, now <= last.moment { return "two requests without a wait between" }
        let shortest = latest.compactMap(\.lease).min() ?? Self.longestWindow
        let window = min(Self.longestWindow, shortest, lease ?? Self.longestWindow)
        if latest.count == Self.most, let oldest = latest.first, now - oldest.moment < window {
            return "\(Self.most + 1) requests in \((now - oldest.moment).text)"
        }
        return nil
    }
}
