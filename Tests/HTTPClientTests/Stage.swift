// Test support: an actor on an event loop, as the agent's runtime is one, with a transport to try.

import Dispatch
import EventLoop
import Glibc
import HTTPClient
import Logging

/// Runs the tests' bodies on the loop's queue.
actor Stage {
    nonisolated let loop: EventLoop
    nonisolated let transport: CurlTransport

    /// - Parameter idleTime: by default longer than any test, so that no connection ends because a machine is slow.
    init(idleTime: Duration = .seconds(3_600)) throws {
        loop = try EventLoop(label: "test")
        let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        transport = CurlTransport(loop: loop, log: log, idleTime: idleTime)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private func perform<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
        try await body()
    }

    /// On the actor, in a task that prefers the loop, as everything in the agent.
    /// A cancellation is passed on.
    nonisolated func run<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let task = Task(executorPreference: loop) { try await self.perform(body) }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Sends one request and gives what came of it.
    nonisolated func send(_ request: HTTPRequest) async throws -> Result<HTTPReply, HTTPFailure> {
        let transport = self.transport
        return try await run {
            do throws(HTTPFailure) {
                return .success(try await transport.send(request))
            } catch {
                return .failure(error)
            }
        }
    }

    nonisolated func failure(of request: HTTPRequest) async throws -> HTTPFailure? {
        switch try await send(request) {
        case .success: nil
        case .failure(let failure): failure
        }
    }
}

func pause(milliseconds: UInt32) {
    usleep(milliseconds * 1_000)
}
