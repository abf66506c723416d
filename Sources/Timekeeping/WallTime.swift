// Timekeeping: calendar time, for signatures and for people; never for expiry or waits. It may jump in either direction.

/// Calendar time, UTC, from `CLOCK_REALTIME`.
package struct WallTime: Comparable, Hashable, Sendable {
    /// Nanoseconds since 1970-01-01T00:00:00Z; years 1677 to 2262.
    package let nanosecondsSince1970: Int64

    package init(nanosecondsSince1970: Int64) {
        self.nanosecondsSince1970 = nanosecondsSince1970
    }

    /// Saturates outside the years 1677 to 2262.
    package init(secondsSince1970: Int64) {
        let (nanoseconds, overflow) = secondsSince1970.multipliedReportingOverflow(by: 1_000_000_000)
        self.nanosecondsSince1970 = overflow ? (secondsSince1970 > 0 ? .max : .min) : nanoseconds
    }

    /// Whole seconds since 1970, rounded down.
    package var secondsSince1970: Int64 {
        let (whole, rest) = nanosecondsSince1970.quotientAndRemainder(dividingBy: 1_000_000_000)
        return rest < 0 ? whole - 1 : whole
    }

    package static func < (left: WallTime, right: WallTime) -> Bool {
        left.nanosecondsSince1970 < right.nanosecondsSince1970
    }

    package static func + (time: WallTime, duration: Duration) -> WallTime {
        let (sum, overflow) = time.nanosecondsSince1970.addingReportingOverflow(duration.nanoseconds)
        return WallTime(nanosecondsSince1970: overflow ? (duration.nanoseconds > 0 ? .max : .min) : sum)
    }

    package static func - (later: WallTime, earlier: WallTime) -> Duration {
        let (difference, overflow) = later.nanosecondsSince1970.subtractingReportingOverflow(
            earlier.nanosecondsSince1970)
        return .nanoseconds(overflow ? (later > earlier ? Int64.max : Int64.min) : difference)
    }
}
