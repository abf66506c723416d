// Timekeeping: the one-shot meeting of an alarm and a cancellation, which may come from any thread and in any order.

import Synchronization

/// Resumes one suspended task exactly once, whoever comes first.
final class Sleeper: Sendable {
    private struct State {
        var continuation: CheckedContinuation<Void, Never>?
        var awake = false
        var afterWake: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// False, and the task resumed at once, where `wake` came before.
    func begin(_ continuation: CheckedContinuation<Void, Never>) -> Bool {
        let asleep = state.withLock { state in
            if !state.awake { state.continuation = continuation }
            return !state.awake
        }
        if !asleep { continuation.resume() }
        return asleep
    }

    /// Has `body` called once awake: to call the alarm off when it was a cancellation that woke.
    func onWake(_ body: @escaping @Sendable () -> Void) {
        let late = state.withLock { state in
            if !state.awake { state.afterWake = body }
            return state.awake
        }
        if late { body() }
    }

    func wake() {
        let (continuation, afterWake) = state.withLock { state in
            defer { state = State(continuation: nil, awake: true, afterWake: nil) }
            return (state.continuation, state.afterWake)
        }
        afterWake?()
        continuation?.resume()
    }
}
