// TokenSinks: `on_change`: tells other programs that a token is another one.

internal import ChildProcess
package import Crypto
internal import Diagnosis
internal import EventLoop
internal import FileSystem
internal import Glibc
internal import Logging
internal import Timekeeping

/// Carries one `on_change` action out whenever it is told of a change. Lives on the event loop.
///
/// Never two at once: a change during a run causes exactly one more run after it, however many changes there were.
package actor ChangeRunner {
    private nonisolated let loop: EventLoop
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private let action: ChangeAction
    private let environment: [String: String]
    private let launcher: ChildLauncher
    private let queue: BlockingQueue
    private let log: Logger
    /// What its command may know: what it was told of since the run began, and the time before. Between runs the last.
    private var secrets: [Secret] = []
    /// How many of them it was told of last.
    private var newest = 0
    private var run: Task<Void, Never>?
    private var mustRunAgain = false
    private var isClosed = false

    /// Bytes kept of a command's output, for the log.
    private static let outputLimit = 4 << 10

    init(
        _ action: ChangeAction, environment: [String: String], launcher: ChildLauncher, loop: EventLoop,
        queue: BlockingQueue, log: Logger
    ) {
        self.action = action
        self.environment = environment
        self.launcher = launcher
        self.loop = loop
        self.queue = queue
        self.log = log
    }

    /// There is another token. Returns at once; to be called on the loop's queue. What the command says is logged
    /// without `secrets` and those given the time before: it may well print the token.
    package nonisolated func tokenChanged(secrets: [Secret]) {
        assumeIsolated { $0.begin(secrets) }
    }

    /// Stops a command that runs, and begins no other. To be called on the loop's queue.
    package nonisolated func close() {
        assumeIsolated { runner in
            runner.isClosed = true
            if let run = runner.run { run.cancel() } else { runner.secrets = [] }
        }
    }

    private func begin(_ current: [Secret]) {
        guard !isClosed else { return }
        secrets = Array((current + secrets).prefix(4))
        newest = current.count
        guard run == nil else {
            mustRunAgain = true
            return
        }
        run = Task(executorPreference: loop) { await self.runUntilQuiet() }
    }

    private func runUntilQuiet() async {
        repeat {
            mustRunAgain = false
            do throws(AgentError) {
                try await perform()
            } catch  where error.code == .cancelled {
                break
            } catch {
                log.warning("on_change failed", metadata: ["reason": "\(error)", "code": "\(error.code.rawValue)"])
            }
        } while mustRunAgain && !isClosed
        run = nil
        secrets = isClosed ? [] : Array(secrets.prefix(newest))
    }

    private func perform() async throws(AgentError) {
        switch action {
        case .command(let arguments, let timeout):
            let outcome = try await launcher.run(
                ChildCommand(
                    arguments: arguments, environment: environment, timeout: timeout, outputLimit: Self.outputLimit))
            try report(outcome, of: arguments.first ?? "")
        case .signal(let number, let path):
            let process = try await queue.run { () throws(AgentError) in try PidFile(path: path).signal(number) }
            log.info("on_change signal sent", metadata: ["signal": "\(number)", "pid": "\(process)"])
        }
    }

    private func report(_ outcome: ChildOutcome, of program: String) throws(AgentError) {
        let words = [outcome.standardOutput, outcome.standardError].map { $0.logLine(without: secrets) }
            .filter { !$0.isEmpty }.joined(separator: " / ")
        let said = words.isEmpty ? "and said nothing" : "and said: \(words)"
        switch outcome.end {
        case .exited(0):
            log.info("on_change command done", metadata: ["program": "\(program)", "output": "\(words)"])
        case .exited(let status):
            throw AgentError(.commandFailed, "\(program) exited with status \(status) \(said)")
        case .signalled(let signal):
            throw AgentError(.commandFailed, "\(program) was ended by signal \(signal) \(said)")
        }
    }
}
