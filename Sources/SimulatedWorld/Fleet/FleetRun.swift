// SimulatedWorld: takes a fleet through a scenario and keeps the figures.

import AWSIdentity
import Configuration
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

/// Whose algorithm the fleet lives by.
package enum FleetKind: String, CaseIterable, Sendable {
    /// This agent: the real runtime.
    case ours = "this agent"
    /// The same with the longest `max_backoff`, which is Vault Agent's default.
    case oursPatient = "this agent, max_backoff 5m"
    /// ``VaultAgentModel``.
    case vaultAgent = "Vault Agent (model)"
}

/// What a fleet did in a scenario, second by second.
package struct FleetRecord: Sendable {
    package let kind: FleetKind
    package let scenario: FleetScenario
    package let agents: Int
    /// Requests sent to Vault in each second, served or not.
    package let requests: [Int]
    /// Of these, answered with 429.
    package let throttled: [Int]
    /// At the end of each second: how many files hold a valid token.
    package let valid: [Int]
    /// At the end of each second: how many files hold a valid token with at least a fifth of its lease left.
    package let fresh: [Int]

    /// Most requests in one second, from when the fleet is judged on.
    package var peak: Int {
        requests[Int(scenario.judgedFrom.components.seconds)...].max() ?? 0
    }

    /// All requests from when the fleet is judged on, for half an hour.
    package var requestsInHalfAnHour: Int { inHalfAnHour(requests) }

    /// Those that were answered with 429.
    package var throttledInHalfAnHour: Int { inHalfAnHour(throttled) }

    private func inHalfAnHour(_ seconds: [Int]) -> Int {
        seconds[Int(scenario.judgedFrom.components.seconds)...].prefix(1_800).reduce(0, +)
    }

    /// From when the fleet is judged until its last agent is fresh for the first time; nil: not within the scenario.
    package var lastFreshAfter: Duration? {
        let begin = Int(scenario.judgedFrom.components.seconds)
        return fresh[begin...].firstIndex(of: agents).map { .seconds($0 + 1 - begin) }
    }

    /// Fewest files with a valid token, from when the fleet is judged on.
    package var leastValid: Int {
        valid[Int(scenario.judgedFrom.components.seconds)...].min() ?? 0
    }
}

/// A fleet in a scenario.
package struct FleetRun {
    private let kind: FleetKind
    private let scenario: FleetScenario
    private let agents: Int
    private let loop = SimulatedLoop()
    private let server: FleetServer

    package init(_ kind: FleetKind, in scenario: FleetScenario, agents: Int, seed: UInt64) {
        self.kind = kind
        self.scenario = scenario
        self.agents = agents
        server = FleetServer(scenario: scenario, loop: loop, seed: seed)
    }

    package func run() -> FleetRecord {
        switch kind {
        case .ours: runOurs(LifecyclePolicy())
        case .oursPatient: runOurs(Self.patient)
        case .vaultAgent: runVaultAgent()
        }
    }

    private static var patient: LifecyclePolicy {
        var policy = LifecyclePolicy()
        policy.maxBackoff = .seconds(300)
        return policy
    }

    private func runOurs(_ policy: LifecyclePolicy) -> FleetRecord {
        let vault = VaultModel(
            loop: loop, role: RoleOptions(ttl: scenario.lease, maximum: scenario.maximum))
        let metadata = MetadataModel(loop: loop)
        var aws = AWSSettings()
        aws.source = .imds
        let settings = TokenSettings(
            name: "app", vault: VaultServer(addresses: [FleetMember.vaultAddress]),
            login: LoginSettings(method: .iam), aws: aws, policy: policy,
            sinks: [SinkSettings(place: .file(FilePlace(path: "/simulated/token")))])
        let configuration = AgentConfiguration(tokens: [settings])
        let members = (0..<agents).map { number in
            FleetMember(
                loop: loop, server: server, vault: vault, metadata: metadata, seed: UInt64(number + 1) &* 0x9E37_79B9)
        }
        let record = watch(starting: { members[$0].start(configuration) }, expiry: { members[$0].expiry })
        members.forEach { $0.stop() }
        loop.run(until: loop.now + .seconds(120))
        return record
    }

    private func runVaultAgent() -> FleetRecord {
        let members = (0..<agents).map { number in
            VaultAgentModel(loop: loop, server: server, seed: UInt64(number + 1) &* 0x9E37_79B9)
        }
        return watch(starting: { members[$0].logIn() }, expiry: { members[$0].expiry })
    }

    /// Runs the scenario second by second.
    private func watch(starting: @escaping (Int) -> Void, expiry: (Int) -> Instant) -> FleetRecord {
        let begin = loop.now
        var generator = SeededGenerator(seed: 1)
        // SAFETY: the loop calls back on this thread, within this function.
        nonisolated(unsafe) let starting = starting
        for number in 0..<agents {
            let moment = begin + generator.share(of: scenario.startsWithin, between: 0, and: 1)
            _ = loop.schedule(at: moment) { unsafe starting(number) }
        }
        var (valid, fresh): ([Int], [Int]) = ([], [])
        let enough = scenario.lease / 5
        for second in 1...Int(scenario.duration.components.seconds) {
            loop.run(until: begin + .seconds(second))
            let now = loop.now
            var (validNow, freshNow) = (0, 0)
            for number in 0..<agents {
                let expiry = expiry(number)
                if expiry > now { validNow += 1 }
                if expiry >= now + enough { freshNow += 1 }
            }
            valid.append(validNow)
            fresh.append(freshNow)
        }
        return FleetRecord(
            kind: kind, scenario: scenario, agents: agents, requests: server.arrivals,
            throttled: server.throttled, valid: valid, fresh: fresh)
    }
}
