// AgentRuntime: passes the agent's health on: to systemd, the status file, the metrics.

import Diagnosis
import Logging
import ServiceHealth
import Timekeeping

/// The reporter of the real service.
final class ServiceReporter: HealthReporter {
    private let manager: ServiceManager
    private let log: Logger
    private let statusFile: StatusFile?
    private var repeated = RepeatedFailures()
    private var latest: AgentHealth?
    private var announced = false
    private var saidStopping = false

    init(manager: ServiceManager, statusFile: StatusFile?, log: Logger) {
        self.manager = manager
        self.statusFile = statusFile
        self.log = log
    }

    func report(_ health: AgentHealth, at now: WallTime, beat: Bool) {
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
        do throws(AgentError) {
            if health != latest {
                try statusFile?.write(health, at: now)
            } else if beat {
                try statusFile?.beat()
            }
            latest = health
            _ = repeated.recovered("status file")
        } catch {
            if repeated.failed("status file", error.code) != nil {
                log.error("Status file could not be written", error: error)
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
