// What of the agent's health reaches the status file, the metrics, the log and systemd, and when. What systemd makes of it is
// tested with a real one.

import Diagnosis
import Dispatch
import Glibc
import ServiceHealth
import Synchronization
import TestSupport
import Testing
import Timekeeping
import TokenLifecycle

@testable import AgentService

/// A reporter of which each report is where it is looked for when the call returns.
private struct SettlingReporter {
    let reporter: ServiceReporter

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        reporter.report(health, at: now, beat: beat)
        settle()
    }

    func publish(_ metrics: Metrics, of health: AgentHealth, at now: WallTime, beat: Bool) {
        reporter.publish(metrics, of: health, at: now, beat: beat)
        settle()
    }

    func adopt(_ settings: HealthSettings) {
        reporter.adopt(settings)
    }

    func settle() {
        let done = DispatchSemaphore(value: 0)
        reporter.whenSettled { done.signal() }
        done.wait()
    }
}

@Suite("The reporter of the service")
struct ServiceReporterTests {
    private let directory = TemporaryDirectory()
    private let log = CapturedLog()
    private let noon = WallTime(secondsSince1970: 1_795_255_091)

    private func settings(status: String? = nil, metrics: String? = nil) -> HealthSettings {
        var settings = HealthSettings()
        settings.statusFile = status.map(directory.file)
        settings.metricsTextfile = metrics.map(directory.file)
        return settings
    }

    private func reporter(status: String? = nil, metrics: String? = nil) -> SettlingReporter {
        SettlingReporter(
            reporter: ServiceReporter(
                manager: ServiceManager(environment: [:]), settings: settings(status: status, metrics: metrics),
                log: log.logger))
    }

    private func health(_ phase: TokenHealth.Phase) -> AgentHealth {
        let sink = SinkHealth(name: "file /run/app/token", delivered: phase == .fresh)
        let token = TokenHealth(name: "app", phase: phase, since: noon, sinks: [sink])
        return AgentHealth(version: "test", startedAt: noon, tokens: [token])
    }

    /// Which file it is, and when it was written: nanoseconds on the file system's clock.
    private func stamp(_ name: String) -> [Int]? {
        var found = stat()
        guard unsafe stat(directory.file(name), &found) == 0 else { return nil }
        return [Int(found.st_ino), Int(found.st_mtim.tv_sec), Int(found.st_mtim.tv_nsec)]
    }

    @Test("says that it is ready once, however often it becomes so")
    func ready() {
        let reporter = reporter()
        for phase in [TokenHealth.Phase.starting, .fresh, .lost, .fresh] {
            reporter.report(health(phase), at: noon, beat: false)
        }
        #expect(log.lines == ["notice Ready: every sink holds a valid token"])
    }

    @Test("systemd hears READY when the status file says the same, reloads from then on, and STOPPING once")
    func systemd() throws {
        let socket = NotifySocket()
        let service = ServiceReporter(
            manager: ServiceManager(environment: socket.environment), settings: settings(status: "status.json"),
            log: log.logger)
        let reporter = SettlingReporter(reporter: service)
        func heard() -> [String] {
            socket.received().map { String($0.prefix { $0 != "\n" }) }.filter { !$0.hasPrefix("STATUS=") }
        }
        reporter.report(health(.starting), at: noon, beat: false)
        service.reloading()
        service.reloaded(health(.starting), at: noon)
        #expect(heard().isEmpty, "a reload before READY would end the start")
        reporter.report(health(.starting), at: noon, beat: true)
        #expect(heard() == ["EXTEND_TIMEOUT_USEC=120000000"])
        reporter.report(health(.fresh), at: noon, beat: false)
        #expect(try StatusReading(path: directory.file("status.json")).document.tokens.map(\.phase) == ["fresh"])
        #expect(heard() == ["READY=1"])
        for phase in [TokenHealth.Phase.lost, .fresh] { reporter.report(health(phase), at: noon, beat: false) }
        #expect(heard().isEmpty)
        service.reloading()
        reporter.report(health(.fresh), at: noon, beat: false)
        service.reloaded(health(.fresh), at: noon)
        reporter.settle()
        #expect(heard() == ["RELOADING=1", "READY=1"])
        var stopping = health(.fresh)
        stopping.stopping = true
        for beat in [false, true] { reporter.report(stopping, at: noon, beat: beat) }
        #expect(heard() == ["STOPPING=1"])
    }

    @Test("writes the status file when something has changed; a beat alone only renews its time")
    func statusFile() throws {
        let reporter = reporter(status: "status.json")
        reporter.report(health(.starting), at: noon, beat: false)
        let first = try #require(stamp("status.json"))
        #expect(try StatusReading(path: directory.file("status.json")).document.tokens.map(\.phase) == ["starting"])
        reporter.report(health(.starting), at: noon + .seconds(1), beat: false)
        #expect(stamp("status.json") == first)
        reporter.report(health(.starting), at: noon + .seconds(2), beat: true)
        let beaten = try #require(stamp("status.json"))
        #expect(beaten[0] == first[0] && beaten != first)
        reporter.report(health(.fresh), at: noon + .seconds(3), beat: false)
        #expect(stamp("status.json")?[0] != first[0])
        #expect(try StatusReading(path: directory.file("status.json")).document.tokens.map(\.phase) == ["fresh"])
    }

    @Test("a lookup alone is told with the next beat")
    func lookups() throws {
        let reporter = reporter(status: "status.json", metrics: "agent.prom")
        func report(lookups: Int, renewals: Int = 0, beat: Bool) throws -> (lookups: Int, stamps: [[Int]?]) {
            var health = health(.fresh)
            health.tokens[0].counters.lookups = lookups
            health.tokens[0].counters.renewals = renewals
            reporter.report(health, at: noon, beat: beat)
            reporter.publish(Metrics(), of: health, at: noon, beat: beat)
            let read = try StatusReading(path: directory.file("status.json")).document.tokens[0].counters.lookups
            return (read, [stamp("status.json"), stamp("agent.prom")])
        }
        let first = try report(lookups: 0, beat: false)
        #expect(try report(lookups: 1, beat: false) == first)
        #expect(try report(lookups: 2, beat: true).lookups == 2)
        #expect(try report(lookups: 3, beat: false).lookups == 2)
        #expect(try report(lookups: 4, renewals: 1, beat: false).lookups == 4)
    }

    @Test("tells of a status file that cannot be written at doubling intervals, and writes it when it can")
    func unwritable() {
        let reporter = reporter(status: "later/status.json")
        for _ in 0..<8 { reporter.report(health(.starting), at: noon, beat: true) }
        let complaints = [1, 2, 4, 8].map { "error Status file could not be written attempts=\($0)" }
        #expect(log.lines == complaints)
        unsafe mkdir(directory.file("later"), 0o755)
        reporter.report(health(.starting), at: noon, beat: true)
        #expect(stamp("later/status.json") != nil)
        unsafe unlink(directory.file("later/status.json"))
        unsafe rmdir(directory.file("later"))
        reporter.report(health(.fresh), at: noon, beat: false)
        #expect(log.lines.filter { $0.hasPrefix("error") } == complaints + [complaints[0]], "it counts anew")
    }

    @Test("writes where a new configuration wants it, at once and whole, and leaves the old file")
    func moved() throws {
        let reporter = reporter(status: "old.json", metrics: "old.prom")
        let (health, metrics) = (health(.fresh), Metrics())
        reporter.report(health, at: noon, beat: false)
        reporter.publish(metrics, of: health, at: noon, beat: false)
        reporter.adopt(settings(status: "new.json", metrics: "new.prom"))
        reporter.report(health, at: noon, beat: false)
        reporter.publish(metrics, of: health, at: noon, beat: false)
        #expect(directory.names.sorted() == ["new.json", "new.prom", "old.json", "old.prom"])
        #expect(try StatusReading(path: directory.file("new.json")).document == StatusDocument(health, at: noon))
        reporter.adopt(settings())
        reporter.report(self.health(.lost), at: noon, beat: true)
        #expect(try StatusReading(path: directory.file("new.json")).document == StatusDocument(health, at: noon))
    }

    /// STAND-IN for a disk that hangs: work that waits until it is told to go on.
    @Test("of what is to be written while the disk hangs the newest is, and that it hangs is said once")
    func hanging() {
        let written = Written()
        let file = ReportFile(written, at: "/status.json", name: "Status file", log: log.logger)
        let (begun, goOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        file.write { file throws(AgentError) in
            begun.signal()
            goOn.wait()
            file.add(0)
        }
        begun.wait()
        for number in 1...1_000 {
            file.write { file throws(AgentError) in file.add(number) }
            file.touch { file throws(AgentError) in file.add(-number) }
        }
        file.beat()
        #expect(log.lines.isEmpty, "it may be slow")
        for _ in 0..<10 { file.beat() }
        #expect(log.lines.count == 1 && log.lines.first?.hasPrefix("warning Status file is not written") == true)
        goOn.signal()
        let done = DispatchSemaphore(value: 0)
        file.whenSettled { done.signal() }
        done.wait()
        #expect(written.numbers == [0, 1_000])
        #expect(log.lines.count == 2 && log.lines.last?.hasPrefix("notice Status file is written again") == true)
        file.beat()
        file.beat()
        #expect(log.lines.count == 2)
    }

    @Test("what a file costs is what a processor did for it: waiting for the disk costs nothing")
    func workOfWriting() {
        let file = ReportFile(Written(), at: "/status.json", name: "Status file", log: log.logger)
        let (goOn, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        file.write { _ throws(AgentError) in _ = goOn.wait(timeout: .now() + .milliseconds(500)) }
        file.whenSettled { done.signal() }
        done.wait()
        #expect(file.workOfWriting < .milliseconds(250))
        file.write { _ throws(AgentError) in
            let end = processorTime() + .milliseconds(300)
            while processorTime() < end {}
        }
        file.whenSettled { done.signal() }
        done.wait()
        #expect(file.workOfWriting >= .milliseconds(300))
    }

    private final class Written: Sendable {
        private let all = Mutex<[Int]>([])
        var numbers: [Int] { all.withLock(\.self) }

        func add(_ number: Int) {
            all.withLock { $0.append(number) }
        }
    }

    @Test("writes the metrics with a change or a beat, not otherwise")
    func metricsFile() throws {
        let reporter = reporter(metrics: "agent.prom")
        let (health, metrics) = (health(.fresh), Metrics())
        reporter.publish(metrics, of: health, at: noon, beat: false)
        let first = try #require(stamp("agent.prom"))
        reporter.publish(metrics, of: health, at: noon, beat: false)
        #expect(stamp("agent.prom") == first)
        reporter.publish(metrics, of: health, at: noon, beat: true)
        let beaten = try #require(stamp("agent.prom"))
        #expect(beaten != first)
        reporter.publish(metrics, of: self.health(.lost), at: noon, beat: false)
        #expect(stamp("agent.prom") != beaten)
    }
}
