// FileSystem: calls that may wait for a disk happen here, so that a slow one does not stop the agent's queue.

package import Diagnosis
private import Dispatch

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
        let outcome: Swift.Result<Result, AgentError> = await withCheckedContinuation { continuation in
            queue.async {
                continuation.resume(returning: Swift.Result { () throws(AgentError) in try body() })
            }
        }
        return try outcome.get()
    }

    /// Runs `body` after all that was given before, and does not wait for it.
    package func submit(_ body: @escaping @Sendable () -> Void) {
        queue.async(execute: body)
    }
}
