// SimulatedWorld: what a seed chooses.

import Timekeeping
package import TokenLifecycle

/// The choices of one run, all drawn from its seed.
package struct WorldOptions: Sendable {
    package let seed: UInt64
    package var duration: Duration = .seconds(7 * 86_400)
    /// At the end, without faults: what was broken must be whole again.
    package var livenessPhase: Duration = .seconds(12 * 3_600)
    package var role: RoleOptions
    package var policy = LifecyclePolicy()
    package var meanHealth: Duration
    package var meanTrouble: Duration
    package var betweenDeeds: Duration
    var vaultFaults: [VaultFault]
    var metadataFaults: [MetadataFault]
    var diskFaults: [DiskFault]
    var deeds: [Deed]
    /// Kinds of sinks besides the file.
    var sinks: [Place]
    /// See ``SimulatedLoop``.
    var clockDrift: Int64 = 0
    var mostLateness: Duration = .zero

    package init(seed: UInt64) {
        self.seed = seed
        var generator = SeededGenerator(seed: seed ^ 0x6F70_7469_6F6E_7321)
        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
        func some<Choice: CaseIterable>(of type: Choice.Type) -> [Choice] {
            let share = Int.random(in: 0...100, using: &generator)
            return Choice.allCases.filter { _ in Int.random(in: 0..<100, using: &generator) < share }
        }
        let hours = [1, 1, 1, 2, 8, 32, 768][Int.random(in: 0..<7, using: &generator)]
        let ttl: Duration = chance(2) ? .seconds(600) : .seconds(3_600 * hours)
        role = RoleOptions(ttl: ttl, maximum: ttl * 1_000)
        if chance(40) { role.maximum = generator.share(of: ttl * 10, between: 0.08, and: 1) }
        role.periodic = chance(10)
        role.renewable = !chance(8)
        role.forbidsLookups = chance(10)
        if chance(4) { role.uses = 1_000 }
        if chance(3) { role.ttl = .zero }
        policy.expired = chance(30) ? .remove : .keep
        policy.replaced = chance(30) ? .revoke(after: .seconds(60)) : .expire
        policy.revokeOnStop = chance(20)
        if chance(10) { policy.increment = ttl / 2 }
        if chance(10) { policy.maxBackoff = .seconds(300) }
        meanHealth = .seconds([7_200, 28_800, 86_400, 172_800][Int.random(in: 0..<4, using: &generator)])
        meanTrouble = min(.seconds([30, 600, 3_600, 14_400][Int.random(in: 0..<4, using: &generator)]), meanHealth / 2)
        betweenDeeds = .seconds([10_800, 28_800, 86_400][Int.random(in: 0..<3, using: &generator)])
        vaultFaults = some(of: VaultFault.self)
        metadataFaults = some(of: MetadataFault.self)
        diskFaults = some(of: DiskFault.self)
        deeds = some(of: Deed.self)
        sinks = [.socket, .wrapped, .child].filter { _ in chance(40) }
        // Up to five minutes in a week.
        if chance(20) { clockDrift = Int64.random(in: -500_000...500_000, using: &generator) }
        if chance(20) { mostLateness = .milliseconds(15) }
    }

    /// How long all must have been well before the promise "fresh" counts: 30 s by default, more where the policy is to wait
    /// longer.
    var healthBeforeFresh: Duration {
        policy.maxBackoff == LifecyclePolicy().maxBackoff ? .seconds(30) : policy.maxBackoff + .seconds(5)
    }

    /// Nil: tokens never expire.
    var shortestLease: Duration? {
        role.ttl == .zero ? nil : min(role.ttl, role.maximum)
    }

    /// One line that says what the run is made of.
    package var summary: String {
        let ttl = role.ttl == .zero ? "never expires" : role.ttl.text
        var traits: [String] = []
        if role.periodic { traits.append("periodic") }
        if !role.renewable { traits.append("not renewable") }
        if role.forbidsLookups { traits.append("lookups forbidden") }
        if role.uses > 0 { traits.append("limited uses") }
        if policy.expired == .remove { traits.append("expired tokens removed") }
        if case .revoke = policy.replaced { traits.append("replaced tokens revoked") }
        if policy.revokeOnStop { traits.append("revoked on stop") }
        if let increment = policy.increment { traits.append("increment \(increment.text)") }
        if policy.maxBackoff != LifecyclePolicy().maxBackoff {
            traits.append("backs off up to \(policy.maxBackoff.text)")
        }
        if clockDrift != 0 { traits.append("a clock that drifts by \(clockDrift / 1_000) ppm") }
        if mostLateness > .zero { traits.append("alarms up to \(mostLateness.text) late") }
        return "seed \(seed): TTL \(ttl), maximum \(role.maximum.text)"
            + (traits.isEmpty ? "" : ", " + traits.joined(separator: ", "))
            + "; \(meanHealth.text) of health, \(meanTrouble.text) of trouble; Vault: "
            + "\(vaultFaults.map(\.rawValue)), IMDS: \(metadataFaults.map(\.rawValue)), disk: "
            + "\(diskFaults.map(\.rawValue)); sinks besides the file: \(sinks); each \(betweenDeeds.text) one of \(deeds)"
    }
}
