// EventLoop: the alarms that wait, earliest first; those of one moment in the order they were set.

package import Timekeeping

/// A binary heap of calls to make. Pure: told what time it is, it says what is due. Serves the machine's clock and a virtual one.
package struct AlarmQueue {
    private struct Entry {
        let moment: Instant
        let alarm: Alarm
    }

    private var heap: [Entry] = []
    private var bodies: [Alarm: @Sendable () -> Void] = [:]
    private var lastIdentifier: UInt64 = 0

    package init() {}

    /// The moment of the earliest alarm that has not been called off.
    package var earliest: Instant? {
        heap.first?.moment
    }

    package mutating func insert(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        lastIdentifier += 1
        let alarm = Alarm(identifier: lastIdentifier)
        bodies[alarm] = body
        heap.append(Entry(moment: moment, alarm: alarm))
        siftUp(heap.count - 1)
        return alarm
    }

    package mutating func remove(_ alarm: Alarm) {
        guard bodies.removeValue(forKey: alarm) != nil else { return }
        dropCalledOff()
    }

    /// Takes out the earliest alarm that is due at `now`.
    package mutating func popDue(at now: Instant) -> (@Sendable () -> Void)? {
        guard let first = heap.first, first.moment <= now else { return nil }
        let body = bodies.removeValue(forKey: first.alarm)
        removeFirst()
        dropCalledOff()
        return body
    }

    private mutating func dropCalledOff() {
        while let first = heap.first, bodies[first.alarm] == nil { removeFirst() }
        // Called-off alarms deep in the heap are dropped all at once when they are the larger part.
        if heap.count > 2 * bodies.count + 16 {
            heap = heap.filter { bodies[$0.alarm] != nil }.sorted(by: Self.precedes)
        }
    }

    private static func precedes(_ left: Entry, _ right: Entry) -> Bool {
        (left.moment, left.alarm.identifier) < (right.moment, right.alarm.identifier)
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && Self.precedes(heap[child], heap[least]) {
                least = child
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0, Self.precedes(heap[index], heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }
}
