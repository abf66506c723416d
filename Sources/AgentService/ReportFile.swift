// AgentService: a file that tells others of the agent, written off its queue: a disk that hangs holds up nothing else.

import Diagnosis
import FileSystem
import Logging
import ServiceHealth
import Synchronization

/// Of what is to be written the newest counts. What cannot be written keeps no token from anyone: it is logged.
final class ReportFile<File: Sendable>: Sendable {
    let path: String
    private let file: File
    /// "Status file", say.
    private let name: String
    private let log: Logger
    private let queue: NewestOnlyQueue
    private let state = Mutex(State())

    private struct State {
        var repeated = RepeatedFailures()
        /// The write that the last beat found under way.
        var underWay: Int?
        /// It was at the beat before, too, and that was said.
        var isOverdue = false
        var timeToWrite: Duration = .zero
    }

    init(_ file: File, at path: String, name: String, log: Logger) {
        (self.path, self.file, self.name, self.log) = (path, file, name, log)
        queue = NewestOnlyQueue(label: "vault-token-agent.report")
    }

    func write(_ body: @escaping @Sendable (File) throws(AgentError) -> Void) {
        queue.submit { [self] in carryOut(body) }
    }

    /// The same for what any write does as well.
    func touch(_ body: @escaping @Sendable (File) throws(AgentError) -> Void) {
        queue.submit(orElse: true) { [self] in carryOut(body) }
    }

    /// Calls `done`, from any thread, once all is written.
    func whenSettled(_ done: @escaping @Sendable () -> Void) {
        queue.whenIdle(done)
    }

    /// Of the last time.
    var timeToWrite: Duration { state.withLock(\.timeToWrite) }

    private func carryOut(_ body: (File) throws(AgentError) -> Void) {
        let began = ContinuousClock.now
        let outcome = Result { () throws(AgentError) in try body(file) }
        let (wasOverdue, attempts) = state.withLock { state in
            defer { (state.isOverdue, state.timeToWrite) = (false, ContinuousClock.now - began) }
            switch outcome {
            case .success:
                _ = state.repeated.recovered("write")
                return (state.isOverdue, nil as Int?)
            case .failure(let error): return (state.isOverdue, state.repeated.failed("write", error.code))
            }
        }
        if wasOverdue { log.notice("\(name) is written again", metadata: ["path": "\(path)"]) }
        guard case .failure(let error) = outcome, let attempts else { return }
        log.error("\(name) could not be written", error: error, metadata: ["attempts": "\(attempts)"])
    }

    /// The agent's queue beats: what takes from one beat to the next hangs.
    func beat() {
        let underWay = queue.underWay
        let isNews = state.withLock { state in
            defer { state.underWay = underWay }
            guard underWay != nil, underWay == state.underWay, !state.isOverdue else { return false }
            state.isOverdue = true
            return true
        }
        guard isNews else { return }
        log.warning(
            "\(name) is not written: its disk does not answer",
            metadata: ["path": "\(path)", "remedy": "See whether its file system still answers"])
    }
}
