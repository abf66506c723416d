// TokenLifecycle: the guard behind the promise "never a storm". Whatever the state, no request starts before it says so.

import Diagnosis
import Timekeeping

/// How much readers depend on a request; the most urgent is made first.
enum Urgency: Int, Comparable, CaseIterable, Hashable, Sendable {
    /// A login or renewal: without it all readers lose their token.
    case keep
    case child, wrap, lookUp, revoke

    static func < (left: Urgency, right: Urgency) -> Bool { left.rawValue < right.rawValue }

    /// So many of a window's requests may be this urgent or less: what can wait leaves room for what cannot.
    fileprivate var most: Int {
        switch self {
        case .keep, .child: Pace.requestsPerWindow
        case .wrap: Pace.requestsPerWindow * 4 / 5
        case .lookUp: Pace.requestsPerWindow * 3 / 5
        case .revoke: Pace.requestsPerWindow / 2
        }
    }
}

/// Remembers when requests ended.
///
/// A request reaches Vault somewhere between its start and its end: a login first asks AWS, which may take seconds. So the
/// window is measured from the ends of earlier requests to the start of the next.
struct RequestBudget: Hashable, Sendable {
    private struct Entry: Hashable, Sendable {
        let end: Instant
        let urgency: Urgency
        /// That of the lease in use then: a burst that was within the bounds of a short lease does not stop the longer one
        /// that follows.
        let window: Duration

        func expires(window: Duration) -> Instant {
            end + min(self.window, window)
        }
    }

    /// The latest, oldest first; at most ``Pace/requestsPerWindow``.
    private var entries: [Entry] = []

    mutating func ended(_ urgency: Urgency, fullLease: Duration, at now: Instant) {
        if entries.count == Pace.requestsPerWindow { entries.removeFirst() }
        entries.append(Entry(end: now, urgency: urgency, window: Pace.window(fullLease: fullLease)))
    }

    /// The earliest moment for the next request of that urgency.
    func earliest(for urgency: Urgency, fullLease: Duration) -> Instant {
        guard let last = entries.last else { return .distantPast }
        var earliest = last.end + Pace.gap(fullLease: fullLease)
        let window = Pace.window(fullLease: fullLease)
        if entries.count == Pace.requestsPerWindow { earliest = max(earliest, entries[0].expires(window: window)) }
        var alike = 0
        for entry in entries.reversed() where entry.urgency >= urgency {
            alike += 1
            guard alike == urgency.most else { continue }
            earliest = max(earliest, entry.expires(window: window))
            break
        }
        return earliest
    }
}

/// What the other side has asked for: with `Retry-After`, or by saying that it has too much to do.
struct Quiet: Hashable, Sendable {
    private struct Said: Hashable, Sendable {
        let at: Instant
        let until: Instant
    }

    /// By the urgency of the request that was answered so.
    private var said: [Said?] = Urgency.allCases.map { _ in nil }

    /// How many times Vault has said that it has too much to do; each success takes one off.
    private var refusals = 0

    private static let mostRefusals = 8

    /// `most`: the longest pause where no time was named.
    mutating func refused(
        _ urgency: Urgency, with error: AgentError, most: Duration, at now: Instant,
        using generator: inout SeededGenerator
    ) {
        let isOverload = error.code == .vaultThrottled
        guard isOverload || error.retryAfter != nil else { return }
        if isOverload { refusals = min(refusals + 1, Self.mostRefusals) }
        let pause = Pace.quietTime(
            asked: error.retryAfter, refusals: isOverload ? refusals : 0, most: most, using: &generator)
        let moment = now + pause
        let before = said[urgency.rawValue]?.until ?? .distantPast
        said[urgency.rawValue] = Said(at: now, until: max(before, moment))
    }

    mutating func served() {
        refusals = max(0, refusals - 1)
    }

    /// When a request of that urgency may be made: what was said to a less urgent one does not concern it.
    ///
    /// `deadline`: when readers lose what they have; nil: they have nothing, or do not depend on this. `attempt`: the time
    /// before it that one attempt needs. What was asked for is honoured until two attempts are left, then until one is.
    func end(for urgency: Urgency, deadline: Instant?, attempt: Duration) -> Instant {
        var end = Instant.distantPast
        for said in said.prefix(urgency.rawValue + 1) {
            guard let said else { continue }
            var until = said.until
            if let deadline {
                let chances = [deadline - attempt * 2, deadline - attempt].filter { $0 > said.at }
                until = min(until, chances.first ?? until)
            }
            end = max(end, until)
        }
        return end
    }
}
