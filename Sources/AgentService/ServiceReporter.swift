// AgentService: passes the agent's health on: to systemd, the status file, the metrics.

import AgentRuntime
import Diagnosis
import Logging
import ServiceHealth
import Synchronization
import Timekeeping

/// The reporter of the real service.
final class ServiceReporter: HealthReporter {
    private let manager: ServiceManager
    private let log: Logger
    private var statusFile: ReportFile<StatusFile>?
    private var metricsFile: ReportFile<MetricsFile>?
    private var configuration: ConfigurationText?
    private var latest: AgentHealth?
    private var published: AgentHealth?
    private var announced = false
    private var readiness: Readiness?
    private var saidStopping = false

    /// READY, from when it is due until it is said: whoever hears it from systemd finds the same in the status file.
    private final class Readiness: Sendable {
        private let isSaid = Mutex(false)
        private let words: @Sendable () -> Void

        init(_ words: @escaping @Sendable () -> Void) {
            self.words = words
        }

        /// For the first who asks.
        func say() {
            let isFirst = isSaid.withLock { isSaid in
                defer { isSaid = true }
                return !isSaid
            }
            if isFirst { words() }
        }
    }

    init(manager: ServiceManager, settings: HealthSettings, log: Logger) {
        self.manager = manager
        self.log = log
        adopt(settings)
    }

    func adopt(_ settings: HealthSettings) {
        configuration = settings.configuration
        if settings.statusFile != statusFile?.path {
            statusFile = settings.statusFile.map {
                ReportFile(StatusFile(path: $0), at: $0, name: "Status file", log: log)
            }
            latest = nil
        }
        if settings.metricsTextfile != metricsFile?.path {
            metricsFile = settings.metricsTextfile.map {
                ReportFile(MetricsFile(path: $0), at: $0, name: "Metrics file", log: log)
            }
            published = nil
        }
    }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        let health = health.by(configuration)
        let isNews = latest.map(health.isNews(after:)) ?? true
        guard isNews || beat else { return }
        if beat {
            sayReady()
            manager.beat()
            statusFile?.beat()
        }
        if isNews || health != latest {
            statusFile?.write { file throws(AgentError) in try file.write(health, at: now) }
            latest = health
        } else {
            statusFile?.touch { file throws(AgentError) in try file.beat(health, at: now) }
        }
        tell(health, health.statusLine(at: now))
    }

    private func tell(_ health: AgentHealth, _ line: String) {
        if health.stopping {
            sayReady()
            if !saidStopping { manager.stopping(line) }
            saidStopping = true
        } else if health.ready, !announced {
            announced = true
            let (manager, log) = (manager, log)
            sayOnceWritten {
                manager.ready(line)
                log.notice("Ready: every sink holds a valid token")
            }
        } else {
            manager.status(line)
        }
    }

    /// Once the status file is written; where its disk hangs, with the next beat.
    private func sayOnceWritten(_ words: @escaping @Sendable () -> Void) {
        let readiness = Readiness(words)
        self.readiness = readiness
        if let statusFile { statusFile.whenSettled { readiness.say() } } else { readiness.say() }
    }

    private func sayReady() {
        readiness?.say()
        readiness = nil
    }

    func publish(_ metrics: Metrics, of health: AgentHealth, at now: WallTime, beat: Bool) {
        guard let metricsFile, beat || published.map(health.isNews(after:)) ?? true else { return }
        if beat { metricsFile.beat() }
        let page = metrics.text(health, at: now)
        metricsFile.write { file throws(AgentError) in try file.write(page) }
        published = health
    }

    var workOfWriting: Duration { (statusFile?.workOfWriting ?? .zero) + (metricsFile?.workOfWriting ?? .zero) }

    func whenSettled(_ done: @escaping @Sendable () -> Void) {
        let metricsFile = metricsFile
        let metricsToo: @Sendable () -> Void = {
            if let metricsFile { metricsFile.whenSettled(done) } else { done() }
        }
        if let statusFile { statusFile.whenSettled(metricsToo) } else { metricsToo() }
    }

    /// A reload begins. Before the first READY systemd is not to hear of it: the start would count as done.
    func reloading() {
        sayReady()
        if announced { manager.reloading() }
    }

    /// The reload is over, whether the new configuration was accepted or not.
    func reloaded(_ health: AgentHealth, at now: WallTime) {
        guard announced else { return }
        let (manager, line) = (manager, health.statusLine(at: now))
        sayReady()
        sayOnceWritten { manager.ready(line) }
    }
}
