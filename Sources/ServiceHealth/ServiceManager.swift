// ServiceHealth: what systemd is told about the service, by libsystemd's sd_notify. Outside systemd every call does nothing.

private import CLinux
private import CSystemd
private import Diagnosis
private import Glibc
private import Timekeeping

/// The service manager's ear, and the watchdog that listens for the queue.
///
/// Call ``beat()`` from an alarm on the agent's queue every ``beatInterval``: while starting it asks for more time, so that an
/// outage of Vault at boot is no failed unit; once ready it pings the watchdog. A queue that stands still does neither.
///
/// Not Sendable: call it from the agent's queue.
package final class ServiceManager {
    /// Longest beat, watchdog or not. The status file's heartbeat goes by the same alarm (``StatusFile/beat(at:)``).
    package static let longestBeat: Duration = .seconds(30)

    /// `WatchdogSec=` of the unit; nil where it is off or meant for another process.
    package let watchdogTimeout: Duration?

    private enum Phase { case starting, running, stopping }
    private var phase = Phase.starting
    private var lastStatus: String?

    package init() {
        var microseconds: UInt64 = 0
        // SAFETY: `microseconds` outlives the call, which writes to it and reads the environment.
        let enabled = unsafe sd_watchdog_enabled(0, &microseconds) > 0
        watchdogTimeout = enabled ? .microseconds(Int64(min(microseconds, 1 << 53))) : nil
    }

    /// How often to beat: a third of the watchdog's time-out, so that one late beat kills nobody, and at most ``longestBeat``.
    package var beatInterval: Duration {
        watchdogTimeout.map { min($0 / 3, Self.longestBeat) } ?? Self.longestBeat
    }

    /// Every sink holds a valid token: READY=1. Ends a reload as well.
    package func ready(_ status: String) {
        if phase == .starting { phase = .running }
        lastStatus = status
        send("READY=1\nSTATUS=\(line(status))")
    }

    /// What `systemctl status` shows. The same text twice is sent once.
    package func status(_ status: String) {
        guard status != lastStatus else { return }
        lastStatus = status
        send("STATUS=\(line(status))")
    }

    /// The agent's queue makes progress.
    package func beat() {
        switch phase {
        case .starting: extendStart(by: beatInterval * 4)
        case .running: send("WATCHDOG=1")
        case .stopping: break
        }
    }

    /// The start takes longer: systemd is to wait, from now, so long for the next word before it calls the start failed.
    package func extendStart(by duration: Duration) {
        send("EXTEND_TIMEOUT_USEC=\(duration.nanoseconds / 1_000)")
    }

    /// A reload begins; ``ready(_:)`` ends it, whether the new configuration was accepted or not.
    package func reloading() {
        send("RELOADING=1\nMONOTONIC_USEC=\(Self.monotonicMicroseconds)")
    }

    package func stopping(_ status: String) {
        phase = .stopping
        send("STOPPING=1\nSTATUS=\(line(status))")
    }

    /// systemd compares it with CLOCK_MONOTONIC, which is not the clock of ``Instant``.
    private static var monotonicMicroseconds: Int64 {
        vta_clock_nanoseconds(CLOCK_MONOTONIC) / 1_000
    }

    /// A line break in the text would begin another message: "WATCHDOG=trigger", say.
    private func line(_ status: String) -> String {
        printable(status, limit: AgentHealth.longestStatusLine)
    }

    private func send(_ message: String) {
        // SAFETY: the string is copied into the datagram before the call returns. 0 leaves the environment alone: changing
        // it is not safe while other threads may read it.
        _ = unsafe sd_notify(0, message)
    }
}
