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
        /// By configured token: one budget holds for it and all that hangs on it.
        var ledgers: [String: RequestLedger] = [:]
        /// What the pace of each is measured by.
        var leases: [String: Duration] = [:]
        /// The configuration in force, and where it wants tokens; while a reload is under way, where both do.
        var variant = Variant()
        var listed: Set<String> { Set(listedSince.keys) }
        /// What began to be taken away before it was listed can't be called back.
        private(set) var listedSince: [String: Instant] = [:]
        /// Those under way, the next to end first.
        var reloads: [Variant] = []
        var isStopping = false
        /// Vault kept an answer from it then, or will until then: to anything but a login.
        var unansweredAt = Instant.distantPast

        init(agent: Agent, transport: SimulatedTransport, reporter: LatestReport, startedAt: Instant) {
            self.agent = agent
            self.transport = transport
            self.reporter = reporter
            self.startedAt = startedAt
        }

        func list(_ paths: Set<String>, at now: Instant) {
            let before = listedSince
            listedSince = Dictionary(uniqueKeysWithValues: paths.map { ($0, before[$0] ?? now) })
        }
    }

    package let options: WorldOptions
    package let loop = SimulatedLoop()
    package let trace: Trace
    let vault: VaultModel
    let metadata: MetadataModel
    let disk = DiskModel()
    /// Those that watch, by path.
    var sinks: [String: SimulatedSink] = [:]
    /// The disk does one thing after another, as the agent's queue for a directory has it.
    var diskFreeAt = Instant.distantPast
    /// The same for that of the state directory.
    var stateFreeAt = Instant.distantPast
    var generator: SeededGenerator
    var stateGenerator: SeededGenerator
    var vaultWeather: Weather<VaultFault>
    var metadataWeather: Weather<MetadataFault>
    var diskWeather: Weather<DiskFault>
    var stateWeather: Weather<DiskFault>
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
    /// Somebody did something to the agent or its machine then.
    var lastDeedAt = Instant.distantPast
    /// Outage budgets that were held to what readers found.
    package var budgetsChecked = 0
    /// A reload was begun or ended then.
    var reloadedAt = Instant.distantPast
    let start: Instant
    let end: Instant
    let calmFrom: Instant
    /// The state directory cannot be written.
    package var losesRecords = false
    package private(set) var violations: [Violation] = []
    package var requests = 0

    package init(_ options: WorldOptions, readable: Bool = false) {
        self.options = options
        (loop.clockDrift, loop.mostLateness) = (options.clockDrift, options.mostLateness)
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
        stateGenerator = SeededGenerator(seed: options.seed ^ 0x7374_6174_65)
        stateWeather = Weather(
            from: start, until: calmFrom, meanHealth: health, meanTrouble: trouble, faults: options.diskFaults,
            using: &stateGenerator)
        troubledUntil = start
        shortestLease = options.shortestLease
        disk.onChange = { [unowned self] path, next, begun in sinkChanges(path, to: next, begun: begun) }
    }

    /// Runs to the end, or to the first broken promise.
    package func run() {
        startProcess()
        planDeed()
        planBudgetChecks()
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

    func startProcess() {
        processes += 1
        trace.note("starts", processes)
        let transport = SimulatedTransport(loop: loop, network: self)
        let reporter = LatestReport(loop: loop)
        let agent = Agent(surroundings: surroundings(transport, reporter))
        process = Process(agent: agent, transport: transport, reporter: reporter, startedAt: loop.now)
        trouble(until: loop.now)
        let variant = Variant()
        process?.list(paths(variant), at: loop.now)
        let configuration = configuration(variant)
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
        disk.loseSockets()
        process.agent.assumeIsolated { $0.stop {} }
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
