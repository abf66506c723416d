// One process with many tokens, on the virtual clock: how much it asks, and how much it does for what it asks.

import AWSIdentity
import AgentRuntime
import Configuration
import ServiceHealth
import Testing
import Timekeeping
import TokenSinks
import VaultAPI

@testable import SimulatedWorld

@Suite struct ManyTokensTests {
    /// Counts what it hears.
    private final class Audience: HealthReporter {
        let leastPause: Duration
        private(set) var reports = 0
        private(set) var latest: AgentHealth?

        init(leastPause: Duration) {
            self.leastPause = leastPause
        }

        func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
            reports += 1
            latest = health
        }

        func reloading() {}
        func reloaded(_ health: AgentHealth, at now: WallTime) {}
    }

    /// An agent with so many tokens at a Vault that answers all. `leastPause`: between two reports; else there is one.
    private struct Process {
        let loop = SimulatedLoop()
        let server: FleetServer
        let vault: VaultModel
        let member: FleetMember
        let audience: Audience

        init(tokens: Int, lease: Duration, leastPause: Duration = .seconds(24 * 3_600)) {
            audience = Audience(leastPause: leastPause)
            var scenario = FleetScenario.coldStart
            (scenario.lease, scenario.duration) = (lease, .seconds(300))
            server = FleetServer(scenario: scenario, loop: loop, seed: 1)
            vault = VaultModel(loop: loop, role: RoleOptions(ttl: lease, maximum: scenario.maximum))
            member = FleetMember(
                loop: loop, server: server, vault: vault, metadata: MetadataModel(loop: loop), seed: 1,
                reporter: audience)
            member.start(
                AgentConfiguration(
                    tokens: (1...tokens).map { number in
                        var settings = TokenSettings(
                            name: "token-\(number)", vault: VaultServer(addresses: [FleetMember.vaultAddress]),
                            login: LoginSettings(method: .iam),
                            sinks: [SinkSettings(place: .file(FilePlace(path: "/simulated/\(number)")))])
                        settings.aws.source = .imds
                        return settings
                    }))
        }

        func run(for duration: Duration) {
            loop.run(until: loop.now + duration)
        }

        var requests: Int { server.arrivals.reduce(0, +) }

        func stop() {
            member.stop()
            run(for: .seconds(120))
        }
    }

    @Test func `the start of many tokens asks Vault at most 200 times a second, lookups included`() {
        let process = Process(tokens: 1_000, lease: .seconds(120))
        process.run(for: .seconds(60))
        #expect(process.server.arrivals.max() ?? 0 <= 200)
        // The first lookups come while the last tokens log in, and take their place.
        #expect(process.server.arrivals[5] > 170)
        process.stop()
    }

    @Test func `logins go on where lookups alone are more than 200 a second`() {
        // Looked up every 5 s: 300 times a second.
        let process = Process(tokens: 1_500, lease: .seconds(20))
        process.run(for: .seconds(25))
        #expect(process.vault.logins == 1_500)
        #expect(process.server.arrivals[20] > 200)
        process.stop()
    }

    @Test func `a lookup that tells nothing new is followed by no report, for which all tokens would be looked at`() {
        let process = Process(tokens: 100, lease: .seconds(3_600), leastPause: .milliseconds(100))
        process.run(for: .seconds(10))
        let (reports, requests) = (process.audience.reports, process.requests)
        #expect(process.audience.latest?.tokens.count { $0.served } == 100)
        process.run(for: .seconds(280))
        #expect(process.requests - requests >= 90)
        #expect(process.audience.reports == reports)
        process.run(for: .seconds(3_600))
        // Renewals are news.
        #expect(process.audience.reports > reports + 20)
        #expect(process.audience.latest?.tokens.allSatisfy { $0.counters.renewals > 0 && $0.served } == true)
        process.stop()
    }

    @Test func `what is done for a request does not grow with the number of tokens`() {
        let works = [10, 100].map { tokens in
            let process = Process(tokens: tokens, lease: .seconds(120))
            process.run(for: .seconds(30))
            let (readings, requests) = (process.loop.readings, process.requests)
            process.run(for: .seconds(60))
            defer { process.stop() }
            return Double(process.loop.readings - readings) / Double(process.requests - requests)
        }
        #expect(works[1] <= works[0] * 1.1, "readings of the clock for a request: \(works)")
    }
}
