// Children, wrapping tokens and reloads: all by one scheduler, and none to the harm of readers.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct FamilyTests {
    private let child = LineID(number: 7)

    private func family(
        _ vault: HealthyVault, policy: LifecyclePolicy = LifecyclePolicy(), seed: UInt64 = 1,
        _ answer: ((LifecycleRequest, Instant, TokenID) -> Reply?)? = nil
    ) -> Stage {
        Stage(policy: policy, sinks: [.plain(1), .plain(2, line: child)], children: [child], seed: seed) {
            request, sentAt, id in
            answer?(request, sentAt, id) ?? vault.answer(request, sentAt, id)
        }
    }

    /// Whether the child that stands in the second sink is valid by Vault.
    private func childIsValid(_ stage: Stage, _ vault: HealthyVault) -> Bool {
        stage.held[.second].flatMap { vault.expiry[$0.token] }.map { $0 > stage.now } ?? false
    }

    @Test func aReplacedParentIsRevokedOnlyOnceEveryChildOfItHasBeenReplaced() throws {
        var policy = LifecyclePolicy()
        policy.replaced = .revoke(after: .seconds(5))
        let vault = HealthyVault(ttl: .seconds(3_600))
        var refuses = false
        var stage = family(vault, policy: policy) { request, _, _ in
            guard refuses, case .createChild = request else { return nil }
            return Reply(answer: .failed(AgentError(.vaultUnavailable, "sealed")))
        }
        stage.start()
        stage.run(until: .seconds(10))
        let parent = try #require(stage.held[.first]?.token)
        refuses = true
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(300))
        #expect(stage.held[.first]?.token != parent)
        #expect(stage.times(of: .revocation).isEmpty, "the child in the sink would die with it")
        #expect(childIsValid(stage, vault))
        refuses = false
        stage.run(until: .seconds(700))
        #expect(stage.asked.filter { $0.request == .revoke(parent) }.count == 1)
        #expect(childIsValid(stage, vault) && stage.held[.second] != nil)
    }

    @Test func aChildWhoseParentIsGoneIsMadeAnewAtOnce() throws {
        let vault = HealthyVault(ttl: .seconds(20), maximum: .seconds(60))
        var stage = family(vault)
        stage.start()
        for tenth in 10...3_000 {
            stage.run(until: .milliseconds(tenth * 100))
            let isValid = childIsValid(stage, vault)
            #expect(isValid, "at \(stage.elapsed)")
        }
        #expect(stage.times(of: .child).count >= 5)
    }

    /// Vault's word for a lookup that policies forbid is also its word for a dead token.
    @Test func aChildStaysInItsSinkWhileItIsOnlyDoubtedThatItsParentLives() {
        var policy = LifecyclePolicy()
        (policy.expired, policy.replaced) = (.remove, .revoke(after: .zero))
        let vault = HealthyVault(ttl: .seconds(36_000))
        var stage = family(vault, policy: policy) { request, _, _ in
            guard case .lookUp = request else { return nil }
            return Reply(answer: .failed(AgentError(.tokenDead, "permission denied")))
        }
        stage.start()
        stage.run(until: .seconds(3_600))
        #expect(stage.withdrawals == 0)
        #expect(childIsValid(stage, vault))
        #expect(stage.times(of: .login).count == 2, "once because it is doubted, and not again")
        let revoked = stage.asked.contains { $0.request == .revoke(TokenID(number: 1)) }
        #expect(revoked, "the first token was not dead")
    }

    @Test func aChildOfADeadParentLeavesItsSinkOnceThatIsKnown() {
        var policy = LifecyclePolicy()
        policy.expired = .remove
        let vault = HealthyVault(ttl: .seconds(3_600))
        var refuses = false
        var stage = family(vault, policy: policy) { request, _, _ in
            guard refuses, case .createChild = request else { return nil }
            return Reply(answer: .failed(AgentError(.vaultUnavailable, "sealed")))
        }
        stage.start()
        stage.run(until: .seconds(10))
        refuses = true
        vault.revokeAll()
        stage.run(until: .seconds(700))
        #expect(stage.held[.first] != nil && stage.held[.second] == nil)
        #expect(stage.times(of: .revocation).isEmpty)
    }

    @Test func whatAShortLeaseAskedForDoesNotHoldUpTheLongOneAfterIt() throws {
        for seed in 0..<20 {
            let vault = HealthyVault(ttl: .seconds(1), maximum: .seconds(15))
            var stage = family(vault, seed: UInt64(seed))
            stage.start()
            stage.run(until: .seconds(10))
            vault.ttl = .seconds(7_200)
            stage.run(until: .seconds(20))
            #expect(childIsValid(stage, vault), "seed \(seed)")
        }
    }

    @Test func parentAndChildrenKeepOneBudgetBetweenThem() {
        let children = (10..<16).map { LineID(number: $0) }
        let vault = HealthyVault(ttl: .seconds(20), maximum: .seconds(60))
        var stage = Stage(
            sinks: [.plain(1)] + children.map { .plain($0.number, line: $0) }, children: children, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(600))
        let moments = stage.asked.map(\.at)
        for (first, later) in zip(moments, moments.dropFirst(20)) { #expect(later - first >= .seconds(20)) }
        for line in stage.lifecycle.health(at: stage.now) { #expect(line.phase == .fresh) }
    }

    @Test func aWrapHonoursRetryAfterAndTheBudget() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var wraps = 0
        var stage = Stage(sinks: [.wrapping(1, ttl: .seconds(60))]) { request, sentAt, id in
            guard case .wrap = request else { return vault.answer(request, sentAt, id) }
            wraps += 1
            return Reply(answer: .failed(AgentError(.vaultThrottled, "429", retryAfter: .seconds(120))))
        }
        stage.start()
        stage.run(until: .seconds(110))
        #expect(wraps == 1)
        stage.run(until: .seconds(1_000))
        #expect((5...8).contains(wraps))
        #expect(stage.health.sinks[0].trouble?.error.code == .vaultThrottled)
    }

    @Test func aWrappingTokenIsReplacedWhenHalfItsTimeIsOver() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(sinks: [.wrapping(1, ttl: .seconds(60))], vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(600))
        let moments = stage.times(of: .wrap)
        for (before, after) in zip(moments, moments.dropFirst()) {
            #expect(after - before >= .seconds(30) && after - before <= .seconds(36.5))
        }
        #expect(moments.count > 15)
        #expect(stage.health.phase == .fresh)
    }

    @Test func aWithdrawalThatFailsIsTriedAgain() {
        var policy = LifecyclePolicy()
        policy.expired = .remove
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        vault.failure = AgentError(.vaultUnreachable, "connection refused")
        var withdrawals = 0
        stage.disk = { _, content in
            guard content == nil else { return .done }
            withdrawals += 1
            return withdrawals < 4 ? .failed(AgentError(.sinkUnwritable, "read-only")) : .done
        }
        stage.run(until: .seconds(60))
        #expect(withdrawals == 4)
        #expect(stage.held[.first] == nil)
    }

    // MARK: Reloads

    @Test func aSinkWithOtherSettingsKeepsItsTokenAndIsWrittenAtOnce() throws {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        vault.failure = AgentError(.vaultUnreachable, "connection refused")
        let next = LifecycleOutline.Sink(id: .second, line: .login, wrapTTL: nil, successorOf: .first)
        stage.tell { $0.reconfigured(LifecycleOutline(policy: LifecyclePolicy(), sinks: [next]), at: $1) }
        #expect(stage.health.phase == .fresh, "readers find what they found before")
        stage.run(until: .seconds(6))
        #expect(stage.held[.second] == stage.held[.first])
        #expect(stage.health.phase == .fresh && stage.times(of: .login).count == 1)
        #expect(stage.withdrawals == 0)
    }

    @Test func aSinkThatIsGivenFewerRightsIsNotDeliveredBeforeItHoldsThem() throws {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        let (whole, child) = (try #require(stage.held[.first]), LineID(number: 7))
        vault.failure = AgentError(.vaultDenied, "no create")
        let next = LifecycleOutline.Sink(id: .second, line: child, wrapTTL: nil, successorOf: .first)
        let outline = LifecycleOutline(policy: LifecyclePolicy(), children: [child], sinks: [next])
        stage.tell { $0.reconfigured(outline, at: $1) }
        stage.run(until: .seconds(6))
        var narrowed: LifecycleHealth { stage.lifecycle.health(at: stage.now)[1] }
        #expect(stage.withdrawals == 0, "readers keep what they have")
        #expect(narrowed.phase != .fresh && narrowed.phase != .struggling && narrowed.validUntil == nil)
        #expect(!narrowed.sinks[0].delivered && narrowed.outageBudget == nil)
        vault.failure = nil
        stage.run(until: .seconds(600))
        #expect(narrowed.phase == .fresh && narrowed.sinks[0].delivered)
        #expect(stage.held[.second]?.token != whole.token)
        // And back: the child is not what the line of the login has.
        let back = LifecycleOutline.Sink(id: .first, line: .login, wrapTTL: nil, successorOf: .second)
        stage.tell { $0.reconfigured(LifecycleOutline(policy: LifecyclePolicy(), sinks: [back]), at: $1) }
        #expect(!stage.health.sinks[0].delivered)
        stage.run(until: .seconds(601))
        #expect(stage.health.sinks[0].delivered && stage.held[.first]?.token == whole.token)
    }

    @Test func aChangedLoginLeavesTheOldTokenInItsSinksUntilTheNewOneIsThere() throws {
        let vault = HealthyVault(ttl: .seconds(60))
        var policy = LifecyclePolicy()
        policy.expired = .remove
        var stage = Stage(policy: policy, vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        let old = try #require(stage.held[.first])
        var loginWorks = false
        stage.vault = { request, sentAt, id in
            if case .logIn = request, !loginWorks {
                return Reply(answer: .failed(AgentError(.vaultLoginRefused, "no such role")))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.tell {
            $0.reconfigured(LifecycleOutline(policy: policy, sinks: [.plain(1)]), login: .other(from: $1), at: $1)
        }
        stage.run(until: .seconds(600))
        #expect(stage.held[.first]?.token == old.token && stage.withdrawals == 0)
        #expect(stage.times(of: .renewal).count > 5, "it is renewed meanwhile")
        loginWorks = true
        stage.run(until: .seconds(700))
        #expect(stage.held[.first]?.token != old.token)
    }

    @Test(arguments: [false, true])
    func aLoginThatIsTakenBackWhileItIsUnderWayBringsNoToken(isAskedFor: Bool) throws {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(5))
        let old = try #require(stage.held[.first])
        vault.latency = .seconds(3)
        stage.tell {
            $0.reconfigured(LifecycleOutline(policy: .init(), sinks: [.plain(1)]), login: .other(from: $1), at: $1)
        }
        stage.run(until: .seconds(6))
        #expect(stage.times(of: .login).count == 2)
        if isAskedFor { stage.tell { $0.loginRequested(at: $1) } }
        stage.tell { $0.reconfigured(LifecycleOutline(policy: .init(), sinks: [.plain(1)]), login: .fits, at: $1) }
        stage.run(until: .seconds(60))
        // What the other login brought was nobody's, whatever is to become of tokens that were replaced.
        #expect(stage.times(of: .revocation).count == 1 && stage.lifecycle.owesNothing)
        #expect(stage.times(of: .login).count == (isAskedFor ? 3 : 2))
        #expect((stage.held[.first]?.token == old.token) == !isAskedFor)
        #expect(stage.effects.contains(.requestedLoginEnded(nil)) == isAskedFor)
        #expect(stage.health.phase == .fresh)
    }

    @Test func aLoginThatComesBackBeforeItWasLeftIsLookedUpAsBefore() {
        let vault = HealthyVault(ttl: .seconds(36_000))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        vault.loginFailure = AgentError(.vaultUnavailable, "sealed")
        let outline = LifecycleOutline(policy: LifecyclePolicy(), sinks: [.plain(1)])
        stage.tell { $0.reconfigured(outline, login: .other(from: $1), at: $1) }
        stage.run(until: .seconds(20))
        stage.tell { $0.reconfigured(outline, at: $1) }
        stage.run(until: .seconds(3_600))
        #expect(stage.times(of: .lookup).filter { $0 > .seconds(20) }.count >= 10)
    }

    @Test func aTokenThatIsDeadStaysSoThroughAReloadThatIsTakenBack() throws {
        let vault = HealthyVault(ttl: .seconds(36_000))
        var stage = family(vault)
        stage.start()
        stage.run(until: .seconds(10))
        let old = try #require(stage.held[.first]?.token)
        vault.revokeAll()
        vault.loginFailure = AgentError(.vaultUnavailable, "sealed")
        stage.run(until: .seconds(600))
        let children = stage.times(of: .child).count
        let outline = LifecycleOutline(
            policy: LifecyclePolicy(), children: [child], sinks: [.plain(1), .plain(2, line: child)])
        stage.tell { $0.reconfigured(outline, login: .other(from: $1), at: $1) }
        stage.run(until: .seconds(700))
        stage.tell { $0.reconfigured(outline, login: .fits, at: $1) }
        stage.run(until: .seconds(800))
        #expect(stage.times(of: .child).count == children, "a dead token has no children")
        vault.loginFailure = nil
        stage.run(until: .seconds(900))
        #expect(stage.held[.first]?.token != old && childIsValid(stage, vault))
    }

    @Test func aReloadThatLeavesTheNewLoginAsItIsBeginsItOnlyOnce() {
        let vault = HealthyVault(ttl: .seconds(36_000))
        vault.latency = .seconds(3)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        let outline = LifecycleOutline(policy: LifecyclePolicy(), sinks: [.plain(1)])
        stage.tell { $0.reconfigured(outline, login: .other(from: $1), at: $1) }
        stage.run(until: .seconds(11))
        stage.tell { $0.reconfigured(outline, login: .awaited, at: $1) }
        stage.run(until: .seconds(20))
        #expect(stage.times(of: .login).filter { $0 >= .seconds(10) }.count == 1)
        #expect(stage.health.phase == .fresh)
        #expect(stage.held[.first]?.token == stage.lifecycle.current())
    }

    @Test func aDroppedSinkIsEmptiedUnlessAnotherTokenWritesThere() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        for isTaken in [false, true] {
            var stage = Stage(sinks: [.plain(1), .plain(2)], vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(5))
            stage.tell {
                $0.reconfigured(
                    LifecycleOutline(policy: LifecyclePolicy(), sinks: [.plain(1)]), taken: isTaken ? [.second] : [],
                    at: $1)
            }
            stage.run(until: .seconds(6))
            #expect(stage.withdrawals == (isTaken ? 0 : 1))
            #expect(stage.effects.contains(.release(.second)))
        }
    }

    // MARK: SIGUSR1

    @Test func aRequestedLoginWithStaleCredentialsFetchesThemAnewOnce() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var logins: [LifecycleRequest] = []
        var stage = Stage { request, sentAt, id in
            guard case .logIn(let anew) = request else { return vault.answer(request, sentAt, id) }
            logins.append(request)
            if logins.count > 1, !anew {
                return Reply(answer: .failed(AgentError(.awsCredentialsRefused, "ExpiredToken")))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(1))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(3))
        #expect(logins.suffix(2) == [.logIn(withNewCredentials: false), .logIn(withNewCredentials: true)])
        #expect(stage.effects.filter { $0 == .requestedLoginEnded(nil) }.count == 1)
    }

    @Test func aRequestDuringALoginMakesAnother() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        vault.latency = .milliseconds(500)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .milliseconds(100))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(3))
        #expect(stage.times(of: .login).count == 2)
        #expect(stage.effects.contains(.requestedLoginEnded(nil)))
    }

    @Test func lookupsThatWereForbiddenAreTriedAgainWithTheNextToken() {
        let vault = HealthyVault(ttl: .seconds(100))
        var forbids = true
        var stage = Stage { request, sentAt, id in
            if forbids, case .lookUp = request { return Reply(answer: .failed(AgentError(.vaultDenied, "no default"))) }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(50))
        #expect(stage.times(of: .lookup).count == 1)
        forbids = false
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(100))
        #expect(stage.times(of: .lookup).count >= 4)
    }
}
