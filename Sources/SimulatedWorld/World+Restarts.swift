// SimulatedWorld: the promise of a restart: a token that is still good is taken over, not replaced.

import AgentRuntime
import Crypto
import StateDirectory
import Timekeeping
import TokenLifecycle

/// What a crash loop cost.
package struct CrashLoop: Sendable {
    /// Tokens that Vault has issued.
    package var logins: UInt64 = 0
    /// Those that no sink had yet when their process was killed: no later one can know of them.
    package var lost: UInt64 = 0
    /// Kills after which readers found a token that no record told of.
    package var unrecorded = 0
    /// The longest life of a process that lost a login.
    package var longestLoss: Duration = .zero
}

extension WorldOptions {
    /// Leases longer than the run, no faults, and nobody who does anything.
    package static func calm(seed: UInt64) -> WorldOptions {
        var options = WorldOptions(seed: seed)
        options.role = RoleOptions(ttl: .seconds(768 * 3_600), maximum: .seconds(768 * 3_600))
        (options.policy, options.sinks) = (.init(), [])
        (options.vaultFaults, options.metadataFaults, options.diskFaults, options.deeds) = ([], [], [], [])
        return options
    }
}

extension World {
    /// Starts the agent so many times and kills it as often: within two seconds, or between any two of its first steps.
    package func crashLoop(starts: Int) -> CrashLoop {
        var outcome = CrashLoop()
        for _ in 0..<starts {
            let (begun, loginsBefore) = (loop.now, vault.logins)
            startProcess()
            if Bool.random(using: &generator) {
                let steps = Int.random(in: 0...150, using: &generator)
                loop.interruption = (steps, { [unowned self] in killProcess() })
            }
            loop.run(until: begun + generator.share(of: .seconds(2), between: 0, and: 1))
            loop.interruption = nil
            let life = (process == nil ? loop.interruptedAt : loop.now) - begun
            killProcess()
            if disk[World.token] != nil, loginOnRecord == 0 { outcome.unrecorded += 1 }
            let lost = vault.logins - max(loginsBefore, loginOnRecord)
            if lost > 0 {
                outcome.lost += lost
                outcome.longestLoss = max(outcome.longestLoss, life)
            }
            loop.run(until: loop.now + generator.share(of: .seconds(5), between: 0, and: 1))
        }
        outcome.logins = vault.logins
        return outcome
    }

    /// The number of the token that stands in the sink with a record that tells it is the agent's own; 0: none.
    private var loginOnRecord: UInt64 {
        guard let token = disk[World.token] else { return 0 }
        let digest = SHA256.digest(of: token)
        guard let record = disk.records["app"], record.entries.contains(where: { $0.token == digest }) else { return 0 }
        return vault.tokens[token]?.number ?? 0
    }
}
