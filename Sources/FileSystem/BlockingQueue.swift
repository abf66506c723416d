// FileSystem: calls that may wait for a disk happen here, so that a slow one does not stop the agent's queue.

package import Diagnosis
private import Dispatch
private import Synchronization

/// A serial queue of its own. It has no target: a global queue would cost a wake-up each second for ever.
package struct BlockingQueue: Sendable {
    private let queue: DispatchQueue

    package init(label: String) {
        queue = DispatchQueue(label: label)
    }

    /// Runs `body` after all that was given before; the caller goes on, on its own executor, with the result.
    package func run<Result: Sendable>(
        _ body: @escaping @Sendable () throws(AgentError) -> Result
    ) async throws(AgentError) -> Result {
        let outcome = Outcome<Result>()
        await withCheckedContinuation { continuation in
            queue.async {
                let found = Swift.Result { () throws(AgentError) in try body() }
                outcome.value.withLock { $0 = found }
                continuation.resume()
            }
        }
        return try outcome.value.withLock(\.self).get()
    }

    /// Runs `body` after all that was given before, and does not wait for it.
    package func submit(_ body: @escaping @Sendable () -> Void) {
        queue.async(execute: body)
    }
}

/// What goes from the queue to the task that waits for it. Not by the continuation: where that is resumed before the task
/// awaits it, the thread sanitizer takes its value for a race.
private final class Outcome<Success: Sendable>: Sendable {
    let value = Mutex<Result<Success, AgentError>>(.failure(AgentError(.internalFault, "the queue gave no result")))
}
