// A crash loop makes one token.

import SimulatedWorld
import Testing

@Suite struct RestartTests {
    @Test func aThousandStartsMakeOneToken() {
        let world = World(.calm(seed: 1))
        let outcome = world.crashLoop(starts: 1_000)
        #expect(outcome.logins == 1 + outcome.lost)
        #expect(world.violations.isEmpty)
    }

    /// What may be lost: the login of a process that is killed before the token stands in its sink.
    @Test func onlyALoginThatNoReaderHasSeenIsMadeAgain() {
        var lost: UInt64 = 0
        for seed in 1...300 {
            let world = World(.calm(seed: UInt64(seed)))
            let outcome = world.crashLoop(starts: 10)
            lost += outcome.lost
            #expect(outcome.logins <= 1 + outcome.lost, "seed \(seed)")
            #expect(outcome.unrecorded == 0, "seed \(seed)")
            // In a healthy world a login and a write take that long at most.
            #expect(outcome.longestLoss < .milliseconds(200), "seed \(seed)")
        }
        #expect(lost > 0, "no kill has met a login under way")
    }

    @Test func withoutARecordEveryStartLogsIn() {
        let world = World(.calm(seed: 1))
        world.losesRecords = true
        let outcome = world.crashLoop(starts: 100)
        #expect(outcome.logins > 40)
    }
}
