// Test support: an actor whose executor is an event loop, as the agent's runtime is one.

import EventLoop

actor LoopActor {
    nonisolated let loop: EventLoop

    init() throws {
        loop = try EventLoop(label: "test")
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private func perform<Value: Sendable>(_ body: @Sendable (EventLoop) async throws -> Value) async throws -> Value {
        try await body(loop)
    }

    /// Runs `body` on the actor, in a task that prefers the loop.
    nonisolated func run<Value: Sendable>(
        _ body: @escaping @Sendable (EventLoop) async throws -> Value
    ) async throws -> Value {
        let task = Task(executorPreference: loop) { try await self.perform(body) }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
