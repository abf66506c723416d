// When tokens are renewed, replaced and asked about.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct ScheduleTests {
    static let leases: [Duration] = [
        .seconds(1), .seconds(20), .seconds(59), .seconds(60), .seconds(3_600), .seconds(768 * 3_600),
    ]

    @Test(arguments: leases)
    func renewsWhen55To65PercentOfTheLeaseHavePassed(lease: Duration) {
        // A long lease is asked about thousands of times: a few seeds of it do.
        let (seeds, leases) = lease < .seconds(3_600) ? (50, 10) : lease > .seconds(3_600) ? (1, 3) : (10, 10)
        for seed in 0..<seeds {
            let vault = HealthyVault(ttl: lease)
            var stage = Stage(seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: lease * leases)
            #expect(stage.times(of: .login).count == 1)
            var last = Duration.zero
            for renewal in stage.times(of: .renewal) {
                let share = (renewal - last) / lease
                #expect(share >= 0.549 && share <= 0.651, "renewed after \(share) of the lease")
                last = renewal
            }
            #expect(stage.times(of: .renewal).count >= leases * 3 / 2 - 1)
        }
    }

    @Test func theFirstRenewalDoesNotFollowTheLogin() {
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(10))
        #expect(stage.times(of: .login).count == 1)
        #expect(stage.times(of: .renewal).isEmpty)
    }

    @Test(arguments: [20, 60, 3_600].map { Duration.seconds($0) })
    func logsInAnewBeforeTheMaximumWithEnoughLeft(lease: Duration) throws {
        for seed in 0..<60 {
            let maximum = lease * (3 + Double(seed % 7) / 7)
            let vault = HealthyVault(ttl: lease, maximum: maximum)
            var stage = Stage(seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: maximum * 1.5)
            let second = try #require(stage.times(of: .login).dropFirst().first)
            let left = (maximum - second) / lease
            #expect(left >= 1.0 / 3 - 0.01 && left <= 0.46, "logged in anew with \(left) of a lease left")
            #expect(stage.health.phase == .fresh)
        }
    }

    @Test func aTokenThatCannotBeRenewedIsReplacedWithAThirdLeft() throws {
        let vault = HealthyVault(ttl: .seconds(600), renewable: false)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(500))
        #expect(stage.times(of: .renewal).isEmpty)
        let second = try #require(stage.times(of: .login).dropFirst().first)
        #expect(second >= .seconds(329) && second <= .seconds(391))
    }

    @Test func aTokenThatNeverExpiresIsOnlyAskedAbout() {
        let vault = HealthyVault(ttl: .zero)
        var stage = Stage { request, sentAt, id in
            if case .lookUp(let id) = request {
                return Reply(answer: .alive(Grant(id: id, sentAt: sentAt, duration: nil, renewable: false)))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(86_400))
        #expect(stage.times(of: .login).count == 1)
        #expect(stage.times(of: .renewal).isEmpty)
        #expect((288...321).contains(stage.times(of: .lookup).count), "every 270 s to 300 s for a day")
        #expect(stage.health.phase == .fresh)
    }

    @Test func aTokenOfLimitedUsesIsNeverSpentByTheAgent() {
        let vault = HealthyVault(ttl: .seconds(60), limitedUses: true)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(600))
        #expect(stage.times(of: .renewal).isEmpty)
        #expect(stage.times(of: .lookup).isEmpty)
        #expect(stage.times(of: .login).count >= 14)
    }

    @Test func asksForTheIncrementAndTakesAShorterRoleForWhatItIs() {
        var policy = LifecyclePolicy()
        policy.increment = .seconds(600)
        var leases: [Duration] = []
        var expiry = Instant.distantPast
        // The role gives an hour at login and what is asked for at renewals, but never more than 8 minutes.
        var stage = Stage(policy: policy) { request, sentAt, id in
            switch request {
            case .renew(_, let increment):
                let lease = min(increment ?? .seconds(3_600), .seconds(480))
                leases.append(lease)
                expiry = sentAt + lease
                return Reply(answer: .renewed(duration: lease, renewable: true, sentAt: sentAt))
            case .lookUp(let id):
                return Reply(answer: .alive(Grant(id: id, sentAt: sentAt, duration: expiry - sentAt, renewable: true)))
            case .logIn, .revoke, .createChild, .wrap:
                expiry = sentAt + .seconds(480)
                return Reply(
                    answer: .granted(Grant(id: id, sentAt: sentAt, duration: .seconds(480), renewable: true)))
            }
        }
        stage.start()
        stage.run(until: .seconds(3_600))
        #expect(stage.times(of: .login).count == 1, "a cap that stays the same is no maximum")
        #expect(leases.count >= 10)
    }

    @Test(arguments: [(20, 4.5, 5.0), (300, 27, 30), (36_000, 270, 300)])
    func asksWhetherTheTokenLivesEveryTenthOfTheLease(lease: Int, least: Double, most: Double) throws {
        let vault = HealthyVault(ttl: .seconds(lease))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(lease) / 2)
        let lookups = stage.times(of: .lookup).map(\.inSeconds)
        let first = try #require(lookups.first)
        #expect(first <= most + 0.1)
        for (before, after) in zip(lookups, lookups.dropFirst()) {
            #expect(after - before >= least && after - before <= most + 0.1)
        }
    }

    @Test func aFleetThatLoggedInAsOneDoesNotAskAsOne() {
        var firsts: [Double] = []
        for seed in 0..<200 {
            let vault = HealthyVault(ttl: .seconds(36_000))
            var stage = Stage(seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(301))
            firsts += stage.times(of: .lookup).map(\.inSeconds).prefix(1)
        }
        #expect(firsts.count == 200)
        for tenth in 0..<10 {
            let there = firsts.count { $0 >= Double(tenth) * 30 && $0 < Double(tenth + 1) * 30 }
            #expect((5...45).contains(there), "\(there) of 200 in one of ten stretches")
        }
    }

    @Test func aRevokedTokenIsReplacedOnceItIsAskedAbout() throws {
        let vault = HealthyVault(ttl: .seconds(20))
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(1))
        vault.revoke(TokenID(number: 1))
        stage.run(until: .seconds(7))
        #expect(stage.times(of: .login).count == 2)
        #expect(try #require(stage.times(of: .login).last) < .seconds(5.5))
        stage.run(until: .seconds(60))
        #expect(stage.times(of: .login).count == 2, "one login mends it")
    }

    @Test func aRoleThatForbidsLookupsIsAskedNoMore() {
        let vault = HealthyVault(ttl: .seconds(100))
        var stage = Stage { request, sentAt, id in
            if case .lookUp = request { return Reply(answer: .failed(AgentError(.tokenDead, "permission denied"))) }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(1_000))
        #expect(stage.times(of: .lookup).count == 2)
        #expect(stage.times(of: .login).count == 2)
        #expect(stage.health.phase == .fresh)
    }

    @Test func theLeaseCountsFromWhenTheRequestWasSent() {
        let vault = HealthyVault(ttl: .seconds(20))
        vault.latency = .milliseconds(900)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(2))
        #expect(stage.health.validUntil == stage.begin + .seconds(20))
    }

    @Test func vaultsWordThatLessIsLeftIsBelieved() {
        let vault = HealthyVault(ttl: .seconds(1_000))
        var stage = Stage { request, sentAt, id in
            if case .lookUp(let id) = request {
                return Reply(answer: .alive(Grant(id: id, sentAt: sentAt, duration: .seconds(100), renewable: true)))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(110))
        #expect(
            stage.times(of: .renewal).count == 1, "due at once: 100 s of 1,000 s is less than what renewal is due at")
    }

    @Test func vaultsWordThatMoreIsLeftIsBelieved() {
        // Somebody else renewed it, as a reader with the token may.
        let vault = HealthyVault(ttl: .seconds(1_000))
        var stage = Stage { request, sentAt, id in
            if case .lookUp(let id) = request {
                return Reply(answer: .alive(Grant(id: id, sentAt: sentAt, duration: .seconds(1_000), renewable: true)))
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(900))
        #expect(stage.times(of: .renewal).isEmpty)
        #expect(stage.health.validUntil.map { $0 > stage.begin + .seconds(1_700) } ?? false)
    }

    @Test func aTokenThatIsDeadOnArrivalIsNotWritten() {
        let vault = HealthyVault(ttl: .seconds(1))
        vault.latency = .seconds(2)
        var stage = Stage(vault: vault.answer)
        stage.start()
        stage.run(until: .seconds(30))
        #expect(!stage.effects.contains { if case .write = $0 { true } else { false } })
        #expect(stage.health.trouble != nil)
    }

    /// So many lookups in an hour of a lease that is not renewed meanwhile.
    @Test(arguments: [(30, 118...135), (1_800, 1...3), (86_400, 0...1)])
    func aRevokedTokenIsNoticedAsSoonAsTheKeySaysAndNotSooner(interval: Int, expected: ClosedRange<Int>) {
        for seed in 0..<20 {
            var policy = LifecyclePolicy()
            policy.lookupInterval = .seconds(interval)
            let vault = HealthyVault(ttl: .seconds(100_000))
            var stage = Stage(policy: policy, seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(3_600))
            let lookups = stage.times(of: .lookup)
            #expect(expected.contains(lookups.count), "\(lookups.count)")
            for (before, after) in zip(lookups, lookups.dropFirst()) {
                #expect(after - before <= .seconds(interval) + .milliseconds(100))
            }
        }
    }

    @Test func aReloadThatShortensTheIntervalIsFollowedAtOnceAndSpread() {
        var firsts: [Duration] = []
        for seed in 0..<50 {
            var policy = LifecyclePolicy()
            policy.lookupInterval = .seconds(86_400)
            let vault = HealthyVault(ttl: .seconds(200_000))
            var stage = Stage(policy: policy, seed: UInt64(seed), vault: vault.answer)
            stage.start()
            stage.run(until: .seconds(1))
            let before = stage.times(of: .lookup).count
            policy.lookupInterval = .seconds(60)
            stage.tell { $0.reconfigured(LifecycleOutline(policy: policy, sinks: [.plain(1)]), at: $1) }
            stage.run(until: .seconds(62))
            let lookups = stage.times(of: .lookup).dropFirst(before)
            #expect(!lookups.isEmpty, "seed \(seed)")
            firsts += lookups.first.map { [$0] } ?? []
        }
        #expect(firsts.count { $0 < .seconds(31) } > 10 && firsts.count { $0 > .seconds(31) } > 10)
    }
}
