// AWSIdentity: one look-up for all who ask at the same time.

internal import Diagnosis

/// Lives on the agent's queue, as its users do.
final class Flight<Value: Sendable> {
    private var isUnderWay = false
    private var waiting: [CheckedContinuation<Result<Value, AgentError>?, Never>] = []

    /// What `body` gives; or, where one is under way, what that one gives. One that was called off says nothing to those who
    /// waited for it: the next of them begins anew.
    func share(
        _ body: () async throws(AgentError) -> Value
    ) async throws(AgentError) -> Value {
        while isUnderWay {
            let shared = await withCheckedContinuation { waiting.append($0) }
            if let shared { return try shared.get() }
            if Task.isCancelled { throw AgentError(.cancelled, "the look-up with AWS was called off") }
        }
        isUnderWay = true
        let result: Result<Value, AgentError>
        do throws(AgentError) {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        isUnderWay = false
        let waited = waiting
        waiting = []
        let isCalledOff = if case .failure(let error) = result { error.code == .cancelled } else { false }
        for continuation in waited { continuation.resume(returning: isCalledOff ? nil : result) }
        return try result.get()
    }
}
