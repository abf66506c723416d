import EventLoop
import Synchronization
import Testing
import Timekeeping

@Suite("The queue of alarms")
struct AlarmQueueTests {
    private final class Notes: Sendable {
        let text = Mutex("")
        func note(_ name: String) -> @Sendable () -> Void { { self.text.withLock { $0 += name } } }
    }

    private func moment(_ nanoseconds: Int64) -> Instant { Instant(nanoseconds: nanoseconds) }

    /// The names of all that is due, in order.
    private func due(_ queue: inout AlarmQueue, at now: Int64, _ notes: Notes) -> String {
        notes.text.withLock { $0 = "" }
        while let body = queue.popDue(at: moment(now)) { body() }
        return notes.text.withLock { $0 }
    }

    @Test("alarms ring earliest first; those of one moment in the order they were set")
    func order() {
        var queue = AlarmQueue()
        let notes = Notes()
        for (name, at) in [("c", 30), ("a", 10), ("b", 20), ("d", 30), ("A", 10)] as [(String, Int64)] {
            _ = queue.insert(at: moment(at), notes.note(name))
        }
        #expect(queue.earliest == moment(10))
        #expect(due(&queue, at: 9, notes) == "")
        #expect(due(&queue, at: 20, notes) == "aAb")
        #expect(queue.earliest == moment(30))
        #expect(due(&queue, at: 1_000, notes) == "cd")
        #expect(queue.earliest == nil)
    }

    @Test("an alarm called off does not ring, and is not the earliest any more")
    func remove() {
        var queue = AlarmQueue()
        let notes = Notes()
        let first = queue.insert(at: moment(1), notes.note("1"))
        _ = queue.insert(at: moment(2), notes.note("2"))
        let third = queue.insert(at: moment(3), notes.note("3"))
        queue.remove(first)
        queue.remove(third)
        queue.remove(third)
        #expect(queue.earliest == moment(2))
        #expect(due(&queue, at: 10, notes) == "2")
        queue.remove(first)
        #expect(queue.earliest == nil)
    }

    @Test("whatever is set and called off, what is left rings in order", arguments: 0..<20 as Range<UInt64>)
    func random(_ seed: UInt64) {
        var generator = SplitMix(state: seed)
        var queue = AlarmQueue()
        let rung = Mutex<[Int]>([])
        var waiting: [(at: Int64, number: Int, alarm: Alarm)] = []
        var expected: [Int] = []
        for number in 0..<500 {
            let at = Int64.random(in: 0..<100, using: &generator)
            let alarm = queue.insert(at: moment(at)) { rung.withLock { $0.append(number) } }
            waiting.append((at, number, alarm))
            // Most are called off again: the heap has to be rid of them.
            while waiting.count > 20 {
                queue.remove(waiting.remove(at: Int.random(in: 0..<waiting.count, using: &generator)).alarm)
            }
            #expect(queue.earliest?.nanoseconds == waiting.map(\.at).min())
            if number % 50 == 49 {
                let now = Int64.random(in: 0..<100, using: &generator)
                expected += waiting.filter { $0.at <= now }.sorted { ($0.at, $0.number) < ($1.at, $1.number) }.map(
                    \.number)
                waiting.removeAll { $0.at <= now }
                while let body = queue.popDue(at: moment(now)) { body() }
            }
        }
        #expect(rung.withLock { $0 } == expected)
    }
}

/// A seeded generator, so that a failure comes again.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
