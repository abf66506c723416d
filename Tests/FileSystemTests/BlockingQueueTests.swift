// What is given to a queue is done in its order, on one thread that goes when nothing more comes.

import Crypto
import Diagnosis
import Dispatch
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import FileSystem

@Suite struct BlockingQueueTests {
    /// The threads of this process that have this name, as the kernel tells.
    private func threads(named name: String) -> Int {
        entries(of: "/proc/self/task").count { thread in
            (try? Directory("/proc/self/task/\(thread)").content(of: "comm", limit: 16))?.text == "\(name)\n"
        }
    }

    @Test func `what comes from many tasks is done one at a time, and each task's in its order`() async {
        let queue = BlockingQueue(name: "order")
        let witness = Witness()
        await withTaskGroup { group in
            for task in 0..<8 {
                group.addTask {
                    for number in 0..<500 { queue.submit { witness.see(number, of: task) } }
                }
            }
        }
        await #expect(throws: AgentError.self) {
            try await queue.run { () throws(AgentError) in throw AgentError(.internalFault, "told") }
        }
        let (hasOverlapped, seen) = witness.state.withLock { ($0.hasOverlapped, $0.seen) }
        #expect(!hasOverlapped)
        #expect(seen == Array(repeating: Array(0..<500), count: 8))
    }

    @Test func `what comes in bursts is done by one thread, which goes once nothing more comes`() async throws {
        let queue = BlockingQueue(name: "bursts of work, and a long name")
        let clock = ContinuousClock()
        var (workers, longPauses, last) = (Set<UInt>(), 0, clock.now)
        for _ in 0..<500 {
            workers.insert(try await queue.run { () throws(AgentError) in pthread_self() })
            // A machine that stood still meanwhile may have let the thread go.
            if clock.now - last > .milliseconds(500) { longPauses += 1 }
            last = clock.now
        }
        #expect(workers.count <= 1 + longPauses)
        let atWork = try await queue.run { [self] () throws(AgentError) in threads(named: "bursts of work,") }
        #expect(atWork > 0)
        for _ in 0..<6_000 where threads(named: "bursts of work,") > 0 { usleep(50_000) }
        #expect(threads(named: "bursts of work,") == 0)
        let seven = try await queue.run { () throws(AgentError) in 7 }
        #expect(seven == 7)
    }

    @Test func `what hangs on one queue holds up no other`() async throws {
        let (hanging, other) = (BlockingQueue(name: "hanging"), BlockingQueue(name: "other"))
        let end = DispatchSemaphore(value: 0)
        hanging.submit { end.wait() }
        let seven = try await other.run { () throws(AgentError) in 7 }
        #expect(seven == 7)
        end.signal()
        let eight = try await hanging.run { () throws(AgentError) in 8 }
        #expect(eight == 8)
    }
}

/// What was done, by the task that gave it.
private final class Witness: Sendable {
    struct State {
        var isBusy = false
        var hasOverlapped = false
        var seen: [[Int]] = Array(repeating: [], count: 8)
    }

    let state = Mutex(State())

    func see(_ number: Int, of task: Int) {
        state.withLock { state in
            if state.isBusy { state.hasOverlapped = true }
            state.isBusy = true
        }
        state.withLock { state in
            state.seen[task].append(number)
            state.isBusy = false
        }
    }
}
