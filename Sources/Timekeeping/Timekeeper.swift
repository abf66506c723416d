// Timekeeping: what the agent asks of a clock. The event loop answers with the machine's clocks, a simulation with its own.

/// Names one scheduled call, so that it can be called off.
package struct Alarm: Hashable, Sendable {
    package let identifier: UInt64

    package init(identifier: UInt64) {
        self.identifier = identifier
    }
}

/// The clocks and the alarm clock.
package protocol Timekeeper: Sendable {
    /// Time since boot, for expiry and waits.
    var now: Instant { get }

    /// Calendar time, for signatures and people.
    var wallTime: WallTime { get }

    /// How long the calling thread has computed, for what a piece of work costs. Waiting costs nothing.
    var processorTime: Duration { get }

    /// Calls `body` once, on the agent's queue, at `moment` or as soon after it as the queue is free; never before.
    func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm

    /// Calls off an alarm. One that has already rung, or is unknown, is ignored.
    func cancel(_ alarm: Alarm)
}

extension Timekeeper {
    /// None: a clock of its own, on which work takes no time.
    package var processorTime: Duration { .zero }

    /// Suspends until `moment`, or until the task is cancelled, whichever comes first.
    package func sleep(until moment: Instant) async {
        let sleeper = Sleeper()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard sleeper.begin(continuation) else { return }
                let alarm = schedule(at: moment) { sleeper.wake() }
                sleeper.onWake { cancel(alarm) }
            }
        } onCancel: {
            sleeper.wake()
        }
    }

    package func sleep(for duration: Duration) async {
        await sleep(until: now + duration)
    }
}
