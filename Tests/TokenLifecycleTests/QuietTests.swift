// Retry-After: honoured, but not to the death of a token, and not where it was said to somebody less urgent.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct QuietTests {
    private func throttled(_ seconds: Int) -> Reply {
        Reply(answer: .failed(AgentError(.vaultThrottled, "429", retryAfter: .seconds(seconds))))
    }

    @Test func whatIsSaidToALookupDoesNotSilenceARenewal() {
        let vault = HealthyVault(ttl: .seconds(20))
        var lookups = 0
        var stage = Stage { request, sentAt, id in
            if case .lookUp = request {
                lookups += 1
                return throttled(3_600)
            }
            return vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(600))
        #expect(lookups == 1)
        #expect(stage.times(of: .login).count == 1, "the token is kept by renewals")
        #expect(stage.health.phase == .struggling || stage.health.phase == .fresh)
    }

    @Test(arguments: [20, 60, 3_600])
    func twoPacedAttemptsAreLeftBeforeReadersLoseTheirToken(lease: Int) {
        for seed in 0..<20 {
            let vault = HealthyVault(ttl: .seconds(lease))
            var throttles = false
            var stage = Stage(seed: UInt64(seed)) { request, sentAt, id in
                throttles ? throttled(86_400) : vault.answer(request, sentAt, id)
            }
            stage.start()
            stage.run(until: .seconds(1))
            throttles = true
            stage.run(until: .seconds(lease) - .milliseconds(1))
            let moments = stage.times(of: .renewal)
            #expect(moments.count == 3, "one when it is due, two before the end")
            #expect(stage.health.phase == .struggling)
            for (before, after) in zip(moments, moments.dropFirst()) {
                #expect(after - before >= min(.seconds(lease) / 16, .seconds(30)), "paced")
            }
        }
    }

    /// Haste saves nothing once readers have lost what they had.
    @Test func afterTheEndOfAWrappingTokenWhatARenewalWasToldSilencesWrapsAgain() throws {
        for seed in 0..<20 {
            let vault = HealthyVault(ttl: .seconds(3_600))
            var throttles = false
            var stage = Stage(sinks: [.wrapping(1, ttl: .seconds(60))], seed: UInt64(seed)) { request, sentAt, id in
                switch request {
                case .renew:
                    throttles = true
                    return throttled(900)
                case .wrap where throttles: return throttled(1)
                default: return vault.answer(request, sentAt, id)
                }
            }
            stage.start()
            stage.run(until: .seconds(3_000))
            let told = try #require(stage.times(of: .renewal).first)
            // Readers have lost theirs a minute after it was wrapped, at the latest.
            let late = stage.times(of: .wrap).filter { $0 > told + .seconds(61) && $0 < told + .seconds(900) }
            #expect(late.isEmpty, "seed \(seed)")
        }
    }

    @Test func theSecondChanceKeepsTheToken() {
        let vault = HealthyVault(ttl: .seconds(20))
        var renewals = 0
        var stage = Stage { request, sentAt, id in
            guard case .renew = request else { return vault.answer(request, sentAt, id) }
            renewals += 1
            return renewals < 3 ? throttled(3_600) : vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(120))
        #expect(stage.times(of: .login).count == 1)
        #expect(stage.health.phase == .fresh)
    }

    @Test func whoAsksForALoginEndsTheSilence() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var logins = 0
        var stage = Stage { request, sentAt, id in
            if case .logIn = request { logins += 1 }
            return logins == 1 ? throttled(3_600) : vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(100))
        #expect(logins == 1)
        stage.tell { $0.loginRequested(at: $1) }
        stage.run(until: .seconds(101))
        #expect(logins == 2 && stage.health.phase == .fresh)
    }

    @Test func aReloadEndsTheSilence() {
        let vault = HealthyVault(ttl: .seconds(3_600))
        var logins = 0
        var stage = Stage { request, sentAt, id in
            if case .logIn = request { logins += 1 }
            return logins == 1 ? throttled(3_600) : vault.answer(request, sentAt, id)
        }
        stage.start()
        stage.run(until: .seconds(100))
        stage.tell { $0.reconfigured(LifecycleOutline(policy: LifecyclePolicy(), sinks: [.plain(1)]), at: $1) }
        stage.run(until: .seconds(101))
        #expect(logins == 2 && stage.health.phase == .fresh)
    }
}
