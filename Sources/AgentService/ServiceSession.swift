// AgentService: one run of the service: what starts it, the signals it hears, what ends it.

import AWSIdentity
import AgentRuntime
import CLinux
import Configuration
import Diagnosis
import Dispatch
import EventLoop
import FileSystem
import Glibc
import HTTPClient
import Logging
import ServiceHealth
import SystemCalls
import Timekeeping
import TokenSinks

/// The service between its start and its end.
actor ServiceSession {
    private let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe loop.asUnownedSerialExecutor()
    }

    /// For what may wait for a disk.
    let disk = BlockingQueue(name: "health sockets")
    /// For the configuration alone: it may be a pipe, or on a share that does not answer, and nothing else is to wait for it.
    let reading = BlockingQueue(name: "configuration")
    private let log: Logger
    /// Is told how it ends; what counts is what it is told first.
    private let end: @Sendable (Result<Void, AgentError>) -> Void
    /// Nil: the process may write wherever its user may.
    private let confinement: Confinement?
    private let load: @Sendable () throws(AgentError) -> LoadedConfiguration
    /// Puts what concerns the log in force, once all else is.
    private let adopt: @Sendable (HealthSettings) -> Void
    private var agent: Agent?
    private var stateDirectory: String?
    private var confineTo: [String] = []
    /// Of the configuration in force.
    private var statusFile: String?
    private let locks = AgentLocks()
    private var listeners: HealthListeners?
    private var configurationWatch: ConfigurationWatch?
    private var signals: SignalListener?
    private var isReloading = false
    private var reloadAgain = false
    private var isStopping = false
    /// So often the configuration in the file was refused, one time after the other.
    private var refusals = 0
    /// When it is tried again: while its file is watched, and the machine may yet get what it lacks.
    private var nextTry: Alarm?

    init(
        loop: EventLoop, confinement: Confinement?, log: Logger,
        end: @escaping @Sendable (Result<Void, AgentError>) -> Void,
        load: @escaping @Sendable () throws(AgentError) -> LoadedConfiguration,
        adopt: @escaping @Sendable (HealthSettings) -> Void
    ) {
        self.loop = loop
        self.confinement = confinement
        self.log = log
        self.end = end
        self.load = load
        self.adopt = adopt
    }

    func start(
        _ loaded: LoadedConfiguration, environment: [String: String], version: String,
        lostRecords: @escaping @Sendable () -> Int
    ) {
        do throws(SystemFault) {
            signals = try SignalListener(to: ProcessSignals.ending + ProcessSignals.asking, on: loop) {
                [weak self] number in
                self?.assumeIsolated { $0.hear(number) }
            }
        } catch {
            end(
                .failure(
                    AgentError(.internalFault, "signals cannot be heard: \(error.observed)", remedy: error.limitRemedy))
            )
            return
        }
        let configuration = loaded.named
        do throws(AgentError) {
            try locks.hold(AgentLock.paths(configuration.stateDirectory, configuration.health.statusFile))
        } catch {
            end(.failure(error))
            return
        }
        warn(of: loaded)
        stateDirectory = configuration.stateDirectory
        confineTo = configuration.confineTo
        statusFile = configuration.health.statusFile
        let manager = ServiceManager(environment: environment)
        let interval = manager.beatInterval
        let agent = Agent(
            surroundings: .machine(
                configuration, loop: loop, environment: environment, sinks: SinkFactory(loop: loop, log: log),
                reporter: ServiceReporter(manager: manager, settings: configuration.health, log: log),
                beatInterval: interval, version: version, log: log))
        self.agent = agent
        listeners = HealthListeners(
            on: loop, disk: disk, log: log,
            answer: { request, pages in agent.assumeIsolated { $0.answer(to: request, among: pages) } },
            whenChanged: { listeners in agent.assumeIsolated { $0.note(listeners) } })
        listeners?.adopt(configuration.health.listeners)
        agent.assumeIsolated { agent in
            agent.countLostRecords(by: lostRecords)
            agent.confinedTo = confinement?.directories
            // What a burst of requests took, a slow Vault's for one, is not kept for good.
            agent.whenBeating = { vta_give_memory_back() }
            agent.whenOutdated = { error in
                self.log.error("A new process is needed", error: error)
                self.assumeIsolated { $0.finish(.failure(error)) }
            }
        }
        Task(executorPreference: loop) {
            do throws(AgentError) {
                try await agent.start(configuration)
                await self.started(loaded, version: version)
            } catch {
                await agent.settle()
                await self.startFailed(error)
            }
        }
    }

    private func started(_ loaded: LoadedConfiguration, version: String) {
        guard !isStopping else { return }
        watch(loaded)
        log.notice(
            "Started", metadata: ["version": "\(version)", "tokens": "\(loaded.configuration.tokens.count)"])
    }

    /// A start that was told to stop ends with the stop.
    private func startFailed(_ error: AgentError) {
        if !isStopping { finish(.failure(error)) }
    }

    /// Holds the locks of the configuration in force and that beside a new status file, which may not be another agent's.
    /// A reload waits for nothing but its own disks.
    private func lock(besides newStatusFile: String?) async throws(AgentError) {
        let paths = Set([statusFile, newStatusFile].flatMap { AgentLock.paths(stateDirectory, $0) })
        try await reading.run { [locks] () throws(AgentError) in try locks.hold(paths.sorted()) }
    }

    private func letGoOfOtherLocks() {
        let paths = AgentLock.paths(stateDirectory, statusFile)
        // One that cannot be had now could not be had before.
        reading.submit { [locks] in try? locks.hold(paths) }
    }

    /// Has the configuration read anew when its file is another one, where it says so.
    private func watch(_ loaded: LoadedConfiguration) {
        guard loaded.configuration.reloadOnChange else {
            configurationWatch?.assumeIsolated { $0.stop() }
            configurationWatch = nil
            return
        }
        if let configurationWatch {
            configurationWatch.assumeIsolated { $0.read(loaded.digest) }
            return
        }
        guard loaded.canBeReadAgain else {
            log.warning(
                "reload_on_change has no effect: the configuration cannot be read again",
                metadata: ["source": "\(loaded.path)"])
            return
        }
        do throws(SystemFault) {
            let watch = try ConfigurationWatch(loaded.path, known: loaded.digest, on: loop, disk: reading, log: log) {
                [weak self] in self?.assumeIsolated { $0.configurationChanged() }
            }
            try watch.assumeIsolated { watch in Result { () throws(SystemFault) in try watch.start() } }.get()
            configurationWatch = watch
        } catch {
            log.warning(
                "Changes of the configuration's file go unnoticed",
                metadata: [
                    "reason": "\(error.observed)",
                    "remedy": "\(error.isOfLimits ? error.limitRemedy : "Raise fs.inotify.max_user_instances")",
                ])
        }
    }

    private func configurationChanged() {
        guard let agent else { return }
        guard !agent.assumeIsolated({ $0.isLoggedOut }) else {
            log.notice("The configuration's file has changed; logged out, so it is read when told to reload")
            return
        }
        log.notice("The configuration's file has changed")
        reloadNow()
    }

    private func warn(of loaded: LoadedConfiguration) {
        for warning in loaded.warnings { log.warning("Configuration is unwise", metadata: ["reason": "\(warning)"]) }
    }

    // MARK: Signals

    /// One of those that the service listens to. Once it stops it begins nothing more.
    func hear(_ number: Int32) {
        guard !isStopping else { return }
        switch number {
        case SIGHUP: reloadNow()
        case SIGUSR1: logInNow()
        case SIGUSR2: logOut()
        default: stop()
        }
    }

    private func logInNow() {
        log.notice("Told to log in anew")
        guard let agent else { return }
        Task(executorPreference: loop) { await agent.logInNow() }
    }

    private func logOut() {
        log.notice("Told to log out: revoking every token; a reload logs in anew")
        guard let agent else { return }
        Task(executorPreference: loop) { await agent.logOut() }
    }

    private func reloadNow() {
        guard !isReloading else {
            reloadAgain = true
            return
        }
        refusals = 0
        log.notice("Reading the configuration anew")
        beginReload()
    }

    private func beginReload() {
        if let nextTry { loop.cancel(nextTry) }
        nextTry = nil
        guard let agent, !isStopping else { return }
        isReloading = true
        Task(executorPreference: loop) {
            await self.reload(agent)
        }
    }

    private func reload(_ agent: Agent) async {
        let isRepeated = refusals > 0
        await agent.expectReload(isRepeated: isRepeated)
        let loaded: LoadedConfiguration
        do throws(AgentError) {
            loaded = try await reading.run(load)
            if let confinement { try loaded.configuration.requireWrites(only: confinement.directories) }
            try await lock(besides: loaded.configuration.health.statusFile)
            guard !isStopping else { return }
        } catch {
            await agent.refuseReload(error, isRepeated: isRepeated)
            await agent.settle()
            reloadEnded(error)
            return
        }
        var refusal: AgentError?
        do throws(AgentError) {
            let plan = try await agent.reload(loaded.named, isRepeated: isRepeated) {
                await self.moveListeners(to: loaded.configuration.health.listeners)
            }
            statusFile = loaded.configuration.health.statusFile
            await agent.settle()
            if !isStopping { reloaded(loaded, by: plan) }
        } catch {
            refusal = error
            await agent.settle()
        }
        letGoOfOtherLocks()
        reloadEnded(refusal)
    }

    /// Whoever hears that the reload is done finds them; a disk that hangs is not waited for.
    private func moveListeners(to wanted: [String: HealthPages]) async {
        guard let listeners, !isStopping else { return }
        let _: Void? = await loop.answer(within: Self.longestMove) { done in
            listeners.adopt(wanted) { done(()) }
        }
    }

    private static let longestMove: Duration = .seconds(2)

    /// All that is to follow once a new configuration is in force.
    private func reloaded(_ loaded: LoadedConfiguration, by plan: ReloadPlan) {
        adopt(loaded.configuration.health)
        watch(loaded)
        if loaded.configuration.stateDirectory != stateDirectory {
            log.warning("The new state_directory counts from the next restart on; until then the old one is used")
        }
        if loaded.configuration.confineTo != confineTo {
            log.warning("The new confine_to counts from the next restart on; until then the old one does")
        }
        warn(of: loaded)
        for entry in plan.entries where entry.change != .keep {
            log.notice("Token \(entry.change.words)", metadata: ["token": "\(entry.token)"])
        }
        log.notice("New configuration in force", metadata: ["tokens": "\(loaded.configuration.tokens.count)"])
    }

    private func reloadEnded(_ error: AgentError?) {
        isReloading = false
        guard !isStopping else { return }
        if let error { refused(error) }
        if reloadAgain {
            reloadAgain = false
            reloadNow()
        }
    }

    private func refused(_ error: AgentError) {
        refusals += 1
        // What the file itself says no look at the machine changes, and what groups this process has only another one.
        let mayBeCured = ![.configurationInvalid, .groupsOutdated, .cancelled].contains(error.code)
        let pause = configurationWatch != nil && mayBeCured ? AwaitedTokens.pause(after: refusals) : nil
        if AwaitedTokens.tells(ofLook: refusals) || pause == nil {
            log.error(
                "New configuration refused, the old one stays in force", error: error,
                metadata: pause.map { ["next": "tried again in \($0.text)"] } ?? [:])
        }
        guard let pause else { return }
        nextTry = loop.schedule(at: loop.now + pause) { [weak self] in
            self?.assumeIsolated { session in
                session.nextTry = nil
                guard let agent = session.agent, !session.isReloading else { return }
                // Told to keep no token: a reload is then somebody's to ask for.
                if !agent.assumeIsolated({ $0.isLoggedOut }) { session.beginReload() }
            }
        }
    }

    private func stop() {
        isStopping = true
        guard let agent else {
            finish(.success(()))
            return
        }
        log.notice("Stopping")
        Task(executorPreference: loop) {
            await agent.stop { self.assumeIsolated { $0.finish(.success(())) } }
        }
        _ = loop.schedule(at: loop.now + AgentProcess.longestStop) { self.assumeIsolated { $0.finish(.success(())) } }
    }

    /// The end, once names of sockets are gone: also of those that the disk still makes. One that hangs is not waited for.
    private func finish(_ result: Result<Void, AgentError>) {
        if let nextTry { loop.cancel(nextTry) }
        nextTry = nil
        configurationWatch?.assumeIsolated { $0.stop() }
        configurationWatch = nil
        listeners?.stop()
        listeners = nil
        let (disk, queue, end) = (disk, loop.queue, end)
        disk.submit { queue.async { disk.submit { end(result) } } }
        _ = loop.schedule(at: loop.now + Self.longestTidying) { end(result) }
    }

    /// With ``AgentProcess/longestStop`` within the 5 s that a stop may take.
    private static let longestTidying: Duration = .milliseconds(500)
}
