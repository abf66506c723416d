// SimulatedWorld: test support. The real runtime on a virtual clock, in a world that fails by a seed's choice.
// This file: the executor and the clocks, without threads and without waiting.

import EventLoop
package import Timekeeping
import TokenLifecycle

/// Runs jobs one after another on the calling thread and lets time pass only when nothing is left to do.
///
/// Everything happens on the thread that calls ``run(until:)``; that is why it may claim to be Sendable.
package final class SimulatedLoop: SerialExecutor, TaskExecutor, Timekeeper, @unchecked Sendable {
    private var jobs: [UnownedJob] = []
    private var nextJob = 0
    private var alarms = AlarmQueue()
    /// What is to happen once so many jobs have run, between that one and the next.
    var interruption: (stepsLeft: Int, body: () -> Void)?
    /// When it happened last.
    private(set) var interruptedAt = Instant.distantPast
    /// Time since boot; counts in suspend too.
    private var time = Instant(nanoseconds: 1_000_000_000_000)
    /// How often the clock was read. Whoever looks at a token's state reads it, so it tells how much is done.
    private(set) var readings = 0
    /// What the machine's calendar clock is off by.
    package var clockError: Duration = .zero
    /// Nanoseconds that the calendar clock gains in a second; negative: loses.
    var clockDrift: Int64 = 0
    /// A busy machine: alarms ring up to so much too late.
    var mostLateness: Duration = .zero
    private var generator = SeededGenerator(seed: 0)
    private let bootedAt = WallTime(secondsSince1970: 1_790_000_000)

    package init() {}

    package var now: Instant {
        readings += 1
        return time
    }

    /// What a right clock would show.
    package var trueTime: WallTime {
        bootedAt + .nanoseconds(time.nanoseconds)
    }

    package var wallTime: WallTime {
        readings += 1
        return trueTime + clockError + .nanoseconds(time.nanoseconds / 1_000_000_000 * clockDrift)
    }

    package func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        let lateness = mostLateness > .zero ? generator.share(of: mostLateness, between: 0, and: 1) : .zero
        return alarms.insert(at: moment + lateness, body)
    }

    package func cancel(_ alarm: Alarm) {
        alarms.remove(alarm)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        jobs.append(UnownedJob(job))
    }

    package func checkIsolated() {}

    package func isIsolatingCurrentContext() -> Bool? { true }

    /// Runs all that is ready, and lets time pass from alarm to alarm until `end`.
    package func run(until end: Instant) {
        runJobs()
        while let moment = alarms.earliest, moment <= end {
            time = max(time, moment)
            while let body = alarms.popDue(at: time) {
                body()
                runJobs()
            }
        }
        time = max(time, end)
    }

    /// The machine sleeps: time passes and nothing happens.
    package func suspend(for duration: Duration) {
        time = time + duration
    }

    private func countStep() {
        guard let (stepsLeft, body) = interruption else { return }
        interruption = stepsLeft > 0 ? (stepsLeft - 1, body) : nil
        guard stepsLeft == 0 else { return }
        interruptedAt = time
        body()
    }

    private func runJobs() {
        while nextJob < jobs.count {
            countStep()
            let job = jobs[nextJob]
            nextJob += 1
            // SAFETY: the executor outlives its jobs: the world that owns it runs them to their end.
            unsafe job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
        }
        jobs.removeAll(keepingCapacity: true)
        nextJob = 0
    }
}
