// What is said of a token and its sinks: what readers find, why, and since when.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct HealthTests {
    private let vault = HealthyVault(ttl: .seconds(3_600))

    @Test func aWriteThatHangsIsATroubleWithACauseAndABeginning() throws {
        var stage = Stage(vault: vault.answer)
        stage.disk = { _, _ in .hangs }
        stage.start()
        stage.run(until: .seconds(3))
        #expect(stage.health.sinks[0].trouble == nil)
        stage.run(until: .seconds(7_200))
        let trouble = try #require(stage.health.sinks[0].trouble)
        #expect(trouble.error.code == .sinkUnwritable)
        #expect(trouble.since - stage.begin < .seconds(1), "since the write began")
        #expect(stage.health.phase != .fresh && stage.health.phase != .starting)
        #expect(!stage.health.sinks[0].delivered)
    }

    @Test func aHangingWriteIsToldWithoutAnybodyAsking() {
        var stage = Stage(vault: vault.answer)
        stage.disk = { _, _ in .hangs }
        stage.start()
        stage.run(until: .seconds(1))
        let wakes = stage.lifecycle.wake.map { $0 - stage.begin } ?? .zero
        #expect(wakes <= .seconds(5.1))
    }

    @Test func aDisturbanceThatIsPutRightLeavesFreshFresh() {
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        stage.tell { $0.sinkDisturbed(.first, at: $1) }
        #expect(stage.health.phase == .fresh && stage.health.sinks[0].delivered)
        stage.run(until: .seconds(11))
        #expect(stage.health.phase == .fresh)
        #expect(stage.writes(of: 1) == 2)
    }

    @Test func aDisturbanceThatCannotBePutRightIsTold() {
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        stage.disk = { _, _ in .failed(AgentError(.sinkUnwritable, "read-only file system")) }
        stage.tell { $0.sinkDisturbed(.first, at: $1) }
        stage.run(until: .seconds(11))
        #expect(stage.health.phase == .struggling && !stage.health.sinks[0].delivered)
    }

    @Test func whileANewTokenIsOnItsWayReadersFindTheOldOneAndSoDoesHealth() {
        var stage = Stage(sinks: [.plain(1), .plain(2)], vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(100))
        stage.disk = { sink, _ in sink == .second ? .hangs : .done }
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(103))
        #expect(stage.health.phase == .fresh)
        let old = stage.begin + .seconds(3_600)
        #expect(stage.health.validUntil.map { $0 <= old } ?? false, "the sink that hangs holds the older one")
        stage.run(until: .seconds(120))
        #expect(stage.health.phase == .struggling)
        #expect(stage.health.sinks.map { $0.trouble != nil } == [false, true])
    }

    @Test func sinceIsWhenItHappenedNotWhenSomebodyLooked() {
        var stage = Stage(vault: HealthyVault(ttl: .seconds(100)).answer)
        stage.start()
        stage.run(until: .seconds(20))
        let began = stage.health.since
        stage.run(until: .seconds(90))
        #expect(stage.health.since == began)
        #expect(began - stage.begin < .seconds(1))
    }

    @Test func whatIsToldNextIsTheRenewalAlsoWhileTheTokenIsLookedUp() throws {
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1))
        let told = try #require(stage.health.next)
        #expect(told.step == .renew)
        stage.run(until: .seconds(1_000))
        #expect(stage.times(of: .lookup).count > 1)
        #expect(stage.health.next == told)
    }

    @Test func ofATokenThatNeverEndsTheLookupIsToldNext() {
        var stage = Stage(vault: HealthyVault(ttl: .zero).answer)
        stage.start()
        stage.run(until: .seconds(1))
        #expect(stage.health.next?.step == .lookUp)
    }

    @Test func aRevocationIsCalledSo() throws {
        var policy = LifecyclePolicy()
        policy.replaced = .revoke(after: .seconds(5))
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(2))
        let steps = (20...69).compactMap { tenth -> LifecycleHealth.Step? in
            stage.run(until: .milliseconds(tenth * 100))
            return stage.health.next?.step
        }
        #expect(steps.contains(.revoke))
    }
}
