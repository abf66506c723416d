// AWSIdentity: chance, from a seed, so that a simulated run can be repeated exactly.

internal import Timekeeping

/// SplitMix64 (Steele, Lea, Flood 2014): spreads waits; nothing secret comes from it.
final class Jitter {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    /// From 0 up to but not including 1.
    func fraction() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((mixed ^ (mixed >> 31)) >> 11) / Double(UInt64(1) << 53)
    }

    /// Half to one and a half of `pause`.
    func spread(_ pause: Duration) -> Duration {
        .nanoseconds(Int64((0.5 + fraction()) * Double(pause.nanoseconds)))
    }

    /// The SDKs' back-off in standard mode: full jitter over 1 s, 2 s, 4 s … 20 s.
    /// - Parameter attempt: the one that failed, from 1.
    func backOff(after attempt: Int) -> Duration {
        let ceiling = attempt > 5 ? 20 : Double(1 << (attempt - 1))
        return .nanoseconds(Int64(fraction() * min(ceiling, 20) * 1e9))
    }
}
