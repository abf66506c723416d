// Tokens of an earlier run, found in the sinks, and what is on record for the next.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct TakeOverTests {
    private let earlier = TokenID(number: 4_711)
    /// Of which nothing is known.
    private var unknown: FoundToken { FoundToken(id: earlier, line: .login, lease: nil, sinks: [.first]) }

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
        stage.start(found: [unknown])
        stage.run(until: .seconds(60))
        #expect(stage.asked.map(\.request) == [.lookUp(earlier)])
        #expect(stage.writes(of: 4_711) == 1)
        #expect(stage.health.phase == .fresh)
    }

    @Test func aTokenOfAnEarlierRunThatIsDeadIsForgottenAndALoginMade() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start(found: [unknown])
        stage.run(until: .seconds(2))
        #expect(stage.asked.map(\.request) == [.lookUp(earlier), .logIn(withNewCredentials: false)])
        #expect(stage.effects.contains(.forget(earlier)))
    }

    @Test func anUnreachableVaultDoesNotCostATokenOfAnEarlierRun() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        vault.failure = AgentError(.vaultUnreachable, "connection refused")
        var stage = Stage(vault: vault.answer)
        stage.start(found: [unknown])
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

    private func found(_ number: UInt64, left: Duration?, sinks: [SinkID], at now: Instant) -> FoundToken {
        let lease = left.map {
            KnownLease(expiry: now + $0, full: .seconds(20), renewable: true, limitedUses: false)
        }
        return FoundToken(id: TokenID(number: number), line: .login, lease: lease, sinks: sinks)
    }

    @Test func ofTwoTokensInTheSinksTheNewestThatIsValidWinsAndTheOtherIsRevoked() {
        var policy = LifecyclePolicy()
        policy.replaced = .revoke(after: .seconds(1))
        var asked: [LifecycleRequest] = []
        var stage = Stage(policy: policy, sinks: [.plain(1), .plain(2)]) { request, sentAt, _ in
            asked.append(request)
            guard case .lookUp(let id) = request else { return Reply(answer: .revoked) }
            return Reply(
                answer: .alive(
                    Grant(id: id, sentAt: sentAt, duration: .seconds(15), fullLease: .seconds(20), renewable: true)))
        }
        stage.start(
            found: [
                found(902, left: .seconds(15), sinks: [.second], at: stage.now),
                found(901, left: .seconds(9), sinks: [.first], at: stage.now),
            ])
        stage.run(until: .seconds(3))
        #expect(stage.held[.first]?.token == TokenID(number: 902))
        #expect(asked.contains(.revoke(TokenID(number: 901))))
    }

    @Test func aRestartInAnOutageGoesOnWhereItWas() throws {
        let vault = HealthyVault(ttl: .seconds(20))
        vault.failure = AgentError(.vaultUnavailable, "sealed")
        var stage = Stage(vault: vault.answer)
        stage.start(found: [found(901, left: .seconds(15), sinks: [.first], at: stage.now)])
        #expect(stage.health.phase == .fresh, "readers find a token that is good")
        stage.run(until: .seconds(4))
        #expect(stage.health.phase == .struggling && stage.health.sinks[0].delivered)
        stage.run(until: .seconds(60))
        #expect(stage.health.phase == .lost)
        vault.failure = nil
        stage.run(until: .seconds(61.7))
        #expect(stage.health.phase == .fresh, "back within 8 % of the lease")
    }

    /// A renewal need not have reached the record: its disk may have been full.
    @Test(arguments: [-5.0, 8.0])
    func aTokenWhoseTimeIsOverByTheRecordIsRemovedOnceVaultSaysSoToo(left: Double) {
        let vault = HealthyVault(ttl: .seconds(20))
        vault.failure = AgentError(.vaultUnavailable, "sealed")
        var policy = LifecyclePolicy()
        policy.expired = .remove
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start(found: [found(901, left: .seconds(left), sinks: [.first], at: stage.now)])
        stage.run(until: .seconds(60))
        #expect(stage.withdrawals == 0, "it may be good")
        #expect(stage.health.phase == .lost, "but nothing speaks for it")
        #expect(stage.times(of: .login).isEmpty)
        vault.failure = nil
        vault.loginFailure = AgentError(.vaultLoginRefused, "role not found")
        stage.run(until: .seconds(62))
        #expect(stage.withdrawals == 1)
    }

    @Test func aTokenThatLivesLongerThanItsRecordSaysIsTakenOver() {
        var policy = LifecyclePolicy()
        policy.expired = .remove
        var asked: [LifecycleRequest] = []
        var stage = Stage(policy: policy) { request, sentAt, _ in
            asked.append(request)
            return Reply(answer: .renewed(duration: .seconds(20), renewable: true, sentAt: sentAt))
        }
        stage.start(found: [found(901, left: .seconds(-5), sinks: [.first], at: stage.now)])
        stage.run(until: .seconds(1))
        #expect(asked == [.renew(TokenID(number: 901), increment: nil)])
        #expect(stage.health.phase == .fresh && stage.withdrawals == 0)
    }

    /// Renewals that could have gone unrecorded there were none.
    @Test func aTokenThatWasAtItsMaximumEndsWhenTheRecordSaysSo() {
        var policy = LifecyclePolicy()
        policy.expired = .remove
        var stage = Stage(policy: policy) { _, _, _ in
            Reply(answer: .failed(AgentError(.vaultUnavailable, "sealed")))
        }
        let lease = KnownLease(
            expiry: stage.now + .seconds(5), full: .seconds(20), renewable: false, limitedUses: false)
        stage.start(found: [FoundToken(id: TokenID(number: 901), line: .login, lease: lease, sinks: [.first])])
        stage.run(until: .seconds(6))
        #expect(stage.withdrawals == 1)
    }

    @Test func aLoginIsMadeOnRequestThoughAnEarlierTokenIsBeingExamined() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage { request, sentAt, id in
            if case .lookUp(TokenID(number: 901)) = request {
                return Reply(answer: .failed(AgentError(.vaultUnavailable, "sealed")))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start(found: [found(901, left: nil, sinks: [.first], at: stage.now)])
        stage.run(until: .seconds(1))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(3))
        #expect(stage.times(of: .login).count == 1)
        #expect(stage.effects.contains(.requestedLoginEnded(nil)))
    }
}
