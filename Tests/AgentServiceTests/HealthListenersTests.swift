// Where the agent listens for those who ask how it is: what comes of an address that cannot be had, and what is left of one
// that is given up. That they are answered is tested end to end.

import Diagnosis
import Dispatch
import EventLoop
import FileSystem
import Glibc
import HTTPServer
import ServiceHealth
import Synchronization
import TestSupport
import Testing
import Timekeeping

@testable import AgentService

@Suite("The listeners for probes and scrapers", .timeLimit(.minutes(20)))
final class HealthListenersTests: Sendable {
    private let directory = TemporaryDirectory()
    private let log = CapturedLog()
    private let loop: EventLoop
    private let disk = BlockingQueue(name: "test disk")
    private let listeners: HealthListeners
    private let told: Told

    private final class Told: Sendable {
        let reports = Mutex<[[ListenerHealth]]>([])
        let moves = Mutex(0)
    }

    init() throws {
        let (loop, told) = (try EventLoop(label: "test"), Told())
        (self.loop, self.told) = (loop, told)
        listeners = HealthListeners(
            on: loop, disk: disk, log: log.logger, answer: { _, _ in ServerReply(.good, "ok\n") },
            whenChanged: { all in told.reports.withLock { $0.append(all) } })
    }

    deinit {
        loop.queue.sync { listeners.stop() }
    }

    private var address: String { "unix://\(directory.file("socket"))" }

    private func adopt(_ wanted: [String: HealthPages]) {
        loop.queue.sync { listeners.adopt(wanted) }
    }

    private var latest: [ListenerHealth] { told.reports.withLock { $0.last ?? [] } }

    private var inode: UInt64? { try? Directory(directory.path).stamp(of: "socket")?.inode }

    private func wait(until condition: @escaping @Sendable (HealthListenersTests) -> Bool) async -> Bool {
        await loop.wait { condition(self) }
    }

    /// What the disk had to do is done, and what that led to.
    private func settle() {
        for _ in 0..<2 {
            let done = Gate()
            done.close()
            let loop = loop
            disk.submit { loop.queue.async { done.open() } }
            done.pass()
        }
    }

    @Test("an address that cannot be had is told with the reason, tried again, and served once it can be had")
    func taken() async throws {
        directory.write("somebody's", to: "socket")
        adopt([address: [.metrics, .probes]])
        #expect(await wait { $0.latest.first?.trouble != nil })
        #expect(latest.first?.trouble?.error.code == .addressUnavailable)
        #expect(log.warnings.count { $0.hasPrefix("error Metrics and probes are not served ") } >= 1)
        #expect(unsafe unlink(directory.file("socket")) == 0)
        #expect(await wait { $0.latest.first.map { $0.trouble == nil } == true })
        #expect(inode != nil)
        #expect(log.lines.last?.hasPrefix("notice Metrics and probes are served now ") == true)
    }

    @Test("one that is wanted as before goes on as it is; one with other pages is another")
    func kept() async throws {
        adopt([address: [.metrics, .probes]])
        settle()
        let first = try #require(inode)
        adopt([address: [.metrics, .probes]])
        settle()
        #expect(inode == first)
        adopt([address: .metrics])
        settle()
        #expect(latest.map(\.pages) == [.metrics])
        #expect(await wait { $0.inode != nil && $0.latest.first?.trouble == nil })
    }

    @Test("whoever is told that they have moved finds them, also where the disk takes its time")
    func moved() throws {
        let (gate, told) = (Gate(), told)
        let moves = { told.moves.withLock(\.self) }
        gate.close()
        disk.submit { gate.pass() }
        loop.queue.sync { listeners.adopt([address: [.metrics, .probes]]) { told.moves.withLock { $0 += 1 } } }
        loop.queue.sync {}
        #expect(moves() == 0 && inode == nil)
        gate.open()
        settle()
        #expect(moves() == 1 && inode != nil)
        loop.queue.sync { listeners.adopt([:]) { told.moves.withLock { $0 += 1 } } }
        settle()
        #expect(moves() == 2 && inode == nil)
    }

    @Test("one that is given up takes its name along, also where it was only just being made")
    func givenUp() throws {
        adopt([address: [.metrics, .probes]])
        settle()
        #expect(inode != nil)
        adopt([:])
        settle()
        #expect(inode == nil && latest.isEmpty)
        let gate = Gate()
        gate.close()
        disk.submit { gate.pass() }
        adopt([address: [.metrics, .probes]])
        adopt([:])
        gate.open()
        settle()
        #expect(inode == nil && latest.isEmpty)
        #expect(log.warnings.isEmpty)
    }
}
