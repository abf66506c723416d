// When wrapping tokens are made.

import Crypto
import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle
import TokenSinks

@testable import AgentRuntime

@Suite("The wrapping token of a sink")
struct SinkWrappingTests {
    private let start = Instant(nanoseconds: 5_000_000_000_000)
    private let token = Secret(text: "s.inside")

    private func wrapping(_ seconds: Int) -> WrappedToken {
        WrappedToken(
            token: Secret(text: "s.wrapping"), accessor: "a", timeToLive: .seconds(seconds),
            createdAt: WallTime(secondsSince1970: 0), creationPath: "sys/wrapping/wrap")
    }

    @Test("is due for another when 50 % to 60 % of its time is over, at no fixed moment", arguments: [10, 300, 86_400])
    func due(seconds: Int) throws {
        var moments: Set<Instant> = []
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var state = SinkWrapping(ttl: .seconds(seconds))
            #expect(state.due == nil)
            state.hold(wrapping(seconds), for: token, madeAt: start, using: &generator)
            moments.insert(try #require(state.due))
        }
        #expect(moments.allSatisfy { start + .seconds(seconds) * 0.5 <= $0 && $0 <= start + .seconds(seconds) * 0.6 })
        #expect(moments.count > 150)
    }

    @Test("stands for its own token only, until it expires")
    func validity() {
        var generator = SeededGenerator(seed: 1)
        var state = SinkWrapping(ttl: .seconds(60))
        state.hold(wrapping(60), for: token, madeAt: start, using: &generator)
        #expect(state.wrapping(for: token, at: start + .seconds(59)) != nil)
        #expect(state.wrapping(for: Secret(text: "s.other"), at: start) == nil)
        #expect(state.wrapping(for: token, at: start + .seconds(60)) == nil)
        state.forget()
        #expect(state.wrapping(for: token, at: start) == nil)
        #expect(state.due == nil)
    }

    @Test("counts until its own expiry while the next one is made and cannot be written")
    func unwritten() {
        var generator = SeededGenerator(seed: 1)
        var state = SinkWrapping(ttl: .seconds(60))
        state.hold(wrapping(60), for: token, madeAt: start, using: &generator)
        #expect(state.expiry == nil && !state.isWritten)
        state.written()
        #expect(state.expiry == start + .seconds(60) && state.isWritten)
        state.hold(wrapping(60), for: token, madeAt: start + .seconds(30), using: &generator)
        #expect(state.expiry == start + .seconds(60) && !state.isWritten)
        state.written()
        #expect(state.expiry == start + .seconds(90) && state.isWritten)
    }

    @Test("is tried again after a failure, some times before the old one expires", arguments: [10, 60, 3_600])
    func retries(seconds: Int) throws {
        var generator = SeededGenerator(seed: 3)
        var state = SinkWrapping(ttl: .seconds(seconds))
        state.hold(wrapping(seconds), for: token, madeAt: start, using: &generator)
        let before = try #require(state.due)
        state.failed(at: before, using: &generator)
        let again = try #require(state.due) - before
        #expect(again >= .seconds(4) && again <= .seconds(30))
        #expect(state.wrapping(for: token, at: before) != nil)
    }

    @Test("costs Vault at most twelve requests within any minute")
    func budget() throws {
        var budget = WrappingBudget()
        var made: [Instant] = []
        for step in 0..<2_000 {
            let now = start + .milliseconds(100) * step
            guard now >= budget.earliest else {
                #expect(throws: AgentError.self) { try budget.take(at: now) }
                continue
            }
            try budget.take(at: now)
            made.append(now)
        }
        #expect(made.count == 48)
        for first in made.indices.dropLast(12) { #expect(made[first + 12] - made[first] >= .seconds(60)) }
    }
}
