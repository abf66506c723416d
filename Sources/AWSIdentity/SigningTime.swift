// AWSIdentity: the time to sign with: this machine's, corrected only by what STS itself said when it refused a signature.

package import Logging
package import Timekeeping

/// The machine's clock, and the correction that STS gave. One for the whole agent: a machine has one clock.
///
/// Nobody else moves it. A `Date` can be written by any proxy, by Vault, by whoever answers in their place, and whoever moves
/// the signing time can collect signatures for the future. The correction is held as a moment of STS's time and the moment,
/// counted from boot, at which it was read: so a clock that is set right later is believed again.
package final class SigningTime {
    /// Farther than that STS is not believed: a machine so wrong must be set right by people. A signature made for a moment
    /// ahead becomes good then, so this also limits what a forged refusal can gain.
    package static let bound: Duration = .seconds(86_400)
    /// Differences up to this are left alone: STS quotes whole seconds and its answer took its time. STS allows 5 minutes.
    package static let tolerance: Duration = .seconds(60)

    private let timekeeper: any Timekeeper
    private let log: Logger
    private var quoted: (time: WallTime, at: Instant)?
    private var warned = false

    package init(timekeeper: any Timekeeper, log: Logger) {
        self.timekeeper = timekeeper
        self.log = log
    }

    package var now: WallTime { timekeeper.wallTime + (correction ?? .zero) }

    /// How far STS's time is ahead of this machine's; nil where they agree, as far as is known.
    package var correction: Duration? {
        guard let quoted else { return nil }
        let difference = quoted.time + (timekeeper.now - quoted.at) - timekeeper.wallTime
        let size = difference.magnitude
        return size > Self.tolerance && size <= Self.bound ? difference : nil
    }

    /// Takes up the time that STS quoted in refusing a signature; newer evidence replaces older.
    ///
    /// Returns whether a signature made now carries another time than one made for `signed`, and may do better.
    @discardableResult
    func correct(to time: WallTime, afterSigningFor signed: WallTime) -> Bool {
        quoted = (time, timekeeper.now)
        let skew = time - timekeeper.wallTime
        if skew.magnitude > Self.tolerance, !warned {
            warned = true
            let believed = skew.magnitude <= Self.bound
            log.warning(
                believed
                    ? "This machine's clock is off; signing with the time that STS gives. Set the clock right (chrony, timesyncd)"
                    : "This machine's clock is off by more than a day, if it is STS that says so. Set the clock right (chrony, timesyncd)",
                metadata: [
                    "behind_by": "\(skew.text)", "machine_time": "\(timekeeper.wallTime.rfc3339)",
                    "sts_time": "\(time.rfc3339)",
                ])
        }
        return (now - signed).magnitude > Self.tolerance
    }
}

extension Duration {
    fileprivate var magnitude: Duration { self < .zero ? .zero - self : self }
}
