// TokenLifecycle: the guard behind the promise "never a storm". Whatever the state, no request starts before it says so.

import Timekeeping

/// Remembers when requests started and ended.
struct RequestBudget: Hashable, Sendable {
    /// The latest starts, oldest first; at most ``Pace/requestsPerWindow``.
    private var starts: [Instant] = []
    private var lastEnd: Instant?

    mutating func started(at now: Instant) {
        if starts.count == Pace.requestsPerWindow { starts.removeFirst() }
        starts.append(now)
    }

    mutating func ended(at now: Instant) {
        lastEnd = now
    }

    /// The earliest moment for the next request.
    func earliest(fullLease: Duration) -> Instant {
        var earliest = Instant.distantPast
        if let lastEnd {
            earliest = lastEnd + Pace.gap(fullLease: fullLease)
        }
        if starts.count == Pace.requestsPerWindow, let oldest = starts.first {
            earliest = max(earliest, oldest + Pace.window(fullLease: fullLease))
        }
        return earliest
    }
}
