// Timekeeping: a wait that comes to an end even where what is waited for does not.

private import Synchronization

extension Timekeeper {
    /// What `begin` hands over by `done`, from any thread; nil where that takes longer than `limit`. What comes later is
    /// thrown away. On the agent's queue only.
    package func answer<Value: Sendable>(
        within limit: Duration, _ begin: (_ done: @escaping @Sendable (Value) -> Void) -> Void
    ) async -> Value? {
        await withCheckedContinuation { continuation in
            let only = OnlyOnce(continuation)
            let alarm = schedule(at: now + limit) { only.end(nil) }
            begin { value in
                only.end(value)
                cancel(alarm)
            }
        }
    }
}

/// Resumes one task, for whoever comes first.
private final class OnlyOnce<Value: Sendable>: Sendable {
    private let waiting: Mutex<CheckedContinuation<Value?, Never>?>

    init(_ continuation: CheckedContinuation<Value?, Never>) {
        waiting = Mutex(continuation)
    }

    func end(_ value: Value?) {
        waiting.withLock { $0.take() }?.resume(returning: value)
    }
}
