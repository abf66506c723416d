// FileSystem: a place that is written again and again, by a disk that may take its time: what is outdated is not written.

private import Synchronization

/// Does one piece of work at a time, off the agent's queue. Of what is to be done next only the newest waits its turn.
package final class NewestOnlyQueue: Sendable {
    private struct State {
        var isWorking = false
        /// Another one whenever a piece of work begins or ends.
        var number = 0
        var next: (@Sendable () -> Void)?
        var waiting: [@Sendable () -> Void] = []
    }

    private let queue: BlockingQueue
    private let state = Mutex(State())

    /// `name`: as a ``BlockingQueue`` has it.
    package init(name: String) {
        queue = BlockingQueue(name: name)
    }

    /// Runs `body` as soon as what is being done has ended, in the place of whatever waits for that. `orElse`: what waits
    /// serves as well, and stays.
    package func submit(orElse: Bool = false, _ body: @escaping @Sendable () -> Void) {
        let begins = state.withLock { state in
            if orElse, state.next != nil { return false }
            state.next = body
            defer { state.isWorking = true }
            return !state.isWorking
        }
        if begins { queue.submit { [self] in work() } }
    }

    private func work() {
        while let body = takeNext() { body() }
    }

    private func takeNext() -> (@Sendable () -> Void)? {
        let (body, ended) = state.withLock { state in
            state.number += 1
            guard let body = state.next else {
                defer { (state.isWorking, state.waiting) = (false, []) }
                return (nil as (@Sendable () -> Void)?, state.waiting)
            }
            state.next = nil
            return (body, [])
        }
        for done in ended { done() }
        return body
    }

    /// Calls `done`, from any thread, once nothing is to be done any more; at once where that is so.
    package func whenIdle(_ done: @escaping @Sendable () -> Void) {
        let isIdle = state.withLock { state in
            if state.isWorking { state.waiting.append(done) }
            return !state.isWorking
        }
        if isIdle { done() }
    }

    /// Names the piece of work that is being done: it is the same one where the number is the same. Nil: none is.
    package var underWay: Int? {
        state.withLock { $0.isWorking ? $0.number : nil }
    }
}
