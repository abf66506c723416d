// AgentService: the agent on the real machine: event loop, libcurl, signals, systemd.

package import AgentRuntime
private import CLinux
private import ChildProcess
package import Configuration
private import Crypto
package import Diagnosis
private import Dispatch
package import EventLoop
private import Glibc
private import HTTPClient
package import Logging
package import ServiceHealth
private import Synchronization
private import SystemCalls
private import Timekeeping
private import TokenSinks

/// The process's ways to run the agent. Each blocks the calling thread, which must be the main one, until it is over.
package enum AgentProcess {
    /// Runs until SIGTERM or SIGINT. SIGHUP reads the configuration anew by `reload`; once it is in force, `adopt` is told.
    /// SIGUSR1 logs in anew, SIGUSR2 logs out. `lostRecords`: so many records of the log were lost, for the metrics.
    ///
    /// Returns when all is stopped, within 5 s of the signal; throws what makes the start impossible.
    package static func run(
        _ loaded: LoadedConfiguration, environment: [String: String], version: String, log: Logger,
        lostRecords: @escaping @Sendable () -> Int,
        reload: @escaping @Sendable () throws(AgentError) -> LoadedConfiguration,
        adopt: @escaping @Sendable (HealthSettings) -> Void
    ) throws(AgentError) {
        vta_share_one_heap()
        try CryptoLibrary.check()
        // For good: the end is near when it has been heard, and is not to be hurried into another.
        ProcessSignals.hold(ProcessSignals.ending)
        let confinement = try confine(loaded.configuration.confineTo, log)
        let firstProcess = FirstProcess()
        let loop = try EventLoop.ofMainThread()
        let end = Outcome<Void>(on: loop)
        let session = ServiceSession(
            loop: loop, confinement: confinement, log: log, end: { end.set($0) }, load: reload, adopt: adopt)
        loop.queue.async {
            do throws(SystemFault) {
                try firstProcess?.reapOrphans(on: loop)
            } catch {
                log.warning("Orphans are not reaped", metadata: ["reason": "\(error.observed)"])
            }
            session.assumeIsolated {
                $0.start(loaded, environment: environment, version: version, lostRecords: lostRecords)
            }
        }
        defer { RunningChildren.endAll() }
        try end.wait()
    }

    /// Before the first thread is started. Nil: nothing is asked for, or this kernel cannot.
    private static func confine(_ directories: [String], _ log: Logger) throws(AgentError) -> Confinement? {
        guard !directories.isEmpty else { return nil }
        let names = directories.joined(separator: ", ")
        guard let confinement = try Confinement.apply(to: directories) else {
            log.warning(
                "Not confined: this kernel has no Landlock, or a filter of system calls keeps it from the agent",
                metadata: [
                    "reason": "landlock_create_ruleset: \(errorText(errno))", "confine_to": "\(names)",
                    "remedy": "Linux 5.13 or newer, landlock among lsm= at boot",
                ])
            return nil
        }
        log.notice("Confined", metadata: ["confine_to": "\(names)", "landlock": "\(confinement.version)"])
        return confinement
    }

    /// Puts every token into its sinks once and returns what it is. An earlier run's token that is still good is taken over.
    ///
    /// Passing failures are retried until `timeout`; the last one is then thrown, others at once.
    package static func logIn(
        _ loaded: LoadedConfiguration, environment: [String: String], version: String, timeout: Duration, log: Logger
    ) throws(AgentError) -> [LoginSummary] {
        try onLoop { (loop) throws(AgentError) in
            let (decisions, decision) = AsyncStream<LoginDecision>.makeStream()
            let agent = Agent(
                surroundings: .machine(
                    loaded.configuration, loop: loop, environment: environment,
                    sinks: LoginSinks(factory: SinkFactory(loop: loop, log: log, watches: false)),
                    reporter: LoginReporter { decision.yield($0) }, beatInterval: nil, version: version, log: log))
            try await agent.start(loaded.configuration)
            _ = loop.schedule(at: loop.now + timeout) { decision.yield(.timedOut) }
            for await decided in decisions {
                switch decided {
                case .served:
                    await agent.settle()
                    return await agent.summaries()
                case .hopeless(let error): throw error
                case .timedOut: throw LoginDecision.failure(after: timeout, await agent.health())
                }
            }
            // Told to stop.
            await agent.stop {}
            return await agent.summaries()
        }
    }

    /// Runs `body` on the main thread's event loop until its end.
    ///
    /// SIGTERM and SIGINT cancel its task; when that has let go of what it was about, at the latest after 4 s, the process
    /// ends by the signal.
    package static func onLoop<Result: Sendable>(
        _ body: @escaping @Sendable (EventLoop) async throws(AgentError) -> Result
    ) throws(AgentError) -> Result {
        try CryptoLibrary.check()
        ProcessSignals.hold(ProcessSignals.ending)
        defer { ProcessSignals.release(ProcessSignals.ending) }
        let loop = try EventLoop.ofMainThread()
        let outcome = Outcome<Result>(on: loop)
        let task = Task(executorPreference: loop) {
            do throws(AgentError) {
                outcome.set(.success(try await body(loop)))
            } catch {
                outcome.set(.failure(error))
            }
        }
        let interruption = Interruption()
        loop.queue.async {
            interruption.listen(on: loop) {
                task.cancel()
                _ = loop.schedule(at: loop.now + longestStop) {
                    outcome.set(.failure(AgentError(.cancelled, "told to stop")))
                }
            }
        }
        let result = Swift.Result { () throws(AgentError) in try outcome.wait() }
        RunningChildren.endAll()
        if let number = interruption.signal { vta_end_by_signal(number) }
        return try result.get()
    }

    /// Whatever hangs: systemd's own patience is longer, and stopping may take 5 s.
    static let longestStop: Duration = .seconds(4)
}

/// Remembers by which signal a command was told to stop.
private final class Interruption: Sendable {
    private let state = Mutex<(listener: SignalListener?, signal: Int32?)>((nil, nil))

    var signal: Int32? { state.withLock { $0.signal } }

    /// On the loop's queue. Where the kernel does not grant it, the signals wait until the loop's work is done.
    func listen(on loop: EventLoop, _ whenInterrupted: @escaping @Sendable () -> Void) {
        let listener = try? SignalListener(to: ProcessSignals.ending, on: loop) { [weak self] number in
            self?.state.withLock { $0.signal = $0.signal ?? number }
            whenInterrupted()
        }
        state.withLock { $0.listener = listener }
    }
}

/// What the main thread runs its loop for. Once it is there the loop stands still.
final class Outcome<Value: Sendable>: Sendable {
    private let loop: EventLoop
    private let value = Mutex<Result<Value, AgentError>?>(nil)

    init(on loop: EventLoop) {
        self.loop = loop
    }

    /// The first result counts. From any thread.
    func set(_ result: Result<Value, AgentError>) {
        value.withLock { $0 = $0 ?? result }
        // The loop looks once it has done something.
        loop.queue.async {}
    }

    func wait() throws(AgentError) -> Value {
        loop.run { value.withLock { $0 != nil } }
        guard let result = value.withLock({ $0 }) else {
            throw AgentError(.internalFault, "woken without a result")
        }
        return try result.get()
    }
}
