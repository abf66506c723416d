// TokenLifecycle: every number that decides when a request may be made.

import Timekeeping

/// How fast to act, measured by the token's full lease.
///
/// A "full lease" is the longest time Vault gave this token at once. Before the first login it is unknown and taken as
/// ``leaseBeforeFirst``.
package enum Pace {
    /// Renewal, or the login that replaces a token that cannot be renewed, is due when this share of the full lease is left:
    /// 55 % to 65 % of a lease has then passed.
    static let shareLeftWhenDue = (least: 0.35, most: 0.45)

    /// Stands in for the lease of a token that was never issued: an hour, as many roles have it.
    static let leaseBeforeFirst: Duration = .seconds(3_600)

    /// The promise "never a storm": so many requests in ``window(fullLease:)``.
    package static let requestsPerWindow = 20

    /// A minute, or the lease where that is shorter.
    package static func window(fullLease: Duration) -> Duration {
        min(.seconds(60), fullLease)
    }

    /// Least time from the end of one request to the start of the next.
    static func gap(fullLease: Duration) -> Duration {
        min(.milliseconds(200), fullLease / 50)
    }

    /// Least time from the start of a request that failed to the start of the next: a second, or what keeps twenty of them
    /// within a short lease.
    static func leastDelay(fullLease: Duration) -> Duration {
        min(.seconds(1), fullLease / 20)
    }

    /// Most time between attempts once the token is dead, or nearly: `maxBackoff`, but under a tenth of the lease.
    static func mostDelay(fullLease: Duration, maxBackoff: Duration) -> Duration {
        max(leastDelay(fullLease: fullLease) * 1.6, min(maxBackoff, fullLease * 0.08))
    }

    /// Most time between attempts while a valid token has time to spare.
    static let mostDelayAtLeisure: Duration = .seconds(300)

    /// Most time between attempts that fail for a reason only people can mend.
    static let mostDelayWhenRefused: Duration = .seconds(60)

    /// The promise "fresh": the share of the lease that is left whenever all is well.
    static let shareLeftWhenFresh = 1.0 / 3

    /// From a failed attempt's start to the next one's. Grows by 1.6 with each attempt, drawn from its upper half: two agents
    /// that failed together drift apart, and no attempt of a fleet comes much sooner than its share.
    ///
    /// `remaining` is what the token has left; zero for a dead one. A valid token has time until it stops being fresh; from
    /// then on it is treated like a dead one, and the nearer its end, the faster.
    static func retryDelay(
        attempts: Int, fullLease: Duration, remaining: Duration, refused: Bool, maxBackoff: Duration,
        using generator: inout SeededGenerator
    ) -> Duration {
        let least = leastDelay(fullLease: fullLease)
        var most = mostDelay(fullLease: fullLease, maxBackoff: maxBackoff)
        if refused {
            most = max(most, mostDelayWhenRefused)
        }
        if remaining > .zero {
            let spare = remaining - fullLease * shareLeftWhenFresh - most
            most = min(max(remaining / 10, least * 1.6), max(most, min(spare, mostDelayAtLeisure)))
        }
        var grown = least
        for _ in 0..<min(attempts, 20) where grown < most { grown = grown * 1.6 }
        let upper = max(least, min(grown, most))
        return generator.duration(in: max(least, upper / 2)...upper)
    }

    /// A Vault that has too much to do and names no time is left alone for up to so long at first, and twice that at each
    /// further refusal, up to ``mostDelay(fullLease:maxBackoff:)``.
    private static let firstSpread: Duration = .seconds(15)

    /// How long to leave the other side alone. `asked`: what it named with `Retry-After`. `refusals`: how many times it has
    /// said that it has too much to do; 0: it has not.
    ///
    /// Drawn from the whole of the spread: of a fleet that was refused as one each comes back at a moment of its own. The
    /// first refusal that names a time is taken at its word; a second one shows that too many were told the same, who are
    /// spread without being kept away for much longer than was asked.
    static func quietTime(
        asked: Duration?, refusals: Int, most: Duration, using generator: inout SeededGenerator
    ) -> Duration {
        let told = asked.map { min(max($0, .seconds(1)), .seconds(20)) / 2 } ?? .zero
        let widenings = asked == nil ? refusals : refusals - 1
        let widest = asked == nil ? most : min(most, firstSpread)
        let widened = widenings > 0 ? min(firstSpread * (1 << min(widenings - 1, 10)), widest) : .zero
        return (asked ?? .zero) + generator.share(of: max(told, widened), between: 0, and: 1)
    }

    /// Between two questions whether the token still lives: `most`, or else a tenth of the lease and at most 5 min; at least
    /// 5 s. The first after a login comes at any time within that, so that a fleet that logged in as one does not ask as one.
    static func lookupInterval(
        fullLease: Duration, most: Duration?, first: Bool, using generator: inout SeededGenerator
    ) -> Duration {
        let interval = max(most ?? min(fullLease / 10, .seconds(300)), .seconds(5))
        return generator.share(of: interval, between: first ? 0 : 0.9, and: 1)
    }

    /// How long a request may take: a twentieth of the lease, at least 1 s and at most 10 s, so that a hung server costs a
    /// short lease little. With trouble for over a minute it is 10 s: a server that is slow must get its chance.
    static func requestLimit(fullLease: Duration, troubledFor: Duration) -> Duration {
        troubledFor > .seconds(60) ? .seconds(10) : min(max(fullLease / 20, .seconds(1)), .seconds(10))
    }

    /// What the other side asked for with `Retry-After` is honoured until so long before the end of what readers hold, and
    /// once more until half of that: time for an attempt, and for a pause after it.
    static func timeForOneAttempt(fullLease: Duration, maxBackoff: Duration) -> Duration {
        let attempt = requestLimit(fullLease: fullLease, troubledFor: .zero)
        return min(attempt + mostDelay(fullLease: fullLease, maxBackoff: maxBackoff), fullLease / 8)
    }

    /// A wrapping token is replaced when 50 % to 60 % of its time is over: whoever reads the sink has the rest to unwrap it.
    static let wrappingSpentWhenDue = (least: 0.5, most: 0.6)

    /// A write or withdrawal that is under way for longer is a trouble: a disk that hangs, a network file system that is gone.
    package static let longestWrite: Duration = .seconds(5)

    /// Sinks are local: retried from 250 ms up to 10 s.
    static func deliveryDelay(attempts: Int, using generator: inout SeededGenerator) -> Duration {
        let most = min(Duration.milliseconds(250) * (1 << min(attempts, 6)), .seconds(10))
        return generator.share(of: most, between: 0.5, and: 1)
    }

    /// Least time from a finished write to the repair of a sink that somebody disturbs again and again.
    static let betweenRepairs: Duration = .milliseconds(250)

    /// A revocation is tried so often; after that the token lives out its lease.
    static let revocationAttempts = 3

    /// How long stopping may wait for the revocation of the last token, and for sinks to be emptied.
    static let longestStop: Duration = .seconds(3)

    /// The same for a token that a reload drops: nobody waits for it.
    static let longestDrop: Duration = .seconds(60)
}
