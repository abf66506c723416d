// Sinks, take-over of an earlier run's token, revocation, expiry and the stop.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct SinkAndEndTests {
    private let earlier = TokenID(number: 4_711)
    /// Of which nothing is known.
    private var found: FoundToken { FoundToken(id: earlier, line: .login, lease: nil, sinks: [.first]) }

    @Test func aTokenOfAnEarlierRunThatLivesIsTakenOver() {
        var stage = Stage { request, sentAt, id in
            guard case .lookUp(let token) = request else {
                Issue.record("asked for \(request)")
                return Reply(answer: .revoked)
            }
            return Reply(
                answer: .alive(
                    Grant(
                        id: token, sentAt: sentAt, duration: .seconds(2_000), fullLease: .seconds(3_600),
                        renewable: true)))
        }
        stage.start(found: [found])
        stage.run(until: .seconds(60))
        #expect(stage.asked.map(\.request) == [.lookUp(earlier)])
        #expect(stage.writes(of: 4_711) == 1)
        #expect(stage.health.phase == .fresh)
    }

    @Test func aTokenOfAnEarlierRunThatIsDeadIsForgottenAndALoginMade() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start(found: [found])
        stage.run(until: .seconds(2))
        #expect(stage.asked.map(\.request) == [.lookUp(earlier), .logIn(withNewCredentials: false)])
        #expect(stage.effects.contains(.forget(earlier)))
    }

    @Test func anUnreachableVaultDoesNotCostATokenOfAnEarlierRun() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        vault.failure = AgentError(.vaultUnreachable, "connection refused")
        var stage = Stage(vault: vault.answer)
        stage.start(found: [found])
        stage.run(until: .seconds(120))
        #expect(stage.times(of: .login).isEmpty)
        #expect(stage.withdrawals == 0)
        #expect(stage.health.phase == .starting)
    }

    @Test func aTokenIsOnRecordBeforeItsWriteBeginsAndTheOneBeforeItUntilTheWriteHasEnded() {
        let vault = HealthyVault(ttl: .seconds(60), maximum: .seconds(60))
        var stage = Stage(vault: vault.answer)
        // The first write of a token never comes to an end.
        var begun: Set<TokenID> = []
        stage.disk = { _, content in begun.insert(content!.token).inserted ? .hangs : .done }
        stage.start()
        stage.run(until: .seconds(1))
        #expect(stage.lifecycle.memory.map(\.token.number) == [1])
        let record = stage.effects.firstIndex(of: .remember)
        let write = stage.effects.firstIndex { if case .write = $0 { true } else { false } }
        #expect(record != nil && write != nil && record! < write!)

        // The process may end here: the next start knows the token, whether or not the write had come to pass.
        stage.tell { $0.sinkWrote(.first, at: $1) }
        stage.run(until: .seconds(59))
        let tokens = Set(stage.lifecycle.memory.map(\.token.number))
        #expect(tokens.count == 2 && tokens.contains(1), "the second is being written, the first still stands")
        stage.tell { $0.sinkWrote(.first, at: $1) }
        #expect(Set(stage.lifecycle.memory.map(\.token.number)) == tokens.subtracting([1]))
    }

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
