// SimulatedWorld: one agent of a fleet: the real runtime, on a machine that has no troubles of its own.

import AWSIdentity
import AgentRuntime
import Configuration
import Crypto
import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

/// An agent, and the file that it writes.
final class FleetMember: SimulatedNetwork, @unchecked Sendable {
    private let loop: SimulatedLoop
    private let server: FleetServer
    private let vault: VaultModel
    private let metadata: MetadataModel
    private let seed: UInt64
    private let reporter: any HealthReporter
    private var agent: Agent?
    /// What stands in the file.
    private var token: String?
    /// When what stands in the file stops being valid.
    private(set) var expiry = Instant.distantPast

    init(
        loop: SimulatedLoop, server: FleetServer, vault: VaultModel, metadata: MetadataModel, seed: UInt64,
        reporter: any HealthReporter = NoReader()
    ) {
        self.loop = loop
        self.server = server
        self.vault = vault
        self.metadata = metadata
        self.seed = seed
        self.reporter = reporter
    }

    func start(_ configuration: AgentConfiguration) {
        let agent = Agent(surroundings: surroundings())
        self.agent = agent
        Task(executorPreference: loop) {
            do throws(AgentError) {
                try await agent.start(configuration)
            } catch {
                fatalError("an agent of the fleet did not start: \(error)")
            }
        }
    }

    func stop() {
        agent?.assumeIsolated { $0.stop {} }
        agent = nil
    }

    private func surroundings() -> sending AgentSurroundings {
        AgentSurroundings(
            loop: loop, transport: SimulatedTransport(loop: loop, network: self), environment: [:], files: NoFiles(),
            processes: NoProcesses(), sinks: MemorySinks(member: self), takeovers: nil, reporter: reporter,
            beatInterval: nil, seed: seed, version: "simulated",
            log: Logger(label: "simulated") { _ in SwiftLogNoOpLogHandler() })
    }

    // MARK: Requests

    func fate(of request: HTTPRequest) -> RequestFate {
        let delay = server.latency()
        guard request.url.hasPrefix(Self.vaultAddress) else {
            let answer = metadata.answer(request, expired: false, hasRole: true)
            return RequestFate(delay: delay / 10, outcome: .success((answer.status, answer.body, nil)))
        }
        switch server.admit() {
        case .refused:
            let refusal = HTTPFailure(.connectionRefused, "the connection was refused", maybeSent: false)
            return RequestFate(delay: delay, outcome: .failure(refusal))
        case .throttled(let seconds):
            let body = #"{"errors":["request path: rate limit quota exceeded"]}"#
            return RequestFate(delay: delay, outcome: .success((429, body, seconds)))
        case .served:
            vault.credentialsExpiry = metadata.keys
            let answer = vault.answer(request)
            return RequestFate(delay: delay, outcome: .success((answer.status, answer.body, nil)))
        }
    }

    func answered(_ request: HTTPRequest, status: Int, body: String) {
        learnExpiry()
    }

    // MARK: The file

    fileprivate func write(_ text: String?) {
        token = text
        learnExpiry()
    }

    private func learnExpiry() {
        expiry = token.flatMap { vault.tokens[$0] }?.expiry ?? .distantPast
    }

    static let vaultAddress = "http://127.0.0.1:8200"
}

private struct MemorySinks: SinkMaking {
    let member: FleetMember

    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        MemorySink(member: member)
    }
}

/// A file that is written at once and that nobody touches.
private final class MemorySink: TokenSink {
    let standing: SinkStanding? = nil
    let name = "file /simulated/token"
    private unowned let member: FleetMember
    private var held: Secret?

    init(member: FleetMember) {
        self.member = member
    }

    func check() async throws(AgentError) {}
    func open() async throws(AgentError) {}

    func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        if held == content.token { return .unchanged }
        held = content.token
        member.write(content.token.text)
        return .rotated
    }

    func heldToken() async -> Secret? { held }

    func withdraw() async throws(AgentError) {
        held = nil
        member.write(nil)
    }

    func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {}
    func close() {}
}

/// Nobody asks how a single agent of the fleet is.
private struct NoReader: HealthReporter {
    var leastPause: Duration { .seconds(24 * 3_600) }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {}
    func reloading() {}
    func reloaded(_ health: AgentHealth, at now: WallTime) {}
}
