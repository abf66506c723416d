// FileSystem: calls that may wait for a disk happen here, so that a slow one does not stop the agent's queue.

private import CLinux
package import Diagnosis
private import Dispatch
private import Synchronization

/// Does one thing after the other, on a thread of its own, which it has while there is work and a little longer.
///
/// Not a queue of Dispatch's: its threads serve all its queues by turns, so that as many stay as ever worked at once, and where
/// the kernel grants none, whoever submits waits for one, for ever.
package final class BlockingQueue: Sendable {
    /// How long the thread stays without work: whoever has something often is not to begin one each time.
    private static let rest = DispatchTimeInterval.seconds(1)

    private enum Worker { case absent, atWork, resting }

    private struct State {
        var worker = Worker.absent
        /// In the order of their coming.
        var waiting: [@Sendable () -> Void] = []
    }

    private let name: String
    private let state = Mutex(State())
    private let bell = DispatchSemaphore(value: 0)

    /// `name` is the thread's, of which the kernel keeps 15 bytes; `ps -L -o comm` shows it.
    package init(name: String) {
        self.name = name
    }

    /// Runs `body` after all that was given before; the caller goes on, on its own executor, with the result.
    package func run<Result: Sendable>(
        _ body: @escaping @Sendable () throws(AgentError) -> Result
    ) async throws(AgentError) -> Result {
        let outcome = Outcome<Result>()
        await withCheckedContinuation { continuation in
            submit {
                let found = Swift.Result { () throws(AgentError) in try body() }
                outcome.value.withLock { $0 = found }
                continuation.resume()
            }
        }
        return try outcome.value.withLock(\.self).get()
    }

    /// Runs `body` after all that was given before, and does not wait for it; but where the kernel grants no thread, the caller
    /// does what there is to do: an agent that a disk may hold up is better than one that writes no more.
    package func submit(_ body: @escaping @Sendable () -> Void) {
        let worker = state.withLock { state in
            state.waiting.append(body)
            defer { state.worker = .atWork }
            return state.worker
        }
        switch worker {
        case .atWork: break
        case .resting: bell.signal()
        case .absent: if !startThread() { while workOff(then: .absent) {} }
        }
    }

    /// False where the kernel grants none.
    private func startThread() -> Bool {
        let queue = unsafe Unmanaged.passRetained(self)
        // SAFETY: the name is copied; the thread takes over the retained queue, which is released here where there is none.
        let problem = unsafe vta_start_thread(
            name, { queue in unsafe Unmanaged<BlockingQueue>.fromOpaque(queue).takeRetainedValue().serve() },
            queue.toOpaque())
        if problem != 0 { unsafe queue.release() }
        return problem == 0
    }

    /// The thread's life.
    private func serve() {
        while true {
            while workOff(then: .resting) {}
            if bell.wait(timeout: .now() + Self.rest) == .timedOut, leaves() { return }
        }
    }

    /// Does all that waits; false where nothing does, and `worker` is in force.
    private func workOff(then worker: Worker) -> Bool {
        let bodies = state.withLock { state in
            if state.waiting.isEmpty { state.worker = worker }
            defer { state.waiting = [] }
            return state.waiting
        }
        for body in bodies { body() }
        return !bodies.isEmpty
    }

    /// False where something has come in the last moment, for which the bell rings.
    private func leaves() -> Bool {
        let hasLeft = state.withLock { state in
            guard state.worker == .resting else { return false }
            state.worker = .absent
            return true
        }
        if !hasLeft { bell.wait() }
        return hasLeft
    }
}

/// What goes from the queue to the task that waits for it. Not by the continuation: where that is resumed before the task
/// awaits it, the thread sanitizer takes its value for a race.
private final class Outcome<Success: Sendable>: Sendable {
    let value = Mutex<Result<Success, AgentError>>(.failure(AgentError(.internalFault, "the queue gave no result")))
}
