// AgentRuntime: the agent on the real machine: event loop, libcurl, signals, systemd.

package import Configuration
package import Diagnosis
private import Dispatch
private import EventLoop
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
        let end = Ending()
        let loop = try EventLoop(label: "vault-token-agent")
        let session = ServiceSession(loop: loop, log: log, end: end, reload: reload)
        loop.queue.async {
            session.assumeIsolated { $0.start(loaded, environment: environment, version: version) }
        }
        try end.wait()
    }
}

/// What the main thread waits for.
final class Ending: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    private let error = Mutex<AgentError?>(nil)

    func end(_ error: AgentError? = nil) {
        self.error.withLock { $0 = $0 ?? error }
        semaphore.signal()
    }

    func wait() throws(AgentError) {
        semaphore.wait()
        if let error = error.withLock({ $0 }) { throw error }
    }
}
