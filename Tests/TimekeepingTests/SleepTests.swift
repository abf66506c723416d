// The meeting of an alarm and a cancellation, in every order and at the same time.

import Dispatch
import Synchronization
import Testing

@testable import Timekeeping

@Suite("A sleep")
struct SleepTests {
    /// A clock whose alarms the test rings.
    private final class HandClock: Timekeeper, Sendable {
        let now = Instant(nanoseconds: 1_000)
        let wallTime = WallTime(secondsSince1970: 0)
        private let state = Mutex<(set: [Alarm: (Instant, @Sendable () -> Void)], last: UInt64, off: Int)>(([:], 0, 0))
        /// Called with each alarm as it is set, before the setter knows its name.
        private let whenSet: @Sendable (HandClock) -> Void

        init(whenSet: @escaping @Sendable (HandClock) -> Void = { _ in }) {
            self.whenSet = whenSet
        }

        var waiting: [Instant] { state.withLock { $0.set.values.map(\.0) } }
        var calledOff: Int { state.withLock { $0.off } }

        func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
            let alarm = state.withLock { state in
                state.last += 1
                let alarm = Alarm(identifier: state.last)
                state.set[alarm] = (moment, body)
                return alarm
            }
            whenSet(self)
            return alarm
        }

        func cancel(_ alarm: Alarm) {
            state.withLock { state in
                if state.set.removeValue(forKey: alarm) != nil { state.off += 1 }
            }
        }

        func ringAll() {
            let bodies = state.withLock { state in
                defer { state.set = [:] }
                return state.set.values.map(\.1)
            }
            for body in bodies { body() }
        }
    }

    private func until(_ condition: () -> Bool) async {
        while !condition() { await Task.yield() }
    }

    @Test("ends when its alarm rings, at the moment that was asked for")
    func rings() async {
        let clock = HandClock()
        let task = Task { await clock.sleep(for: .nanoseconds(500)) }
        await until { !clock.waiting.isEmpty }
        #expect(clock.waiting == [Instant(nanoseconds: 1_500)])
        clock.ringAll()
        await task.value
        #expect(clock.calledOff == 0)
    }

    @Test("ends with its task's cancellation, which calls the alarm off")
    func cancelled() async {
        let clock = HandClock()
        let task = Task { await clock.sleep(until: .distantFuture) }
        await until { !clock.waiting.isEmpty }
        task.cancel()
        await task.value
        #expect(clock.waiting.isEmpty && clock.calledOff == 1)
    }

    @Test("of a task that is cancelled already ends without an alarm")
    func cancelledBefore() async {
        let clock = HandClock()
        let task = Task {
            await until { Task.isCancelled }
            await clock.sleep(until: .distantFuture)
        }
        task.cancel()
        await task.value
        #expect(clock.waiting.isEmpty && clock.calledOff == 0)
    }

    @Test("whose alarm rings before it is known by name ends once")
    func ringsAtOnce() async {
        let clock = HandClock { $0.ringAll() }
        await clock.sleep(for: .zero)
        #expect(clock.waiting.isEmpty)
    }

    @Test("whose task is cancelled while its alarm is being set leaves no alarm behind")
    func cancelledWhileSetting() async {
        let cancel = Mutex<(@Sendable () -> Void)?>(nil)
        let clock = HandClock { _ in cancel.withLock { $0 }?() }
        let start = Mutex(false)
        let task = Task {
            await until { start.withLock { $0 } }
            await clock.sleep(until: .distantFuture)
        }
        cancel.withLock { $0 = { task.cancel() } }
        start.withLock { $0 = true }
        await task.value
        #expect(clock.waiting.isEmpty && clock.calledOff == 1)
        cancel.withLock { $0 = nil }
    }

    @Test("ends once and leaves no alarm, whoever comes first: 2,000 alarms against 2,000 cancellations")
    func race() async {
        let clock = HandClock()
        let (ringer, canceller) = (DispatchQueue(label: "ringer"), DispatchQueue(label: "canceller"))
        for _ in 0..<2_000 {
            let task = Task { await clock.sleep(until: .distantFuture) }
            ringer.async { clock.ringAll() }
            canceller.async { task.cancel() }
            await task.value
        }
        ringer.sync {}
        #expect(clock.waiting.isEmpty)
    }
}
