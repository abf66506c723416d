// AgentService: a file that tells others of the agent, written off its queue: a disk that hangs holds up nothing else.

private import CLinux
import Diagnosis
import FileSystem
private import Glibc
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
        var workOfWriting: Duration = .zero
    }

    init(_ file: File, at path: String, name: String, log: Logger) {
        (self.path, self.file, self.name, self.log) = (path, file, name, log)
        queue = NewestOnlyQueue(name: name)
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

    /// How long a processor was busy with it the last time.
    var workOfWriting: Duration { state.withLock(\.workOfWriting) }

    private func carryOut(_ body: (File) throws(AgentError) -> Void) {
        let began = vta_clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID)
        let outcome = Result { () throws(AgentError) in try body(file) }
        let work = Duration.nanoseconds(vta_clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID) - began)
        let (wasOverdue, attempts) = state.withLock { state in
            defer { (state.isOverdue, state.workOfWriting) = (false, work) }
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
