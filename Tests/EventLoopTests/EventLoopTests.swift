import Dispatch
import EventLoop
import Glibc
import Synchronization
import SystemCalls
import Testing
import Timekeeping

@Suite("The event loop")
struct EventLoopTests {
    /// A pair of connected sockets: one for the loop to watch, one for the test.
    private final class Pair: Sendable {
        private let watched: CarriedDescriptor
        private let far: Descriptor

        init() throws {
            var ends: [Int32] = [-1, -1]
            let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            let result = unsafe socketpair(AF_UNIX, type, 0, &ends)
            watched = CarriedDescriptor(try Descriptor(result < 0 ? result : ends[0], "socketpair", "(test)"))
            far = try Descriptor(ends[1], "socketpair", "(test)")
        }

        /// Its end for the loop; to be asked for once.
        func take() throws -> Descriptor {
            guard let end = watched.take() else { throw SystemFault("take", "(test)") }
            return end
        }

        func send() { _ = unsafe write(far.number, "x", 1) }

        func hangUp() { shutdown(far.number, Int32(SHUT_RDWR)) }

        /// What the other side gets: nil where it is closed.
        func receive() -> Int {
            var byte: UInt8 = 0
            return unsafe recv(far.number, &byte, 1, Int32(MSG_DONTWAIT))
        }
    }

    private static func receive(_ watch: Watch?) {
        var byte: UInt8 = 0
        _ = unsafe read(watch?.number ?? -1, &byte, 1)
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
                loop.schedule(at: loop.now + .milliseconds(400)) { rung.up() },
                loop.schedule(at: loop.now + .milliseconds(500)) { rung.up() }
            )
            loop.cancel(first)
            DispatchQueue(label: "other").async { loop.cancel(second) }
            await loop.sleep(for: .milliseconds(600))
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

    private final class WatchBox: Sendable {
        let watch = Mutex<Watch?>(nil)

        var current: Watch? { watch.withLock { $0 } }

        /// Ends it for good.
        func end() { watch.withLock { $0.take() }?.end() }
    }

    @Test("a descriptor's handler is called when it is ready, on the queue, until its watch ends")
    func watch() async throws {
        let (pair, called, box) = (try Pair(), Count(), WatchBox())
        try await LoopActor().run { loop in
            let watch = try loop.watch(try pair.take(), for: .readable) { readiness in
                guard loop.isCurrent, readiness.contains(.readable) else { return }
                Self.receive(box.current)
                called.up()
                if called.now < 3 { pair.send() }
            }
            box.watch.withLock { $0 = watch }
            pair.send()
            while called.now < 3 { await loop.sleep(for: .milliseconds(1)) }
            pair.send()
            watch.end()
            watch.end()
            #expect(watch.number == -1)
            await loop.sleep(for: .milliseconds(30))
        }
        #expect(called.now == 3)
    }

    @Test("a watch that ends closes its descriptor, once, on whatever thread it ends", .timeLimit(.minutes(1)))
    func ownership() async throws {
        let pairs = try (0..<2).map { _ in try Pair() }
        try await LoopActor().run { loop in
            let watch = try loop.watch(try pairs[0].take(), for: .readable) { _ in }
            let other = Mutex<Watch?>(try loop.watch(try pairs[1].take(), for: .readable) { _ in })
            #expect(pairs.allSatisfy { $0.receive() == -1 && errno == EAGAIN })
            watch.end()
            // A child that another test starts has it for a moment, until it becomes its program.
            while pairs[0].receive() != 0 { await loop.sleep(for: .milliseconds(1)) }
            await withCheckedContinuation { continuation in
                DispatchQueue(label: "other").async {
                    other.withLock { $0 = nil }
                    continuation.resume()
                }
            }
            while pairs[1].receive() != 0 { await loop.sleep(for: .milliseconds(1)) }
        }
    }

    @Test("the interest can be changed, and a hang-up is told without being asked for")
    func change() async throws {
        let (pair, box) = (try Pair(), WatchBox())
        let seen = Mutex<[Readiness]>([])
        try await LoopActor().run { loop in
            let watch = try loop.watch(try pair.take(), for: .readable) { readiness in
                seen.withLock { $0.append(readiness) }
                try? box.current?.change(to: [])
                if readiness.contains(.failed) { box.end() }
            }
            box.watch.withLock { $0 = watch }
            await loop.sleep(for: .milliseconds(20))
            #expect(seen.withLock { $0 }.isEmpty)
            try watch.change(to: .writable)
            await loop.sleep(for: .milliseconds(20))
            #expect(seen.withLock { $0 } == [.writable])
            pair.hangUp()
            await loop.sleep(for: .milliseconds(20))
            #expect(seen.withLock { $0 }.last?.contains(.failed) == true)
            try watch.change(to: .readable)
        }
    }

    @Test("a handler that ends the watch of another of the same batch keeps that one from being called")
    func batch() async throws {
        let pairs = try (0..<8).map { _ in try Pair() }
        let called = Count()
        try await LoopActor().run { loop in
            let boxes = pairs.map { _ in WatchBox() }
            for (pair, box) in zip(pairs, boxes) {
                let watch = try loop.watch(try pair.take(), for: .readable) { _ in
                    called.up()
                    for box in boxes { box.end() }
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
                let (first, second) = (try Pair(), try Pair())
                let number = try first.take()
                let fresh = try second.take()
                let watch = try loop.watch(borrowed: number.number, for: .readable) { _ in old.up() }
                first.send()
                watch.end()
                // The number of the first pair's end is another socket's from now on.
                dup2(fresh.number, number.number)
                let box = WatchBox()
                let watched = try loop.watch(borrowed: number.number, for: .readable) { _ in
                    new.up()
                    box.end()
                }
                box.watch.withLock { $0 = watched }
                second.send()
                while box.current != nil { await loop.sleep(for: .milliseconds(1)) }
            }
        }
        #expect(old.now == 0)
        #expect(new.now == 200)
    }

    @Test("what the set knows and what it is told may differ: a number known already, or not any more, is watched")
    func disagreement() async throws {
        let (pair, old, new) = (try Pair(), Count(), Count())
        try await LoopActor().run { loop in
            let owner = try pair.take()
            let stale = try loop.watch(borrowed: owner.number, for: []) { _ in old.up() }
            // The same number a second time: the kernel says EEXIST.
            let fresh = try loop.watch(borrowed: owner.number, for: .readable) { _ in
                new.up()
                try? stale.change(to: [])
            }
            pair.send()
            while new.now == 0 { await loop.sleep(for: .milliseconds(1)) }
            // The first one's end takes the number out of the set: for the second the kernel then says ENOENT.
            stale.end()
            try fresh.change(to: .readable)
            let before = new.now
            while new.now == before { await loop.sleep(for: .milliseconds(1)) }
            fresh.end()
        }
        #expect(old.now == 0)
    }

    @Test("what cannot be watched is refused with the kernel's reason, and closed")
    func refusal() async throws {
        try await LoopActor().run { loop in
            let file = try Descriptor(unsafe open("/etc/passwd", O_RDONLY | O_CLOEXEC), "open", "/etc/passwd")
            do {
                _ = try loop.watch(file, for: .readable) { _ in }
                Issue.record("an ordinary file is watched")
            } catch let fault as SystemFault {
                #expect(fault.call == "epoll_ctl" && fault.number == EPERM)
            }
            #expect(throws: SystemFault.self) { try loop.watch(borrowed: -1, for: .readable) { _ in } }
        }
    }

    @Test("more ready descriptors than one batch holds are all served")
    func manyDescriptors() async throws {
        let pairs = try (0..<150).map { _ in try Pair() }
        let called = Count()
        try await LoopActor().run { loop in
            let boxes = pairs.map { _ in WatchBox() }
            for (pair, box) in zip(pairs, boxes) {
                let watch = try loop.watch(try pair.take(), for: .readable) { _ in
                    called.up()
                    box.end()
                }
                box.watch.withLock { $0 = watch }
                pair.send()
            }
            while boxes.contains(where: { $0.current != nil }) { await loop.sleep(for: .milliseconds(1)) }
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
        let task = Task { try await actor.run { loop in await loop.sleep(for: .seconds(600)) } }
        try await Task.sleep(for: .milliseconds(20))
        task.cancel()
        _ = try await task.value
        #expect(actor.loop.now - start < .seconds(600))
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
        for _ in 0..<12_000 where kept != nil { try await Task.sleep(for: .milliseconds(5)) }
        #expect(kept == nil)
    }
}
