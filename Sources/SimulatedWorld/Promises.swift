// SimulatedWorld: the product's promises as checks on the world, made from outside the agent.

import Timekeeping
import TokenLifecycle

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
}

/// A promise that was not kept.
package struct Violation: Sendable, CustomStringConvertible {
    package let promise: Promise
    package let moment: String
    package let what: String

    package var description: String { "\(promise.rawValue): at \(moment) \(what)" }
}

/// The requests of one process to Vault, for the promise "never a storm".
struct RequestLedger {
    private var latest: [(moment: Instant, lease: Duration?)] = []
    private var quietUntil = Instant.distantPast

    /// Vault said Retry-After; its answer reaches the agent at `arrival`.
    mutating func askedForQuiet(until moment: Instant) {
        quietUntil = max(quietUntil, moment)
    }

    /// A request at `now` by a process that lives by this lease. What is wrong with it, if anything.
    mutating func note(at now: Instant, lease: Duration?) -> String? {
        defer {
            if latest.count == Pace.requestsPerWindow { latest.removeFirst() }
            latest.append((now, lease))
        }
        if now < quietUntil { return "a request \((quietUntil - now).text) before the end of Retry-After" }
        if let last = latest.last, now <= last.moment { return "two requests without a wait between" }
        let shortest = latest.compactMap(\.lease).min() ?? .seconds(60)
        let window = min(.seconds(60), shortest, lease ?? .seconds(60))
        if latest.count == Pace.requestsPerWindow, let oldest = latest.first, now - oldest.moment < window {
            return "\(Pace.requestsPerWindow + 1) requests in \((now - oldest.moment).text)"
        }
        return nil
    }
}
