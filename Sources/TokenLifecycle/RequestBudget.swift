// TokenLifecycle: the guard behind the promise "never a storm". Whatever the state, no request starts before it says so.

import Timekeeping

/// Remembers when requests ended.
///
/// A request reaches Vault somewhere between its start and its end: a login first asks AWS, which may take seconds. So the
/// window is measured from the ends of earlier requests to the start of the next.
struct RequestBudget: Hashable, Sendable {
    /// The latest ends, oldest first; at most ``Pace/requestsPerWindow``.
    private var ends: [Instant] = []

    mutating func ended(at now: Instant) {
        if ends.count == Pace.requestsPerWindow { ends.removeFirst() }
        ends.append(now)
    }

    /// The earliest moment for the next request.
    func earliest(fullLease: Duration) -> Instant {
        guard let last = ends.last else { return .distantPast }
        return max(last + Pace.gap(fullLease: fullLease), whenUnspent(fullLease: fullLease))
    }

    /// When there is room again for one more within the window.
    func whenUnspent(fullLease: Duration) -> Instant {
        guard ends.count == Pace.requestsPerWindow, let oldest = ends.first else { return .distantPast }
        return oldest + Pace.window(fullLease: fullLease)
    }

    /// When a quarter of the window's requests is left: what can wait leaves that to what cannot. Lookups and renewals alone
    /// make a dozen a minute at most.
    func whenQuarterUnspent(fullLease: Duration) -> Instant {
        let most = Pace.requestsPerWindow * 3 / 4
        guard ends.count >= most else { return .distantPast }
        return ends[ends.count - most] + Pace.window(fullLease: fullLease)
    }
}
