// Timekeeping: the two times that the agent knows, kept apart by type. This file: time since boot, for expiry and waits.

/// A moment on the clock that counts from boot and keeps counting in suspend (`CLOCK_BOOTTIME`).
///
/// Expiry and every wait are reckoned on it. It never jumps, and it means nothing outside this boot of this machine.
package struct Instant: Comparable, Hashable, Sendable {
    /// Nanoseconds since boot.
    package let nanoseconds: Int64

    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    package static let distantPast = Instant(nanoseconds: .min)
    package static let distantFuture = Instant(nanoseconds: .max)

    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// Saturates instead of overflowing: "never" stays never.
    package static func + (instant: Instant, duration: Duration) -> Instant {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.nanoseconds)
        return Instant(nanoseconds: overflow ? (duration.nanoseconds > 0 ? .max : .min) : sum)
    }

    package static func - (instant: Instant, duration: Duration) -> Instant {
        let (difference, overflow) = instant.nanoseconds.subtractingReportingOverflow(duration.nanoseconds)
        return Instant(nanoseconds: overflow ? (duration.nanoseconds > 0 ? .min : .max) : difference)
    }

    package static func - (later: Instant, earlier: Instant) -> Duration {
        let (difference, overflow) = later.nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return .nanoseconds(overflow ? (later > earlier ? Int64.max : Int64.min) : difference)
    }
}

extension Duration {
    /// The whole duration in nanoseconds, saturating at about ±292 years.
    package var nanoseconds: Int64 {
        Int64(clamping: attoseconds / 1_000_000_000)
    }

    /// The duration in seconds, for ratios and reports.
    package var inSeconds: Double {
        Double(nanoseconds) / 1e9
    }
}
