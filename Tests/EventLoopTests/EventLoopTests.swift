import Dispatch
import EventLoop
import Glibc
import Synchronization
import Testing
import Timekeeping

@Suite("The event loop")
struct EventLoopTests {
    /// A pair of connected descriptors, closed at the end.
    private final class Pair: Sendable {
        let ends: [Int32]

        init() {
            var ends: [Int32] = [-1, -1]
            unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
            self.ends = ends
        }

        deinit { for end in ends { close(end) } }

        func send() { _ = unsafe write(ends[1], "x", 1) }

        func receive() {
            var byte: UInt8 = 0
            _ = unsafe read(ends[0], &byte, 1)
        }
    }

    private final class Count: Sendable {
        private let value = Mutex(0)
        var now: Int { value.withLock { $0 } }
        func up() { value.withLock { $0 += 1 } }
    }

    // MARK: Alarms

    @Test("alarms ring in order, never early, on the queue")
    func alarms() async throws {
        let order = Mutex<[Int]>([])
        let early = Count()
        try await LoopActor().run { loop in
            let start = loop.now
            await withCheckedContinuation { continuation in
                for milliseconds in [40, 10, 30, 20] {
                    let moment = start + .milliseconds(milliseconds)
                    _ = loop.schedule(at: moment) {
                        if loop.now < moment || !loop.isCurrent { early.up() }
                        order.withLock { $0.append(milliseconds) }
                        if milliseconds == 40 { continuation.resume() }
                    }
                }
            }
        }
        #expect(order.withLock { $0 } == [10, 20, 30, 40])
        #expect(early.now == 0)
    }

    @Test("an alarm in the past rings at once, and one set by a ringing alarm rings too")
    func chained() async throws {
        try await LoopActor().run { loop in
            await withCheckedContinuation { continuation in
                _ = loop.schedule(at: Instant(nanoseconds: 0)) {
                    _ = loop.schedule(at: loop.now) { continuation.resume() }
                }
            }
        }
    }

    @Test("an alarm called off does not ring, from the queue or from another thread")
    func cancel() async throws {
        let rung = Count()
        try await LoopActor().run { loop in
            let (first, second) = (
                loop.schedule(at: loop.now + .milliseconds(30)) { rung.up() },
                loop.schedule(at: loop.now + .milliseconds(40)) { rung.up() }
            )
            loop.cancel(first)
            DispatchQueue(label: "other").async { loop.cancel(second) }
            await loop.sleep(for: .milliseconds(80))
        }
        #expect(rung.now == 0)
    }

    @Test("an alarm may call off another of the same moment")
    func cancelWithin() async throws {
        let rung = Count()
        try await LoopActor().run { loop in
            let moment = loop.now + .milliseconds(10)
            let second = Holder()
            _ = loop.schedule(at: moment) {
                rung.up()
                if let alarm = second.alarm.withLock({ $0 }) { loop.cancel(alarm) }
            }
            let alarm = loop.schedule(at: moment) { rung.up() }
            second.alarm.withLock { $0 = alarm }
            await loop.sleep(for: .milliseconds(40))
        }
        #expect(rung.now == 1)
    }

    private final class Holder: Sendable {
        let alarm = Mutex<Alarm?>(nil)
    }

    // MARK: Descriptors

    @Test("a descriptor's handler is called when it is ready, on the queue, until it is unwatched")
    func watch() async throws {
        let (pair, called) = (Pair(), Count())
        try await LoopActor().run { loop in
            let watch = await withCheckedContinuation { continuation in
                let box = WatchBox()
                let watch = loop.watch(pair.ends[0], for: .readable) { readiness in
                    guard loop.isCurrent, readiness.contains(.readable) else { return }
                    pair.receive()
                    called.up()
                    if called.now == 3 {
                        if let watch = box.watch.withLock({ $0 }) { continuation.resume(returning: watch) }
                    } else {
                        pair.send()
                    }
                }
                box.watch.withLock { $0 = watch }
                pair.send()
            }
            loop.unwatch(watch)
            loop.unwatch(watch)
            pair.send()
            await loop.sleep(for: .milliseconds(30))
        }
        #expect(called.now == 3)
    }

    private final class WatchBox: Sendable {
        let watch = Mutex<Watch?>(nil)
    }

    @Test("the interest can be changed, and a hang-up is told without being asked for")
    func change() async throws {
        let pair = Pair()
        let seen = Mutex<[Readiness]>([])
        try await LoopActor().run { loop in
            let box = WatchBox()
            let watch = loop.watch(pair.ends[0], for: .readable) { readiness in
                seen.withLock { $0.append(readiness) }
                if let watch = box.watch.withLock({ $0 }) { loop.change(watch, to: []) }
                if readiness.contains(.failed), let watch = box.watch.withLock({ $0 }) { loop.unwatch(watch) }
            }
            box.watch.withLock { $0 = watch }
            await loop.sleep(for: .milliseconds(20))
            #expect(seen.withLock { $0 }.isEmpty)
            loop.change(watch, to: .writable)
            await loop.sleep(for: .milliseconds(20))
            #expect(seen.withLock { $0 } == [.writable])
            shutdown(pair.ends[0], Int32(SHUT_RDWR))
            await loop.sleep(for: .milliseconds(20))
            #expect(seen.withLock { $0 }.last?.contains(.failed) == true)
        }
    }

    @Test("a handler that unwatches another of the same batch keeps that one from being called")
    func batch() async throws {
        let pairs = (0..<8).map { _ in Pair() }
        let called = Count()
        try await LoopActor().run { loop in
            let boxes = pairs.map { _ in WatchBox() }
            for (pair, box) in zip(pairs, boxes) {
                let watch = loop.watch(pair.ends[0], for: .readable) { _ in
                    called.up()
                    for box in boxes { if let watch = box.watch.withLock({ $0.take() }) { loop.unwatch(watch) } }
                }
                box.watch.withLock { $0 = watch }
            }
            // All become ready while the queue is held here, so that one batch has them all.
            for pair in pairs { pair.send() }
            await loop.sleep(for: .milliseconds(30))
        }
        #expect(called.now == 1)
    }

    @Test("a number that is closed and used again at once belongs to its new watch only")
    func reusedNumber() async throws {
        let (old, new) = (Count(), Count())
        try await LoopActor().run { loop in
            for _ in 0..<200 {
                let first = Pair()
                let watch = loop.watch(first.ends[0], for: .readable) { _ in old.up() }
                first.send()
                loop.unwatch(watch)
                // The number of the first pair's end, now another socket.
                let second = Pair()
                dup2(second.ends[0], first.ends[0])
                let box = WatchBox()
                await withCheckedContinuation { continuation in
                    let watch = loop.watch(first.ends[0], for: .readable) { _ in
                        new.up()
                        if let watch = box.watch.withLock({ $0.take() }) { loop.unwatch(watch) }
                        continuation.resume()
                    }
                    box.watch.withLock { $0 = watch }
                    second.send()
                }
            }
        }
        #expect(old.now == 0)
        #expect(new.now == 200)
    }

    @Test("more ready descriptors than one batch holds are all served")
    func manyDescriptors() async throws {
        let pairs = (0..<150).map { _ in Pair() }
        let called = Count()
        try await LoopActor().run { loop in
            await withCheckedContinuation { continuation in
                for pair in pairs {
                    _ = loop.watch(pair.ends[0], for: .readable) { _ in
                        pair.receive()
                        called.up()
                        if called.now == pairs.count { continuation.resume() }
                    }
                    pair.send()
                }
            }
        }
        #expect(called.now == 150)
    }

    // MARK: Executor

    @Test("an actor on the loop, its tasks and its continuations stay on the queue")
    func isolation() async throws {
        try await LoopActor().run { loop in
            #expect(loop.isCurrent)
            await loop.sleep(for: .milliseconds(1))
            #expect(loop.isCurrent)
            await withCheckedContinuation { continuation in
                DispatchQueue(label: "other").async {
                    #expect(!loop.isCurrent)
                    continuation.resume()
                }
            }
            #expect(loop.isCurrent)
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<10 { group.addTask { loop.isCurrent } }
                for await current in group { #expect(current) }
            }
        }
    }

    @Test("an actor's state is reached from a handler without a hop")
    func assumeIsolated() async throws {
        let counter = try Counter()
        let done = DispatchSemaphore(value: 0)
        counter.loop.queue.async {
            counter.assumeIsolated { $0.count += 1 }
            done.signal()
        }
        await withCheckedContinuation { continuation in
            DispatchQueue(label: "other").async {
                done.wait()
                continuation.resume()
            }
        }
        #expect(await counter.count == 1)
    }

    private actor Counter {
        nonisolated let loop: EventLoop
        var count = 0
        nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
        init() throws { loop = try EventLoop(label: "counter") }
    }

    @Test("a sleep ends with its task's cancellation, and its alarm with it")
    func sleepCancelled() async throws {
        let actor = try LoopActor()
        let start = actor.loop.now
        let task = Task { try await actor.run { loop in await loop.sleep(for: .seconds(60)) } }
        try await Task.sleep(for: .milliseconds(20))
        task.cancel()
        _ = try await task.value
        #expect(actor.loop.now - start < .seconds(10))
    }

    // MARK: Clocks and life

    @Test("the clocks are the kernel's: time since boot, and calendar time")
    func clocks() throws {
        let loop = try EventLoop(label: "test")
        var boot = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &boot)
        #expect(abs(loop.now.nanoseconds / 1_000_000_000 - Int64(boot.tv_sec)) <= 2)
        #expect(abs(loop.wallTime.secondsSince1970 - Int64(time(nil))) <= 2)
    }

    @Test("a loop that nobody holds any more gives its descriptors back")
    func end() async throws {
        weak var kept: EventLoop?
        do {
            let actor = try LoopActor()
            kept = actor.loop
            try await actor.run { loop in await loop.sleep(for: .milliseconds(1)) }
        }
        for _ in 0..<500 where kept != nil { try await Task.sleep(for: .milliseconds(5)) }
        #expect(kept == nil)
    }
}
