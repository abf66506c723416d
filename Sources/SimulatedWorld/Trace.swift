// SimulatedWorld: what happened, as a hash that two runs of one seed share, and as lines that a person reads.

import Timekeeping

/// The record of one run.
package final class Trace {
    private let loop: SimulatedLoop
    private let start: Instant
    private let isReadable: Bool
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325
    package private(set) var lines: [String] = []

    package init(loop: SimulatedLoop, readable: Bool) {
        self.loop = loop
        start = loop.now
        isReadable = readable
    }

    package var hash: UInt64 { state }

    /// `number` tells events of one kind apart; `text` is made only where somebody reads it.
    package func note(_ event: StaticString, _ number: UInt64 = 0, _ text: @autoclosure () -> String = "") {
        mix(UInt64(bitPattern: loop.now.nanoseconds))
        mix(number)
        unsafe mix(UInt64(event.utf8CodeUnitCount) &* 257 &+ UInt64(event.utf8Start[0]))
        guard isReadable else { return }
        lines.append("\(stamp)  \(event) \(text())")
    }

    private var stamp: String {
        let elapsed = (loop.now - start).nanoseconds / 1_000_000
        let (days, rest) = elapsed.quotientAndRemainder(dividingBy: 86_400_000)
        func padded(_ value: Int64, _ width: Int) -> String {
            String(repeating: "0", count: max(0, width - String(value).count)) + String(value)
        }
        return "\(days)d \(padded(rest / 3_600_000, 2)):\(padded(rest / 60_000 % 60, 2)):"
            + "\(padded(rest / 1_000 % 60, 2)).\(padded(rest % 1_000, 3))"
    }

    private func mix(_ value: UInt64) {
        state = (state ^ value) &* 0x0000_0100_0000_01B3
        state ^= state >> 29
    }
}
