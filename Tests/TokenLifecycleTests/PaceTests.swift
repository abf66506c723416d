// The pace's promises, for leases, attempts and pauses as they may come: drawn, the same each time.

import Testing
import Timekeeping

@testable import TokenLifecycle

/// What one pause depends on.
private struct Draw {
    let lease: Duration
    let attempts: Int
    let remaining: Duration
    let refused: Bool
    let maxBackoff: Duration
    let seed: UInt64

    /// Leases from a millisecond to a century, most of them short; attempts from none to far beyond any that can be made.
    init(using random: inout SeededGenerator) {
        func magnitude(upTo bits: UInt64) -> Int64 { Int64(random.next() >> (64 - random.next() % bits - 1)) }
        lease = .milliseconds(1 + magnitude(upTo: 41))
        attempts = random.next() % 8 == 0 ? .max : Int(magnitude(upTo: 6))
        remaining = random.next() % 3 == 0 ? .zero : lease * (Double(random.next() % 1_001) / 1_000)
        refused = random.next() % 2 == 0
        maxBackoff = .seconds(Int64(5 + random.next() % 296))
        seed = random.next()
    }

    func delay(attempts: Int? = nil) -> Duration {
        var generator = SeededGenerator(seed: seed)
        return Pace.retryDelay(
            attempts: attempts ?? self.attempts, fullLease: lease, remaining: remaining, refused: refused,
            maxBackoff: maxBackoff, using: &generator)
    }
}

@Suite struct PaceTests {
    private static let draws = {
        var random = SeededGenerator(seed: 20_261_128)
        return (0..<4_000).map { _ in Draw(using: &random) }
    }()

    @Test func `no attempt comes sooner than the least pause, and twenty take their window`() {
        for draw in Self.draws {
            let least = Pace.leastDelay(fullLease: draw.lease)
            #expect(draw.delay() >= least, "\(draw)")
            let twenty = (1...Pace.requestsPerWindow).map { draw.delay(attempts: $0) }.reduce(.zero, +)
            // Of a lease under a millisecond a twentieth is a rounded one.
            #expect(twenty >= min(Pace.window(fullLease: draw.lease), .seconds(20)) - .microseconds(1), "\(draw)")
        }
    }

    @Test func `a dead token is tried for within the longest pause, which only a refusal makes longer`() {
        for draw in Self.draws where draw.remaining == .zero {
            let most = Pace.mostDelay(fullLease: draw.lease, maxBackoff: draw.maxBackoff)
            let allowed = draw.refused ? max(most, Pace.mostDelayWhenRefused) : most
            #expect(draw.delay() <= allowed, "\(draw)")
            #expect(most <= max(draw.maxBackoff, Pace.leastDelay(fullLease: draw.lease) * 1.6), "\(draw)")
        }
    }

    @Test func `a valid token is tried for again well before its end`() {
        for draw in Self.draws where draw.remaining > .zero {
            let least = Pace.leastDelay(fullLease: draw.lease)
            #expect(draw.delay() <= max(draw.remaining / 10, least * 1.6) + .microseconds(1), "\(draw)")
            #expect(draw.delay() <= max(Pace.mostDelayAtLeisure, least * 1.6), "\(draw)")
        }
    }

    @Test func `of the same agent a later attempt never waits for less`() {
        for draw in Self.draws {
            let delays = (0...25).map { draw.delay(attempts: $0) }
            #expect(zip(delays, delays.dropFirst()).allSatisfy { $0 <= $1 }, "\(draw)")
        }
    }

    @Test func `a server that names a time gets it, and not much more`() {
        for draw in Self.draws {
            var generator = SeededGenerator(seed: draw.seed)
            let most = Pace.mostDelay(fullLease: draw.lease, maxBackoff: draw.maxBackoff)
            let quiet = Pace.quietTime(asked: draw.remaining, refusals: draw.attempts, most: most, using: &generator)
            #expect(quiet >= draw.remaining && quiet <= draw.remaining + .seconds(15), "\(draw)")
        }
    }

    @Test func `a server that names none is left alone for no longer than the longest pause`() {
        for draw in Self.draws {
            var generator = SeededGenerator(seed: draw.seed)
            let most = Pace.mostDelay(fullLease: draw.lease, maxBackoff: draw.maxBackoff)
            let quiet = Pace.quietTime(asked: nil, refusals: draw.attempts, most: most, using: &generator)
            #expect(quiet >= .zero && quiet <= most, "\(draw)")
            #expect(draw.attempts > 0 || quiet == .zero, "\(draw)")
        }
    }

    @Test func `a sink is tried again within ten seconds`() {
        for draw in Self.draws {
            var generator = SeededGenerator(seed: draw.seed)
            let delay = Pace.deliveryDelay(attempts: draw.attempts, using: &generator)
            #expect(delay >= .milliseconds(125) && delay <= .seconds(10), "\(draw)")
        }
    }
}
