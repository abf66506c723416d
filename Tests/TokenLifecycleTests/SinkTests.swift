// Sinks, revocation and expiry.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct SinkTests {
    @Test func freshOnlyOnceEverySinkHoldsTheToken() {
        let vault = HealthyVault(ttl: .seconds(60))
        var stage = Stage(vault: vault.answer)
        var full = true
        stage.disk = { _, _ in full ? .failed(AgentError(.sinkFull, "no space left")) : .done }
        stage.start()
        stage.run(until: .seconds(5))
        #expect(stage.health.phase == .struggling)
        #expect(stage.health.sinks.first?.trouble?.error.code == .sinkFull)
        full = false
        stage.run(until: .seconds(16))
        #expect(stage.health.phase == .fresh)
    }

    @Test func aDisturbedSinkIsWrittenAgainAtOnceButNotInALoop() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        let before = stage.writes(of: 1)
        stage.tell { $0.sinkDisturbed(.first, at: $1) }
        #expect(stage.writes(of: 1) == before + 1)
        for tenth in 101...200 {
            stage.run(until: .milliseconds(tenth * 100))
            stage.tell { $0.sinkDisturbed(.first, at: $1) }
        }
        let writes = stage.writes(of: 1)
        #expect((20...45).contains(writes), "10 s of constant disturbance: a write each 250 ms or so, not \(writes)")
    }

    @Test func aSinkDisturbedWhileItIsWrittenIsWrittenOnceMore() {
        var stage = Stage(vault: HealthyVault(ttl: .seconds(3_600)).answer)
        stage.start()
        stage.run(until: .seconds(10))
        let before = stage.writes(of: 1)
        stage.tell { $0.sinkDisturbed(.first, at: $1) }
        stage.tell { $0.sinkDisturbed(.first, at: $1) }
        stage.run(until: .seconds(20))
        #expect(stage.writes(of: 1) == before + 2)
    }

    @Test func aRenewalIsToldToTheSinksAndTheTokenStaysFreshMeanwhile() {
        let vault = HealthyVault(ttl: .seconds(60))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(3_600))
        let renewals = stage.times(of: .renewal).count
        #expect(renewals > 50)
        #expect(stage.writes(of: 1) == renewals + 1)

        var careful = Stage(vault: vault.answer)
        careful.start()
        careful.run(until: .seconds(10))
        for tick in 10_000..<45_000 where tick.isMultiple(of: 3) {
            careful.run(until: .milliseconds(tick))
            #expect(careful.health.phase == .fresh)
        }
    }

    @Test func theOldTokenLivesOutItsLeaseByDefault() {
        let vault = HealthyVault(ttl: .seconds(20), maximum: .seconds(60))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(80))
        #expect(stage.times(of: .revocation).isEmpty)
        #expect(stage.effects.contains(.forget(TokenID(number: 1))))
    }

    @Test func theOldTokenIsRevokedAfterItsGraceWhereAsked() throws {
        var policy = LifecyclePolicy()
        policy.replaced = .revoke(after: .seconds(5))
        let vault = HealthyVault(ttl: .seconds(60), maximum: .seconds(180))
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(180))
        let login = try #require(stage.times(of: .login).dropFirst().first)
        let revocation = try #require(stage.times(of: .revocation).first)
        #expect(revocation - login >= .seconds(5) && revocation - login <= .seconds(6))
        #expect(stage.asked.contains { $0.request == .revoke(TokenID(number: 1)) })
        #expect(stage.effects.contains(.forget(TokenID(number: 1))))
    }

    @Test func theLastRefusedRevocationKeepsOthersWaitingAsWell() {
        var policy = LifecyclePolicy()
        policy.replaced = .revoke(after: .seconds(1))
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(policy: policy) { request, sentAt, id in
            guard case .revoke = request else { return vault.answer(request, sentAt, id) }
            return Reply(answer: .failed(AgentError(.vaultThrottled, "429", retryAfter: .seconds(60))))
        }
        stage.start()
        for _ in 0..<3 {
            stage.run(until: stage.elapsed + .milliseconds(500))
            stage.tell { $0.loginRequested(at: $1) }
        }
        stage.run(until: .seconds(1_200))
        #expect(stage.times(of: .revocation).count == 9, "three tokens, three attempts each")
        let moments = stage.times(of: .revocation)
        for (before, after) in zip(moments, moments.dropFirst()) { #expect(after - before >= .seconds(60)) }
    }

    @Test(arguments: LifecyclePolicy.Expired.allCases)
    func anExpiredTokenIsKeptOrRemovedAsConfigured(choice: LifecyclePolicy.Expired) {
        var policy = LifecyclePolicy()
        policy.expired = choice
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        vault.failure = AgentError(.vaultUnreachable, "connection refused")
        stage.run(until: .seconds(60))
        #expect((stage.withdrawals == 1) == (choice == .remove))
        #expect(stage.health.phase == .lost)
        vault.failure = nil
        stage.run(until: .seconds(63))
        #expect(stage.health.phase == .fresh)
    }

    @Test func manyRevocationsDoNotKeepTheRenewalWaiting() throws {
        let vault = HealthyVault(ttl: .seconds(120))
        var policy = LifecyclePolicy()
        policy.replaced = .revoke(after: .seconds(5))
        var stage = Stage(policy: policy, vault: vault.answer)
        var full = true
        stage.disk = { _, _ in full ? .failed(AgentError(.sinkFull, "no space left")) : .done }
        stage.start()
        for second in 1...120 {
            stage.run(until: .seconds(second))
            stage.tell { $0.loginRequested(at: $1) }
        }
        full = false
        stage.run(until: .seconds(400))
        let login = try #require(stage.times(of: .login).last)
        let renewal = try #require(stage.times(of: .renewal).first { $0 > login })
        #expect(stage.times(of: .revocation).count > 20)
        #expect(renewal - login <= .seconds(80))
    }

    @Test func anExpiredTokenThatNoSinkHeldDoesNotTakeTheOneBeforeItAlong() {
        var policy = LifecyclePolicy()
        policy.expired = .remove
        var first: TokenID?
        var logins = 0
        var stage = Stage(policy: policy) { request, sentAt, id in
            guard case .logIn = request, logins < 2 else {
                return Reply(answer: .failed(AgentError(.vaultUnreachable, "connection refused")))
            }
            logins += 1
            first = first ?? id
            let lease: Duration = logins == 1 ? .seconds(3_600) : .seconds(20)
            return Reply(answer: .granted(Grant(id: id, sentAt: sentAt, duration: lease, renewable: true)))
        }
        stage.disk = { _, content in
            content == nil || content?.token == first ? .done : .failed(AgentError(.sinkFull, "no space left"))
        }
        stage.start()
        stage.run(until: .seconds(10))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(3_599))
        #expect(logins == 2)
        #expect(stage.health.phase == .struggling, "the token before it is still good, and it is what readers find")
        #expect(stage.health.validUntil.map { $0 > stage.now } ?? false)
        #expect(stage.withdrawals == 0)
        stage.run(until: .seconds(3_601))
        #expect(stage.health.phase == .lost)
        #expect(stage.withdrawals == 1)
    }

    @Test func anAnswerToAnotherRequestChangesNothing() {
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(2))
        let before = stage.health
        stage.tell { $0.answered(RequestID(number: 999), .failed(AgentError(.tokenDead, "late")), at: $1) }
        #expect(stage.health == before)
    }

    /// Its secret is nobody's business any more; one for each outage would pile up.
    @Test func aTokenThatEndedInAnOutageIsLetGoOnceAnotherIsHeld() {
        let (vault, child) = (HealthyVault(ttl: .seconds(20)), LineID(number: 7))
        var stage = Stage(sinks: [.plain(1), .plain(2, line: child)], children: [child], vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        let held = stage.lifecycle.needed
        #expect(held.count == 2)
        vault.failure = AgentError(.vaultUnreachable, "refused")
        stage.run(until: .seconds(60))
        vault.failure = nil
        stage.run(until: .seconds(120))
        #expect(stage.health.phase == .fresh)
        let forgotten = stage.effects.compactMap { if case .forget(let id) = $0 { id } else { nil } }
        #expect(held.isSubset(of: forgotten))
        #expect(stage.lifecycle.needed.isDisjoint(with: held))
    }
}
