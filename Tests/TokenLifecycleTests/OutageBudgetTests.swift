// Until when readers are said to live on without Vault, and without AWS: held to what comes when it is taken away.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct OutageBudgetTests {
    private static let away = AgentError(.vaultUnreachable, "refused")

    private func until(_ moment: Instant?, in stage: Stage) -> Duration? { moment.map { $0 - stage.begin } }

    @Test(arguments: [20, 60, 3_600])
    func withoutVaultReadersLoseTheirTokenWhenItWasSaid(lease: Int) throws {
        for seed in 0..<20 {
            let vault = HealthyVault(ttl: .seconds(lease))
            var stage = Stage(seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(lease) * (1.0 + Double(seed) / 7))
            let said = try #require(stage.health.outageBudget?.withoutVault)
            vault.failure = Self.away
            stage.run(until: said - stage.begin - .milliseconds(1))
            #expect(stage.health.phase == .struggling && stage.health.sinks[0].delivered)
            #expect(stage.health.outageBudget?.withoutVault == said, "it stays what it was")
            stage.run(until: said - stage.begin)
            #expect(stage.health.phase == .lost)
            #expect(stage.health.outageBudget == nil)
        }
    }

    @Test func withoutAWSATokenIsRenewedToAMaximumThatIsNotKnown() throws {
        let vault = HealthyVault(ttl: .seconds(100), maximum: .seconds(450))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        let early = try #require(stage.health.outageBudget)
        #expect(early.isRenewedWithoutAWS && early.withoutAWS == early.withoutVault)
        vault.loginFailure = AgentError(.awsSTSUnavailable, "no STS")
        // Once the maximum has cut a renewal short it is known.
        stage.run(until: .seconds(430))
        let late = try #require(stage.health.outageBudget)
        #expect(!late.isRenewedWithoutAWS)
        let said = try #require(until(late.withoutAWS, in: stage))
        #expect(said > .seconds(449) && said <= .seconds(450.1))
        stage.run(until: said - .milliseconds(1))
        #expect(stage.health.sinks[0].delivered)
        stage.run(until: said)
        #expect(stage.health.phase == .lost)
    }

    @Test func whereVaultAsksAWSAtEachRenewalBothOutagesCostTheSame() throws {
        let vault = HealthyVault(ttl: .seconds(100))
        var stage = Stage(vault: vault.answer)
        stage.lifecycle = TokenLifecycle(
            LifecycleOutline(policy: LifecyclePolicy(), sinks: [.plain(1)], renewalAsksAWS: true), seed: 1)
        stage.start()
        stage.run(until: .seconds(10))
        let budget = try #require(stage.health.outageBudget)
        #expect(!budget.isRenewedWithoutAWS && budget.withoutAWS == budget.withoutVault)
    }

    @Test func aTokenThatNeverExpiresSurvivesAll() throws {
        let vault = HealthyVault(ttl: .zero)
        var stage = Stage { request, sentAt, id in
            guard case .logIn = request else { return vault.answer(request, sentAt, id) }
            return Reply(answer: .granted(Grant(id: id, sentAt: sentAt, duration: nil, renewable: false)))
        }
        stage.start()
        stage.run(until: .seconds(10))
        let budget = try #require(stage.health.outageBudget)
        #expect(budget.withoutVault == nil && budget.withoutAWS == nil && !budget.isRenewedWithoutAWS)
    }

    @Test func aWrappingTokenEndsBeforeItsTokenOnlyWithoutVault() throws {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(sinks: [.wrapping(1, ttl: .seconds(60))], vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(20))
        let budget = try #require(stage.health.outageBudget)
        #expect(until(budget.withoutVault, in: stage).map { $0 > .seconds(59) && $0 < .seconds(61) } == true)
        #expect(until(budget.withoutAWS, in: stage).map { $0 > .seconds(3_599) } == true)
        vault.failure = Self.away
        let said = try #require(until(budget.withoutVault, in: stage))
        stage.run(until: said - .milliseconds(1))
        #expect(stage.health.sinks[0].delivered)
        stage.run(until: said)
        #expect(!stage.health.sinks[0].delivered)
        #expect(stage.health.outageBudget == nil)
    }

    @Test func aChildIsMadeAnewWithoutAWSAndNotWithoutVault() throws {
        let child = LineID(number: 1)
        let vault = HealthyVault(ttl: .seconds(600))
        var stage = Stage(sinks: [.plain(1), .plain(2, line: child)], children: [child]) { request, sentAt, id in
            if case .createChild = request { vault.ttl = .seconds(200) }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(10))
        let budget = try #require(stage.lifecycle.health(at: stage.now)[1].outageBudget)
        #expect(until(budget.withoutVault, in: stage).map { $0 > .seconds(199) && $0 < .seconds(201) } == true)
        #expect(until(budget.withoutAWS, in: stage).map { $0 > .seconds(599) } == true)
        #expect(budget.isRenewedWithoutAWS)
    }

    @Test func aSinkThatCannotBeWrittenEndsWithWhatStandsThere() throws {
        let vault = HealthyVault(ttl: .seconds(600))
        var stage = Stage(sinks: [.plain(1), .plain(2)], vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        let old = try #require(stage.health.outageBudget?.withoutVault)
        stage.disk = { sink, _ in sink == .second ? .failed(AgentError(.sinkFull, "full")) : .done }
        stage.run(until: .seconds(100))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(110))
        let budget = try #require(stage.health.outageBudget)
        #expect(budget.withoutVault == old && budget.withoutAWS == old && !budget.isRenewedWithoutAWS)
    }

    @Test func whatVaultCallsDeadIsNothingToLiveOn() {
        let vault = HealthyVault(ttl: .seconds(600))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(100))
        vault.revokeAll()
        vault.loginFailure = Self.away
        stage.run(until: .seconds(200))
        #expect(stage.health.outageBudget == nil)
    }
}
