// What happens when Vault, AWS or the disk fail.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

private let unreachable = AgentError(.vaultUnreachable, "connection refused")

@Suite struct FailureTests {
    /// Twenty in a minute, or twenty in a lease where that is shorter.
    private func expectNoStorm(_ stage: Stage, lease: Duration, sourceLocation: SourceLocation = #_sourceLocation) {
        let window = min(.seconds(60), lease)
        let moments = stage.asked.map(\.at)
        for (first, later) in zip(moments, moments.dropFirst(20)) {
            #expect(later - first >= window, "21 requests in \(later - first)", sourceLocation: sourceLocation)
        }
        for (before, after) in zip(moments, moments.dropFirst()) {
            #expect(after > before, "two requests without a wait", sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: [1, 20, 45, 3_600].map { Duration.seconds($0) })
    func anOutageIsMetWithPatienceAndAQuickReturn(lease: Duration) throws {
        for seed in 0..<50 {
            let vault = HealthyVault(ttl: lease)
            var stage = Stage(seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: lease * 0.5)
            vault.failure = unreachable
            stage.run(until: lease * 3)
            vault.failure = nil
            let healthySince = stage.now
            stage.run(until: lease * 3 + .seconds(30))
            expectNoStorm(stage, lease: lease)
            let login = try #require(stage.asked.first { $0.at >= healthySince })
            let bound: Duration = max(lease * 0.08, min(.seconds(1), lease / 20) * 1.6)
            #expect(login.at - healthySince <= min(bound, .seconds(25)) + .milliseconds(50))
            #expect(stage.health.phase == .fresh)
        }
    }

    @Test func aDeadTokenIsRetriedAsSlowlyAsThePolicyAllows() throws {
        for (maxBackoff, least) in [(Duration.seconds(25), 12.4), (.seconds(300), 143)] {
            let vault = HealthyVault(ttl: .seconds(3_600))
            vault.failure = unreachable
            var policy = LifecyclePolicy()
            policy.maxBackoff = maxBackoff
            var stage = Stage(policy: policy, vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(7_200))
            let moments = stage.times(of: .login).filter { $0 > .seconds(1_200) }
            #expect(moments.count > 10)
            for (before, after) in zip(moments, moments.dropFirst()) {
                let pause = after - before
                #expect(pause.inSeconds >= least && pause <= min(maxBackoff, .seconds(288)) + .milliseconds(50))
            }
        }
    }

    /// Vault does not know the token any more when it comes back: readers have nothing, whatever the lease once was.
    @Test(arguments: [nil, unreachable])
    func aTokenThatDiedInAnOutageIsReplacedAtOnce(loginFailsWith failure: AgentError?) throws {
        for seed in 0..<50 {
            let vault = HealthyVault(ttl: .seconds(7_200))
            var stage = Stage(seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(60))
            vault.failure = unreachable
            stage.run(until: .seconds(5_000 + seed * 7))
            vault.failure = nil
            vault.revokeAll()
            vault.loginFailure = failure
            let healthySince = stage.elapsed
            stage.run(until: healthySince + .seconds(600))
            let refused = try #require(stage.asked.first { $0.at - stage.begin >= healthySince }).at - stage.begin
            let logins = stage.times(of: .login).filter { $0 >= refused }
            #expect(try #require(logins.first) - refused <= .seconds(1), "seed \(seed)")
            guard failure != nil else { continue }
            for (before, after) in zip(logins, logins.dropFirst()) {
                // A renewal may have its turn between two logins.
                #expect(after - before <= .seconds(50) + .milliseconds(50), "seed \(seed)")
            }
        }
    }

    @Test func aHungServerCostsAShortLeaseOnlyASecondAtATime() {
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        vault.failure = unreachable
        vault.latency = .seconds(3_600)
        stage.run(until: .seconds(50))
        for (before, after) in zip(stage.asked.dropFirst(4), stage.asked.dropFirst(5)) {
            #expect(before.limit == .seconds(1))
            #expect(after.at - before.at <= .seconds(4))
        }
        stage.run(until: .seconds(100))
        #expect(stage.asked.last?.limit == .seconds(10), "after a minute of trouble a slow server gets its chance")
    }

    @Test(arguments: [5, 60, 300])
    func retryAfterIsHonoured(seconds: Int) throws {
        let vault = HealthyVault(ttl: .seconds(20))
        vault.failure = AgentError(.vaultThrottled, "429", retryAfter: .seconds(seconds))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: (.seconds(seconds) + .seconds(15)) * 7)
        #expect(stage.asked.count >= 6)
        for (before, after) in zip(stage.asked, stage.asked.dropFirst()) {
            #expect(after.at - before.at >= .seconds(seconds))
        }
    }

    @Test func refusedCredentialsAreFetchedAnewOnceAndThenRetriedWithPatience() {
        var answers: [AgentError] = [AgentError(.awsCredentialsRefused, "ExpiredToken")]
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage { request, sentAt, id in
            answers.isEmpty ? vault.answer(request, sentAt, id) : Reply(answer: .failed(answers.removeFirst()))
        }
        stage.start()
        stage.run(until: .seconds(2))
        #expect(
            stage.asked.map(\.request) == [.logIn(withNewCredentials: false), .logIn(withNewCredentials: true)])
        #expect(stage.health.phase == .fresh)

        var stubborn = Stage { _, _, _ in Reply(answer: .failed(AgentError(.awsCredentialsRefused, "ExpiredToken"))) }
        stubborn.start()
        stubborn.run(until: .seconds(600))
        #expect(stubborn.asked.count < 60)
    }

    @Test func whatOnlyPeopleCanMendIsRetriedSlowly() {
        var stage = Stage { _, _, _ in
            Reply(answer: .failed(AgentError(.vaultLoginRefused, "entry for role not found")))
        }
        stage.start()
        stage.run(until: .seconds(3_600))
        #expect((60...180).contains(stage.asked.count))
        #expect(stage.health.trouble?.error.code == .vaultLoginRefused)
    }

    @Test func aFailedRenewalIsRetriedWhileTheTokenLives() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1_900))
        vault.failure = unreachable
        stage.run(until: .seconds(2_700))
        #expect(stage.health.phase == .struggling)
        vault.failure = nil
        stage.run(until: .seconds(2_731))
        #expect(stage.times(of: .login).count == 1, "a renewal mends it, no login is needed")
        #expect(stage.health.phase == .fresh)
    }

    @Test func aRenewalThatFindsTheMaximumLeadsToALogin() {
        let vault = HealthyVault(ttl: .seconds(100))
        var stage = Stage { request, sentAt, id in
            if case .renew = request { return Reply(answer: .failed(AgentError(.tokenAtMaximum, "past the max TTL"))) }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(70))
        #expect(stage.times(of: .renewal).count == 1)
        #expect(stage.times(of: .login).count == 2)
    }

    @Test func aRequestedLoginThatFailsLeavesTheGoodTokenToItsSchedule() {
        let vault = HealthyVault(ttl: .seconds(100))
        var stage = Stage { request, sentAt, id in
            if case .logIn = request, sentAt.nanoseconds > 1_001_000_000_000 {
                return Reply(answer: .failed(AgentError(.vaultLoginRefused, "role not found")))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(5))
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(6))
        #expect(stage.times(of: .login).count == 2)
        #expect(stage.health.phase == .struggling)
        stage.run(until: .seconds(500))
        #expect(stage.times(of: .login).count == 2)
        #expect(stage.health.phase == .fresh)
    }

    @Test func aRefusedLookupDoesNotLoseATokenThatRenewalCouldKeep() {
        // AWS is gone, the role forbids lookups but allows renewals: the login cannot work, the renewal can.
        let vault = HealthyVault(ttl: .seconds(100))
        var stage = Stage { request, sentAt, id in
            switch request {
            case .lookUp: Reply(answer: .failed(AgentError(.tokenDead, "permission denied")))
            case .logIn where sentAt.nanoseconds > 1_001_000_000_000:
                Reply(answer: .failed(AgentError(.awsCredentialsAbsent, "no credentials")))
            case .logIn, .renew, .revoke, .createChild, .wrap: vault.answer(request, sentAt, id)
            }
        }
        stage.start()
        stage.run(until: .seconds(1_000))
        #expect(stage.health.phase == .fresh)
        #expect(stage.times(of: .renewal).count >= 10)
    }

    @Test func aTokenThatMayNeitherBeRenewedNorLookedUpIsReplacedInTime() {
        let vault = HealthyVault(ttl: .seconds(100))
        var stage = Stage { request, sentAt, id in
            switch request {
            case .lookUp, .renew: Reply(answer: .failed(AgentError(.vaultDenied, "no default policy")))
            case .logIn, .revoke, .createChild, .wrap: vault.answer(request, sentAt, id)
            }
        }
        stage.start()
        stage.run(until: .seconds(1_000))
        #expect(stage.health.phase == .fresh)
        #expect(
            stage.times(of: .lookup).count <= stage.times(of: .login).count, "one denial for each token is enough")
        #expect((15...19).contains(stage.times(of: .login).count), "one a lease, at its 55 to 65 %")
        #expect(stage.times(of: .renewal).count <= stage.times(of: .login).count)
    }

    @Test func noStateEverMakesAStormWhateverVaultAnswers() {
        for seed in 0..<300 {
            var world = SeededGenerator(seed: UInt64(seed))
            let lease: Duration = .seconds([1, 7, 20, 60, 600][Int.random(in: 0..<5, using: &world)])
            let codes = AgentError.Code.allCases
            let vault = HealthyVault(ttl: lease, maximum: lease * 3)
            var stage = Stage(seed: UInt64(seed)) { request, sentAt, id in
                let latency = Duration.milliseconds(Int.random(in: 0...1_500, using: &world))
                if Int.random(in: 0..<3, using: &world) > 0 {
                    let error = AgentError(codes[Int.random(in: 0..<codes.count, using: &world)], "drawn")
                    return Reply(answer: .failed(error), latency: latency)
                }
                return Reply(answer: vault.answer(request, sentAt, id).answer, latency: latency)
            }
            stage.start(
                found: seed % 2 == 0
                    ? [FoundToken(id: TokenID(number: 9_999), line: .login, lease: nil, sinks: [.first])] : [])
            for step in 1...40 {
                stage.run(until: lease * Double(step) / 2)
                if step % 7 == 0 { stage.tell { $0.loginRequested(at: $1) } }
                if step % 5 == 0 { stage.tell { $0.sinkDisturbed(.first, at: $1) } }
            }
            expectNoStorm(stage, lease: lease)
            #expect(stage.asked.count > 5)
        }
    }

    @Test func theSameSeedGivesTheSameLife() {
        func life(seed: UInt64) -> [LifecycleEffect] {
            let vault = HealthyVault(ttl: .seconds(20), maximum: .seconds(60))
            var stage = Stage(seed: seed, vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(600))
            return stage.effects
        }
        #expect(life(seed: 7) == life(seed: 7))
        #expect(life(seed: 7).count > 100)
    }
}
