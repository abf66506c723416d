// AgentRuntime: binds the pure core to the rooms that act. Owns the one actor; knows no protocol, no file format.
// This file: all of the machine that the runtime touches. A simulation brings its own.

package import AWSIdentity
package import Crypto
package import Diagnosis
package import HTTPClient
package import Logging
package import ServiceHealth
package import StateDirectory
package import Timekeeping
package import TokenSinks
import VaultAPI

/// The queue, as executor and as clock.
package typealias AgentLoop = SerialExecutor & TaskExecutor & Timekeeper

/// Makes the sinks of one agent.
package protocol SinkMaking {
    /// Throws `configurationInvalid` for settings that cannot work; touches nothing outside the process.
    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink

    /// What carries an `on_change` action out. `about`: names and values for its environment, no secret. Nil: nobody does.
    func makeChangeListener(_ action: ChangeAction, about: [String: String], log: Logger) -> (any ChangeListener)?
}

extension SinkMaking {
    /// Nil: places whose changes nobody acts upon.
    package func makeChangeListener(
        _ action: ChangeAction, about: [String: String], log: Logger
    ) -> (any ChangeListener)? { nil }
}

/// Is told, on the agent's queue, that a token is another one.
package protocol ChangeListener {
    /// Returns at once. Whatever is logged of the action is logged without `secrets`.
    func tokenChanged(secrets: [Secret])

    /// Stops what is under way, and begins nothing more.
    func close()
}

extension SinkFactory: SinkMaking {
    package func makeChangeListener(
        _ action: ChangeAction, about: [String: String], log: Logger
    ) -> (any ChangeListener)? {
        makeChangeRunner(action, about: about, log: log)
    }
}

extension ChangeRunner: ChangeListener {}

/// Hears how the agent is, whenever that changes.
package protocol HealthReporter {
    /// Least time between two reports.
    var leastPause: Duration { get }

    /// Whether it tells what configuration is in force, which takes milliseconds to find out for the first token.
    var tellsConfiguration: Bool { get }

    /// `beat`: the queue's own regular sign of life, with or without news.
    func report(_ health: AgentHealth, at now: WallTime, beat: Bool)

    /// A reload begins; ``reloaded(_:at:)`` ends it, whether the new configuration was accepted or not.
    func reloading()
    func reloaded(_ health: AgentHealth, at now: WallTime)

    /// Puts the agent's numbers where they are looked for. Follows each report.
    func publish(_ metrics: Metrics, of health: AgentHealth, at now: WallTime, beat: Bool)

    /// A new configuration is in force, and may want the reports elsewhere.
    func adopt(_ settings: HealthSettings)

    /// How long a processor was last busy with putting a report where it is looked for, beside the agent's own queue.
    var workOfWriting: Duration { get }

    /// Calls `done`, from any thread, once all that was reported is where it is looked for.
    func whenSettled(_ done: @escaping @Sendable () -> Void)
}

extension HealthReporter {
    /// 100 ms: a fleet of tokens in one process changes all the time while it starts.
    package var leastPause: Duration { .milliseconds(100) }

    package var tellsConfiguration: Bool { true }

    /// Does nothing: a reporter without readers of numbers.
    package func publish(_ metrics: Metrics, of health: AgentHealth, at now: WallTime, beat: Bool) {}

    /// None: a reporter that writes nothing, or on the agent's queue.
    package var workOfWriting: Duration { .zero }

    /// At once: a reporter that waits for nothing.
    package func whenSettled(_ done: @escaping @Sendable () -> Void) { done() }

    /// Does nothing: a reporter that the configuration does not speak of.
    package func adopt(_ settings: HealthSettings) {}
}

/// What the agent stands on.
package struct AgentSurroundings {
    package var loop: any AgentLoop
    package var transport: any HTTPTransport
    /// The process's environment: AWS's variables, proxies.
    package var environment: [String: String]
    /// AWS credential files are read through it.
    package var files: any FileReading
    /// Runs the `credential_process` of AWS profiles.
    package var processes: any ProcessRunning
    package var sinks: any SinkMaking
    /// What a restart needs to take a token over; nil: nothing is kept.
    package var takeovers: (any TakeoverStore)?
    /// Names this boot of the machine and its clock; nil: unknown, and only calendar time tells what is left of an earlier run's lease.
    package var boot: String?
    /// Where nonces of ec2 logins are kept; nil: nowhere.
    package var stateDirectory: String?
    /// Which region worked for a Vault's STS.
    package var regions: any RegionMemory = PassingRegionMemory()
    package var reporter: any HealthReporter
    package var metrics = Metrics()
    let chains = CredentialChains()
    let servers = VaultServers()
    /// Time between two beats of ``HealthReporter``; nil: none.
    package var beatInterval: Duration?
    /// Spreads timers. Equal seeds give equal runs.
    package var seed: UInt64
    package var version: String
    package var log: Logger

    package init(
        loop: any AgentLoop, transport: any HTTPTransport, environment: [String: String], files: any FileReading,
        processes: any ProcessRunning, sinks: any SinkMaking, takeovers: (any TakeoverStore)?,
        boot: String? = nil, reporter: any HealthReporter, beatInterval: Duration?,
        seed: UInt64, version: String, log: Logger
    ) {
        self.loop = loop
        self.transport = transport
        self.environment = environment
        self.files = files
        self.processes = processes
        self.sinks = sinks
        self.takeovers = takeovers
        self.boot = boot
        self.reporter = reporter
        self.beatInterval = beatInterval
        self.seed = seed
        self.version = version
        self.log = log
    }
}

/// The same for all parts of one agent, which would be heavy with a copy in each of a thousand keepers.
final class SharedSurroundings {
    let all: AgentSurroundings

    init(_ all: sending AgentSurroundings) {
        self.all = all
    }
}
