// AWSIdentity: what time AWS thinks it is. Signatures are refused when they are more than 5 minutes off.

internal import Logging
internal import Timekeeping

/// Whose `Date` a clock was set by.
package enum DateSource: String, Sendable {
    case sts = "STS"
    case imds = "IMDS"
    case vault = "Vault"
}

/// Calendar time for signatures: this machine's, unless the `Date` of an answer showed it to be off.
///
/// A date is kept with the moment it was seen, counted from boot: so a clock that is set right later is believed again,
/// and one that is set wrong later is noticed.
final class ReferenceClock {
    private let timekeeper: any Timekeeper
    private let log: Logger
    private var seen: (date: WallTime, at: Instant, source: DateSource)?
    private var warned = false

    /// Differences up to this are left alone: a `Date` has whole seconds and is as old as its answer's way back. STS
    /// allows 5 minutes.
    private static let tolerance: Duration = .seconds(60)

    init(timekeeper: any Timekeeper, log: Logger) {
        self.timekeeper = timekeeper
        self.log = log
    }

    /// The time to sign with.
    var now: WallTime {
        let machine = timekeeper.wallTime
        guard let seen else { return machine }
        let reference = seen.date + (timekeeper.now - seen.at)
        return magnitude(reference - machine) > Self.tolerance ? reference : machine
    }

    /// Takes note of an answer's date. STS's own counts for more than the others': it is STS that checks signatures.
    func note(_ date: WallTime, from source: DateSource) {
        if source != .sts, seen?.source == .sts { return }
        seen = (date, timekeeper.now, source)
        let skew = date - timekeeper.wallTime
        guard magnitude(skew) > Self.tolerance, !warned else { return }
        warned = true
        log.warning(
            "This machine's clock is off; signing with the time of the answer. Set the clock right (chrony, timesyncd)",
            metadata: [
                "behind_by": "\(skew.text)", "machine_time": "\(timekeeper.wallTime.rfc3339)",
                "answer_time": "\(date.rfc3339)", "answer_from": "\(source.rawValue)",
            ])
    }

    /// Whether a signature of that time should be made anew.
    func differs(from time: WallTime) -> Bool {
        magnitude(now - time) > Self.tolerance
    }

    private func magnitude(_ duration: Duration) -> Duration {
        duration < .zero ? .zero - duration : duration
    }
}
