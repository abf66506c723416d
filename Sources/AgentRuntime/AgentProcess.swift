// AgentRuntime: the agent on the real machine: event loop, libcurl, signals, systemd.

package import Configuration
package import Diagnosis
private import Dispatch
package import EventLoop
private import Glibc
private import HTTPClient
package import Logging
private import ServiceHealth
private import Synchronization
private import Timekeeping
private import TokenSinks

/// The process's ways to run the agent. Each blocks the calling thread, which must be the main one, until it is over.
package enum AgentProcess {
    /// Runs until SIGTERM or SIGINT. SIGHUP reads the configuration anew by `reload`; SIGUSR1 logs in anew.
    ///
    /// Returns when all is stopped, within 5 s of the signal; throws what makes the start impossible.
    package static func run(
        _ loaded: LoadedConfiguration, environment: [String: String], version: String, log: Logger,
        reload: @escaping @Sendable () throws(AgentError) -> LoadedConfiguration
    ) throws(AgentError) {
        let end = Outcome<Void>()
        let loop = try EventLoop(label: "vault-token-agent")
        let session = ServiceSession(loop: loop, log: log, end: end, reload: reload)
        loop.queue.async {
            session.assumeIsolated { $0.start(loaded, environment: environment, version: version) }
        }
        try end.wait()
    }

    /// Puts every token into its sinks once and returns what it is. An earlier run's token that is still good is taken over.
    ///
    /// Passing failures are retried until `timeout`; the last one is then thrown, others at once.
    package static func logIn(
        _ loaded: LoadedConfiguration, environment: [String: String], version: String, timeout: Duration, log: Logger
    ) throws(AgentError) -> [LoginSummary] {
        try onLoop { (loop) throws(AgentError) in
            let (decisions, decision) = AsyncStream<AgentError?>.makeStream()
            let agent = Agent(
                surroundings: .machine(
                    loaded.configuration, loop: loop, environment: environment,
                    sinks: LoginSinks(factory: SinkFactory(loop: loop, log: log)),
                    reporter: LoginReporter { decision.yield($0) }, beatInterval: nil, version: version, log: log))
            try await agent.start(loaded.configuration)
            _ = loop.schedule(at: loop.now + timeout) {
                decision.yield(
                    AgentError(.vaultUnavailable, "no token within \(timeout.text)", remedy: "The log says what failed")
                )
            }
            for await error in decisions {
                if let error { throw error }
                break
            }
            return await agent.summaries()
        }
    }

    /// Runs `body` on an event loop of its own and waits for its end.
    package static func onLoop<Result: Sendable>(
        _ body: @escaping @Sendable (EventLoop) async throws(AgentError) -> Result
    ) throws(AgentError) -> Result {
        let loop = try EventLoop(label: "vault-token-agent")
        let outcome = Outcome<Result>()
        Task(executorPreference: loop) {
            do throws(AgentError) {
                outcome.set(.success(try await body(loop)))
            } catch {
                outcome.set(.failure(error))
            }
        }
        return try outcome.wait()
    }
}

/// What one thread waits for while the loop works on it.
final class Outcome<Value: Sendable>: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    private let value = Mutex<Result<Value, AgentError>?>(nil)

    /// The first result counts.
    func set(_ result: Result<Value, AgentError>) {
        value.withLock { $0 = $0 ?? result }
        semaphore.signal()
    }

    func wait() throws(AgentError) -> Value {
        semaphore.wait()
        guard let result = value.withLock({ $0 }) else {
            throw AgentError(.internalFault, "woken without a result")
        }
        return try result.get()
    }
}
