// A Vault that has too much to do: left alone longer each time it says so, by every agent of a fleet for a time of its own.

import Diagnosis
import Testing
import Timekeeping
import TokenLifecycle

@Suite struct OverloadTests {
    private static let overload = AgentError(.vaultThrottled, "429")

    /// When each of so many agents, all refused at first, asks for the second time, since the beginning.
    private func secondLogins(of agents: UInt64, refusal: AgentError) -> [Duration] {
        (0..<agents).compactMap { seed in
            var stage = Stage(seed: seed) { _, _, _ in Reply(answer: .failed(refusal)) }
            stage.start()
            stage.run(until: .seconds(60))
            return stage.times(of: .login).dropFirst().first
        }
    }

    @Test func aFleetThatWasRefusedAsOneComesBackSpreadOverFifteenSeconds() {
        let moments = secondLogins(of: 400, refusal: Self.overload)
        #expect(moments.count == 400)
        #expect(moments.allSatisfy { $0 >= .seconds(1) && $0 <= .seconds(15.1) })
        for third in 0..<3 {
            let share = moments.count { $0 >= .seconds(5) * third && $0 < .seconds(5) * (third + 1) }
            #expect((90...180).contains(share), "\(share) of 400 in the \(third + 1). third")
        }
    }

    @Test func thePauseWidensToTheLongestBackoffAndNoFurther() {
        for (most, longest) in [(Duration.seconds(25), 25.0), (.seconds(100), 100)] {
            var policy = LifecyclePolicy()
            policy.maxBackoff = most
            var pauses: [Duration] = []
            for seed in 0..<40 {
                var stage = Stage(policy: policy, seed: UInt64(seed)) { _, _, _ in
                    Reply(answer: .failed(Self.overload))
                }
                stage.start()
                stage.run(until: .seconds(2_000))
                let logins = stage.times(of: .login)
                pauses += zip(logins.dropFirst(8), logins.dropFirst(9)).map { $1 - $0 }
            }
            #expect(pauses.count > 500)
            #expect(pauses.allSatisfy { $0.inSeconds <= longest + 0.1 })
            #expect(pauses.contains { $0.inSeconds > longest * 0.95 })
        }
    }

    @Test func aTimeThatWasNamedIsTakenAtItsWordOnceAndWidenedTheSecondTime() {
        let told = AgentError(.vaultThrottled, "429", retryAfter: .seconds(1))
        let first = secondLogins(of: 100, refusal: told)
        #expect(first.allSatisfy { $0 >= .seconds(1) && $0 <= .seconds(1.7) })
        var pauses: [Duration] = []
        for seed in 0..<100 {
            var stage = Stage(seed: UInt64(seed)) { _, _, _ in Reply(answer: .failed(told)) }
            stage.start()
            stage.run(until: .seconds(60))
            let logins = stage.times(of: .login)
            pauses.append(logins[2] - logins[1])
        }
        #expect(pauses.allSatisfy { $0 >= .seconds(1) && $0 <= .seconds(16.1) })
        #expect(pauses.count { $0 > .seconds(8) } > 25)
    }

    @Test func itShrinksWithSuccess() {
        let (soon, late) = (pausesAfterRefusals(lookups: 0), pausesAfterRefusals(lookups: 20))
        #expect(soon.contains { $0 > .seconds(20) })
        #expect(late.allSatisfy { $0 <= .seconds(15.1) } && late.contains { $0 > .seconds(10) })
    }

    /// Four refusals, then so many lookups that are served, then the token is dead and its login refused: the pauses after
    /// that, one for each seed.
    private func pausesAfterRefusals(lookups: Int) -> [Duration] {
        (0..<60).map { seed in
            let vault = HealthyVault(ttl: .seconds(3_600))
            var (logins, served) = (0, 0)
            var policy = LifecyclePolicy()
            policy.lookupInterval = .seconds(5)
            var stage = Stage(policy: policy, seed: UInt64(seed)) { request, sentAt, id in
                switch request {
                case .logIn:
                    logins += 1
                    return logins == 5 || logins == 7
                        ? vault.answer(request, sentAt, id) : Reply(answer: .failed(Self.overload))
                case .lookUp:
                    if served == lookups { vault.revokeAll() }
                    served += 1
                    return vault.answer(request, sentAt, id)
                default: return vault.answer(request, sentAt, id)
                }
            }
            stage.start()
            stage.run(until: .seconds(400))
            let moments = stage.times(of: .login)
            return moments[6] - moments[5]
        }
    }

    @Test func itNeverKillsAToken() {
        for seed in 0..<20 {
            let vault = HealthyVault(ttl: .seconds(60))
            var overloadedUntil: Instant?
            var stage = Stage(seed: UInt64(seed)) { request, sentAt, id in
                overloadedUntil.map { sentAt < $0 } ?? false
                    ? Reply(answer: .failed(Self.overload)) : vault.answer(request, sentAt, id)
            }
            stage.start()
            stage.run(until: .seconds(20))
            // Two paced attempts come before the end, and the last of them is served.
            overloadedUntil = stage.now + .seconds(32)
            stage.run(until: .seconds(300))
            #expect(stage.times(of: .login).count == 1, "seed \(seed): kept by renewals")
        }
    }
}
