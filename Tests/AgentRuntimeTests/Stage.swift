// Test support: an agent on a real event loop with real files, and a stand-in for everything beyond the network.

import AWSIdentity
import AgentRuntime
import ChildProcess
import Configuration
import Crypto
import Dispatch
import EventLoop
import Glibc
import HTTPClient
import Logging
import ServiceHealth
import StateDirectory
import Synchronization
import TestSupport
import Timekeeping
import TokenSinks
import VaultAPI

/// STAND-IN for Vault: grants every login and every child token at once, and remembers when and how it was asked.
final class GenerousVault: HTTPTransport, Sendable {
    struct Asked: Sendable {
        let at: Instant
        let url: String
        let route: HTTPRoute
    }

    private let loop: EventLoop
    private let log = Mutex<[Asked]>([])
    private let faults = Mutex(0)

    init(loop: EventLoop) {
        self.loop = loop
    }

    var asked: [Asked] { log.withLock { $0 } }

    /// So many revocations are refused from now on, and those that follow are granted.
    var revocationsToRefuse: Int {
        get { faults.withLock { $0 } }
        set { faults.withLock { $0 = newValue } }
    }

    private func revocation(at now: Instant) -> HTTPReply {
        let isRefused = faults.withLock { faults in
            defer { faults = max(0, faults - 1) }
            return faults > 0
        }
        return HTTPReply(
            status: isRefused ? 500 : 204, headers: [], body: Secret(text: isRefused ? #"{"errors":["no"]}"# : ""),
            sentAt: now)
    }

    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
        let now = loop.now
        let count = log.withLock { log in
            log.append(Asked(at: now, url: request.url, route: request.route))
            return log.count
        }
        await loop.sleep(for: .milliseconds(5))
        if request.url.hasSuffix("/revoke-self") { return revocation(at: now) }
        guard ["/login", "/auth/token/create"].contains(where: request.url.hasSuffix) else {
            return HTTPReply(status: 404, headers: [], body: Secret(text: #"{"errors":[]}"#), sentAt: now)
        }
        let body = """
            {"auth":{"client_token":"s.token-\(count)","accessor":"a","policies":["default"],"metadata":null,\
            "lease_duration":3600,"renewable":true,"token_type":"service","num_uses":0}}
            """
        return HTTPReply(status: 200, headers: [], body: Secret(text: body), sentAt: now)
    }
}

/// Counts the reports, keeps the latest, and when the agent was ready for the first time.
final class Reports: HealthReporter, Sendable {
    private let state = Mutex<(ready: WallTime?, latest: AgentHealth?, count: Int)>((nil, nil, 0))
    /// As if reports were written elsewhere, and that kept a processor busy for so long.
    let workOfWriting: Duration

    init(workOfWriting: Duration) {
        self.workOfWriting = workOfWriting
    }

    var readyAt: WallTime? { state.withLock { $0.ready } }
    var latest: AgentHealth? { state.withLock { $0.latest } }
    var count: Int { state.withLock { $0.count } }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        state.withLock { state in
            state.latest = health
            state.count += 1
            if health.ready, state.ready == nil { state.ready = now }
        }
    }

    func reloading() {}
    func reloaded(_ health: AgentHealth, at now: WallTime) {}
}

/// An agent and what is around it. AWS credentials come from the environment.
struct Stage {
    let loop: EventLoop
    let vault: GenerousVault
    let reports: Reports
    /// The agent's clock, where it is not the machine's.
    let clock: StoppedClock?
    let agent: Agent

    /// Whether the disk refuses whatever sinks want of it.
    let disk = FaultyDisk()

    init(
        environment: [String: String] = [:], stateDirectory: String? = nil, clockStands: Bool = false,
        takeovers: (any TakeoverStore & Sendable)? = nil, workOfReports: Duration = .zero, log: Logger? = nil
    ) throws {
        reports = Reports(workOfWriting: workOfReports)
        let loop = try EventLoop(label: "test")
        self.loop = loop
        vault = GenerousVault(loop: loop)
        clock = clockStands ? StoppedClock(loop) : nil
        agent = Agent(
            surroundings: Self.surroundings(
                loop, clock ?? loop, vault, reports, disk, environment: environment, stateDirectory: stateDirectory,
                takeovers: takeovers, log: log ?? Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    }

    private static func surroundings(
        _ loop: EventLoop, _ clock: any AgentLoop, _ vault: GenerousVault, _ reports: Reports,
        _ disk: FaultyDisk, environment: [String: String], stateDirectory: String?,
        takeovers: (any TakeoverStore & Sendable)?, log: Logger
    ) -> sending AgentSurroundings {
        let credentials = [
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
            "AWS_REGION": "eu-central-1",
        ]
        var surroundings = AgentSurroundings(
            loop: clock, transport: vault, environment: environment.merging(credentials) { given, _ in given },
            files: LocalFiles(), processes: ChildLauncher(loop: loop),
            sinks: disk.over(SinkFactory(loop: loop, log: log)),
            takeovers: takeovers, reporter: reports, beatInterval: nil, seed: 1, version: "test", log: log)
        surroundings.stateDirectory = stateDirectory
        return surroundings
    }

    func start(_ tokens: [TokenSettings], namesakes: [String: String] = [:]) async throws {
        var configuration = AgentConfiguration(tokens: tokens)
        configuration.namesakes = namesakes
        let (agent, whole) = (agent, configuration)
        try await Task(executorPreference: loop) { try await agent.start(whole) }.value
    }

    func reload(_ tokens: [TokenSettings]) async throws {
        let configuration = AgentConfiguration(tokens: tokens)
        _ = try await Task(executorPreference: loop) { try await agent.reload(configuration) }.value
    }

    func logInNow() async {
        await Task(executorPreference: loop) { await agent.logInNow() }.value
    }

    func logOut() async {
        await Task(executorPreference: loop) { await agent.logOut() }.value
    }

    func pause(_ duration: Duration) async {
        let loop = loop
        await Task(executorPreference: loop) { await loop.sleep(for: duration) }.value
    }

    func stop() async {
        await withCheckedContinuation { continuation in
            Task(executorPreference: loop) { await agent.stop { continuation.resume() } }
        }
    }

    func wait(until condition: @escaping @Sendable () -> Bool) async -> Bool {
        await loop.wait(until: condition)
    }

    /// Returns when the agent's queue has done all that it had to do, and all that this led to at once.
    func settle() async {
        let loop = loop
        await Task(executorPreference: loop) {
            for _ in 0..<2_000 { await Task.yield() }
        }.value
    }
}

/// The event loop as executor, with a clock of its own that stands still: an alarm is noted and never rings.
final class StoppedClock: SerialExecutor, TaskExecutor, Timekeeper, Sendable {
    let now: Instant
    let wallTime: WallTime
    private let loop: EventLoop
    private let moments = Mutex<[Instant]>([])

    init(_ loop: EventLoop) {
        self.loop = loop
        now = loop.now
        wallTime = loop.wallTime
    }

    /// When alarms were to ring.
    var alarms: [Instant] { moments.withLock { $0 } }

    func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        moments.withLock { moments in
            moments.append(moment)
            return Alarm(identifier: UInt64(moments.count))
        }
    }

    func cancel(_ alarm: Alarm) {}

    /// As the loop does it, but in its own name: a job that ran in the loop's would be sent back here at each turn.
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.queue.async {
            // SAFETY: the executor outlives the jobs it was given: each closure holds `self`.
            unsafe job.runSynchronously(
                isolatedTo: self.asUnownedSerialExecutor(), taskExecutor: self.asUnownedTaskExecutor())
        }
    }

    func checkIsolated() { loop.checkIsolated() }
    func isIsolatingCurrentContext() -> Bool? { loop.isIsolatingCurrentContext() }
}

extension TokenSettings {
    /// A token by an iam login in one file.
    init(_ name: String, address: String = "http://127.0.0.1:8200", file: String) {
        self.init(
            name: name, vault: VaultServer(addresses: [address]), login: LoginSettings(method: .iam),
            sinks: [SinkSettings(place: .file(FilePlace(path: file)))])
    }
}
