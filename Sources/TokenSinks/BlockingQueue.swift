// TokenSinks: calls that may wait for a disk happen here, so that a slow one does not stop the agent's queue.

internal import Diagnosis
internal import Dispatch

/// A serial queue of its own. It has no target: a global queue would cost a wake-up each second for ever.
struct BlockingQueue: Sendable {
    private let queue: DispatchQueue

    init(label: String) {
        queue = DispatchQueue(label: label)
    }

    /// Runs `body` after all that was given before; the caller goes on, on its own executor, with the result.
    func run<Result: Sendable>(
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
    func submit(_ body: @escaping @Sendable () -> Void) {
        queue.async(execute: body)
    }
}
