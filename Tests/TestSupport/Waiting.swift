// TestSupport: waiting on an event loop for what others bring about.

package import EventLoop
import Timekeeping

extension EventLoop {
    /// Whether it came true. Five minutes are for the slowest machine: nothing is decided by how soon.
    package func wait(until condition: @escaping @Sendable () -> Bool) async -> Bool {
        await Task(executorPreference: self) { [self] in
            let deadline = now + .seconds(300)
            while !condition(), now < deadline { await sleep(for: .milliseconds(20)) }
            return condition()
        }.value
    }
}
