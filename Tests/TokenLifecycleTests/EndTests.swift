// The end of a token: by a stop, a logout, or a reload that drops it.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct EndTests {
    @Test func stoppingLeavesTheTokenUnlessToldToRevoke() {
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(2))
        stage.tell { $0.end(dropped: false, at: $1) }
        #expect(stage.effects.last == .finished)
        #expect(stage.withdrawals == 0)
        #expect(stage.lifecycle.wake == nil)

        var policy = LifecyclePolicy()
        policy.revokeOnStop = true
        var revoking = Stage(policy: policy, vault: HealthyVault(ttl: .seconds(20)).answer)
        revoking.start()
        revoking.run(until: .seconds(2))
        revoking.tell { $0.end(dropped: false, at: $1) }
        revoking.run(until: .seconds(6))
        #expect(revoking.withdrawals == 1)
        #expect(revoking.asked.last?.request == .revoke(TokenID(number: 1)))
        #expect(revoking.effects.last == .finished)
    }

    enum LateEnd: CaseIterable { case logout, dropped, stopThatRevokes }

    @Test(arguments: LateEnd.allCases, [true, false])
    func theTokenOfALoginThatIsUnderWayAtTheEndIsRevoked(end: LateEnd, isGranted: Bool) {
        var policy = LifecyclePolicy()
        policy.revokeOnStop = end == .stopThatRevokes
        let vault = HealthyVault(ttl: .seconds(3_600))
        vault.latency = .seconds(2)
        vault.failure = isGranted ? nil : AgentError(.vaultLoginRefused, "no such role")
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1))
        vault.latency = .milliseconds(20)
        stage.tell { $0.end(dropped: end != .stopThatRevokes, revoking: end == .logout, at: $1) }
        #expect(!stage.effects.contains(.finished) && !stage.lifecycle.owesNothing)
        stage.run(until: .seconds(4))
        #expect(stage.effects.last == .finished && stage.lifecycle.owesNothing)
        #expect(stage.times(of: .revocation).count == (isGranted ? 1 : 0))
        #expect(stage.times(of: .login).count == 1 && stage.held.isEmpty)
    }

    @Test func anEndWaitsForNoLoginLongerThanForARevocation() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        vault.latency = .seconds(500)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1))
        stage.tell { $0.end(dropped: true, revoking: true, at: $1) }
        stage.tell { $0.end(dropped: false, at: $1) }
        stage.run(until: .seconds(5))
        #expect(stage.effects.last == .finished && !stage.lifecycle.owesNothing)
    }

    @Test(arguments: [false, true])
    func theEndComesThoughASinkHangs(dropped: Bool) {
        var policy = LifecyclePolicy()
        policy.revokeOnStop = true
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        stage.disk = { _, _ in .hangs }
        stage.tell { $0.end(dropped: dropped, at: $1) }
        stage.run(until: .seconds(dropped ? 66 : 9))
        #expect(stage.effects.last == .finished)
        #expect(stage.asked.contains { if case .revoke = $0.request { true } else { false } })
    }

    @Test func whatADroppedTokenCouldNotEmptyItLeavesAloneOnceAnotherWritesThere() {
        var policy = LifecyclePolicy()
        policy.expired = .remove
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1))
        stage.disk = { _, _ in .failed(AgentError(.sinkUnwritable, "read only")) }
        stage.tell { $0.end(dropped: true, at: $1) }
        stage.run(until: .seconds(2))
        let withdrawals = stage.withdrawals
        #expect(withdrawals > 0 && stage.effects.last != .finished)
        stage.tell { $0.end(dropped: true, taken: [.first], at: $1) }
        stage.run(until: .seconds(66))
        #expect(stage.withdrawals == withdrawals)
        #expect(stage.effects.suffix(2) == [.release(.first), .finished])
    }
}
