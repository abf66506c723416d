// AgentService: passes the agent's health on: to systemd, the status file, the metrics.

import AgentRuntime
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping

/// The reporter of the real service.
final class ServiceReporter: HealthReporter {
    private let manager: ServiceManager
    private let log: Logger
    private var statusFile: Destination<StatusFile>?
    private var metricsFile: Destination<MetricsFile>?
    private var repeated = RepeatedFailures()
    private var latest: AgentHealth?
    private var published: AgentHealth?
    private var announced = false
    private var saidStopping = false

    /// A file and where it is.
    private struct Destination<File> {
        let path: String
        let file: File
    }

    init(manager: ServiceManager, settings: HealthSettings, log: Logger) {
        self.manager = manager
        self.log = log
        adopt(settings)
    }

    func adopt(_ settings: HealthSettings) {
        if settings.statusFile != statusFile?.path {
            statusFile = settings.statusFile.map { Destination(path: $0, file: StatusFile(path: $0)) }
            latest = nil
        }
        if settings.metricsTextfile != metricsFile?.path {
            metricsFile = settings.metricsTextfile.map { Destination(path: $0, file: MetricsFile(path: $0)) }
            published = nil
        }
    }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
        let isNews = latest.map(health.isNews(after:)) ?? true
        guard isNews || beat else { return }
        let line = health.statusLine(at: now)
        if health.stopping {
            if !saidStopping { manager.stopping(line) }
            saidStopping = true
        } else if health.ready, !announced {
            announced = true
            manager.ready(line)
            log.notice("Ready: every sink holds a valid token")
        } else {
            manager.status(line)
        }
        if beat { manager.beat() }
        writing("Status file could not be written") { () throws(AgentError) in
            if isNews || health != latest {
                try statusFile?.file.write(health, at: now)
                latest = health
            } else {
                try statusFile?.file.beat()
            }
        }
    }

    func publish(_ metrics: Metrics, of health: AgentHealth, at now: WallTime, beat: Bool) {
        guard let metricsFile, beat || published.map(health.isNews(after:)) ?? true else { return }
        writing("Metrics file could not be written") { () throws(AgentError) in
            try metricsFile.file.write(metrics.text(health, at: now))
            published = health
        }
    }

    /// A file that cannot be written keeps no token from anyone: it is logged, and tried again with the next report.
    private func writing(_ complaint: Logger.Message, _ body: () throws(AgentError) -> Void) {
        do {
            try body()
            _ = repeated.recovered("\(complaint)")
        } catch {
            if let attempts = repeated.failed("\(complaint)", error.code) {
                log.error(complaint, error: error, metadata: ["attempts": "\(attempts)"])
            }
        }
    }

    /// A reload begins. Before the first READY systemd is not to hear of it: the start would count as done.
    func reloading() {
        if announced { manager.reloading() }
    }

    /// The reload is over, whether the new configuration was accepted or not.
    func reloaded(_ health: AgentHealth, at now: WallTime) {
        if announced { manager.ready(health.statusLine(at: now)) }
    }
}
