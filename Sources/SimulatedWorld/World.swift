// SimulatedWorld: one machine with one agent, and all that it depends on.

import AWSIdentity
import AgentRuntime
import Configuration
import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import StateDirectory
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

/// A world that runs for some days by a seed's choice and keeps a record of promises that were broken.
package final class World: @unchecked Sendable {
    /// An agent's process: it dies, its world stays. Of one thread, like its world.
    final class Process: @unchecked Sendable {
        let agent: Agent
        let transport: SimulatedTransport
        let reporter: LatestReport
        let startedAt: Instant
        var ledger = RequestLedger()
        /// Of the token that it used last: what its pace is measured by.
        var lease: Duration?
        var isStopping = false

        init(agent: Agent, transport: SimulatedTransport, reporter: LatestReport, startedAt: Instant) {
            self.agent = agent
            self.transport = transport
            self.reporter = reporter
            self.startedAt = startedAt
        }
    }

    package let options: WorldOptions
    package let loop = SimulatedLoop()
    package let trace: Trace
    let vault: VaultModel
    let metadata: MetadataModel
    let disk = DiskModel()
    weak var sink: SimulatedSink?
    /// The disk does one thing after another, as the agent's queue for a directory has it.
    var diskFreeAt = Instant.distantPast
    var generator: SeededGenerator
    var vaultWeather: Weather<VaultFault>
    var metadataWeather: Weather<MetadataFault>
    var diskWeather: Weather<DiskFault>
    var process: Process?
    var processes: UInt64 = 0
    /// Nothing has been wrong since; a later moment where what was wrong may still be felt.
    var troubledUntil: Instant
    /// The shortest lease in use: paces are measured by it.
    var shortestLease: Duration?
    /// Which spell of short leases this is.
    var spell = 0
    /// A machine that wakes has a second to notice.
    var resumedAt = Instant.distantPast
    let start: Instant
    let end: Instant
    let calmFrom: Instant
    /// The state directory cannot be written.
    package var losesRecords = false
    package private(set) var violations: [Violation] = []
    package var requests = 0

    package init(_ options: WorldOptions, readable: Bool = false) {
        self.options = options
        start = loop.now
        end = start + options.duration
        calmFrom = end - options.livenessPhase
        trace = Trace(loop: loop, readable: readable)
        vault = VaultModel(loop: loop, role: options.role)
        metadata = MetadataModel(loop: loop)
        var generator = SeededGenerator(seed: options.seed)
        let (health, trouble) = (options.meanHealth, options.meanTrouble)
        vaultWeather = Weather(
            from: start, until: calmFrom, meanHealth: health, meanTrouble: trouble, faults: options.vaultFaults,
            using: &generator)
        metadataWeather = Weather(
            from: start, until: calmFrom, meanHealth: health, meanTrouble: trouble, faults: options.metadataFaults,
            using: &generator)
        diskWeather = Weather(
            from: start, until: calmFrom, meanHealth: health, meanTrouble: trouble / 4, faults: options.diskFaults,
            using: &generator)
        self.generator = generator
        troubledUntil = start
        shortestLease = options.shortestLease
        disk.onChange = { [unowned self] next, begun in self.sinkChanges(to: next, begun: begun) }
    }

    /// Runs to the end, or to the first broken promise.
    package func run() {
        startProcess()
        planDeed()
        probe()
        var moment = start
        while moment < end, violations.isEmpty {
            moment = min(end, moment + .seconds(3_600))
            loop.run(until: moment)
        }
        killProcess()
        loop.run(until: loop.now + .seconds(120))
    }

    func violate(_ promise: Promise, _ what: String) {
        guard violations.count < 5 else { return }
        trace.note("VIOLATED", 0, "\(promise.rawValue): \(what)")
        violations.append(Violation(promise: promise, moment: (loop.now - start).text, what: what))
    }

    func trouble(until moment: Instant) {
        troubledUntil = max(troubledUntil, moment)
    }

    // MARK: The process

    /// The configuration of the one token; `variant` tells apart what a reload may change.
    func configuration(variant: UInt64 = 0) -> AgentConfiguration {
        var aws = AWSSettings()
        aws.source = .imds
        var policy = options.policy
        if variant % 2 == 1 { policy.expired = policy.expired == .keep ? .remove : .keep }
        let settings = TokenSettings(
            name: "app", vault: VaultServer(addresses: ["http://127.0.0.1:8200"]),
            login: LoginSettings(method: .iam),
            aws: aws, policy: policy, sinks: [SinkSettings(place: .file(FilePlace(path: "/simulated/token")))])
        return AgentConfiguration(tokens: [settings])
    }

    func startProcess() {
        processes += 1
        trace.note("starts", processes)
        let transport = SimulatedTransport(loop: loop, network: self)
        let reporter = LatestReport(loop: loop)
        let agent = Agent(surroundings: surroundings(transport, reporter))
        process = Process(agent: agent, transport: transport, reporter: reporter, startedAt: loop.now)
        trouble(until: loop.now)
        let configuration = configuration()
        Task(executorPreference: loop) {
            do throws(AgentError) {
                try await agent.start(configuration)
            } catch {
                guard error.code != .cancelled else { return }
                self.violate(.neverSilent, "the agent did not start: \(error)")
            }
        }
    }

    private func surroundings(
        _ transport: SimulatedTransport, _ reporter: LatestReport
    ) -> sending AgentSurroundings {
        AgentSurroundings(
            loop: loop, transport: transport, environment: [:], files: NoFiles(), processes: NoProcesses(),
            sinks: SimulatedSinks(world: self, process: transport),
            takeovers: SimulatedRecords(world: self, process: transport), boot: "the only one", reporter: reporter,
            beatInterval: nil,
            seed: options.seed &+ processes &* 977, version: "simulated",
            log: Logger(label: "simulated") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Ends the process between two instructions: nothing it still does reaches the world.
    func killProcess() {
        guard let process else { return }
        trace.note("killed", processes)
        process.transport.isAlive = false
        self.process = nil
        process.agent.assumeIsolated { $0.stop {} }
    }

    // MARK: The promises

    private func sinkChanges(to next: String?, begun: Instant) {
        trace.note("sink", next.map { vault.tokens[$0]?.number ?? 0 } ?? 0, next ?? "empty")
        guard let current = disk.token.flatMap({ vault.tokens[$0] }), current.isValid(at: loop.now) else { return }
        guard let next else {
            // Vault counts what is left in whole seconds.
            let isKnownValid = current.toldExpiry.map { loop.now + .seconds(1) < $0 } ?? (current.expiry == nil)
            if isKnownValid, !(process?.isStopping ?? false && options.policy.revokeOnStop) {
                violate(.neverWorse, "a valid token was replaced with nothing")
            }
            return
        }
        // That the disk takes longer than the lease, or somebody revokes it meanwhile, is nothing the agent could know.
        guard let better = vault.tokens[next], better.revoked || better.isValid(at: begun) else {
            violate(.neverWorse, "a valid token was replaced with one that is not")
            return
        }
        if better.number < current.number {
            violate(.neverWorse, "token \(current.number) was replaced with token \(better.number), an older one")
        }
    }

    /// Looks at the world from outside, now and again.
    private func probe() {
        checkPromises()
        let pause = generator.share(of: min(.seconds(240), (shortestLease ?? .seconds(240)) / 4), between: 0.2, and: 1)
        guard loop.now + pause < end else { return }
        _ = loop.schedule(at: loop.now + pause) { [unowned self] in self.probe() }
    }

    private func checkPromises() {
        let now = loop.now
        noteWeather()
        guard let process, !process.isStopping, now - max(process.startedAt, resumedAt) > .seconds(1)
        else { return }
        let onDisk = disk.token.flatMap { vault.tokens[$0] }
        let isValid = onDisk?.isValid(at: now) ?? false
        guard let health = process.reporter.latest?.tokens.first else {
            violate(.neverSilent, "no report since the start")
            return
        }
        if now - troubledUntil > options.healthBeforeFresh {
            checkFreshness(onDisk, isValid: isValid)
        }
        let isSaidFresh = health.phase == .fresh
        if isSaidFresh, let onDisk, let expiry = onDisk.expiry, expiry + .seconds(1) < now {
            violate(.neverSilent, "said to be fresh, expired for \((now - expiry).text)")
        }
        if !isSaidFresh, health.phase != .starting, health.firstTrouble == nil {
            violate(.neverSilent, "\(health.phase.rawValue) without a cause")
        }
        if let validUntil = health.validUntil, let truth = vault.latestToldExpiry {
            let claimed = process.reporter.reportedAt + (validUntil - process.reporter.wallTime)
            if claimed > truth + .milliseconds(10) {
                violate(.neverLate, "said to be valid \((claimed - truth).text) longer than it is")
            }
            if claimed + .seconds(1) < now, isSaidFresh || health.phase == .struggling {
                violate(.neverLate, "\(health.phase.rawValue), \((now - claimed).text) past its own expiry")
            }
        }
    }

    private func checkFreshness(_ onDisk: VaultModel.Token?, isValid: Bool) {
        let now = loop.now
        // A revocation shows at the next lookup, and that comes within 5 minutes.
        let noticed = options.healthBeforeFresh + .seconds(301)
        if let onDisk, onDisk.revoked, !onDisk.isNoticedDead || now - troubledUntil < noticed { return }
        let calm = (now - troubledUntil).text
        guard let onDisk, isValid else {
            let trouble = process?.reporter.latest?.tokens.first?.firstTrouble
            let said = trouble.map { "\($0.error.code.rawValue): \($0.error.observed)" } ?? "no trouble"
            violate(.fresh, "all healthy for \(calm) and no valid token in the sink; the agent says \(said)")
            return
        }
        guard let expiry = onDisk.expiry, let full = onDisk.full else { return }
        let share = full < .seconds(60) ? 0.2 : 1.0 / 3
        let left = expiry - now
        if left < full * share - .milliseconds(1) {
            violate(.fresh, "all healthy for \(calm) and only \(left.text) of \(full.text) left")
        }
    }

    /// Takes note of what is wrong now, so that the promise of freshness starts anew when it is over.
    func noteWeather() {
        let now = loop.now
        let ends = [
            vaultWeather.troubledUntil(at: now), metadataWeather.troubledUntil(at: now),
            diskWeather.troubledUntil(at: now),
        ]
        for end in ends { end.map { trouble(until: $0) } }
    }
}

/// Remembers what the agent said last.
final class LatestReport: HealthReporter {
    private let loop: SimulatedLoop
    private(set) var latest: AgentHealth?
    private(set) var reportedAt: Instant
    private(set) var wallTime: WallTime

    init(loop: SimulatedLoop) {
        self.loop = loop
        (reportedAt, wallTime) = (loop.now, loop.wallTime)
    }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        latest = health
        (reportedAt, wallTime) = (loop.now, now)
    }

    func reloading() {}
    func reloaded(_ health: AgentHealth, at now: WallTime) {}
}
