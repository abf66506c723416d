// TokenLifecycle: randomness that a seed repeats.

import Timekeeping

/// SplitMix64: small, fast, good enough to spread timers. Not for secrets.
package struct SeededGenerator: RandomNumberGenerator, Hashable, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A duration drawn evenly from the range.
    package mutating func duration(in range: ClosedRange<Duration>) -> Duration {
        .nanoseconds(Int64.random(in: range.lowerBound.nanoseconds...range.upperBound.nanoseconds, using: &self))
    }

    /// A share of `whole`, drawn evenly between the two fractions.
    package mutating func share(of whole: Duration, between low: Double, and high: Double) -> Duration {
        whole * Double.random(in: low...high, using: &self)
    }
}
