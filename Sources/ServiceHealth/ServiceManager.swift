// ServiceHealth: what systemd is told about the service, as sd_notify(3) has it. Outside systemd every call does nothing.

private import CLinux
private import Diagnosis
private import Glibc
private import Synchronization
private import Timekeeping

/// The service manager's ear, and the watchdog that listens for the queue.
///
/// Call ``beat()`` from an alarm on the agent's queue every ``beatInterval``: while starting it asks for more time, so that an
/// outage of Vault at boot is no failed unit; once ready it pings the watchdog. A queue that stands still does neither.
///
/// Never waits. May be called from any thread.
package final class ServiceManager: Sendable {
    /// Longest beat, watchdog or not. The status file's heartbeat goes by the same alarm (``StatusFile/beat(at:)``).
    package static let longestBeat: Duration = .seconds(30)

    /// `WatchdogSec=` of the unit; nil where it is off or meant for another process.
    package let watchdogTimeout: Duration?

    private enum Phase { case starting, running, stopping }

    private struct State {
        var phase = Phase.starting
        var lastStatus: String?
        /// What systemd would not take while it was busy, the oldest first. It is told as soon as it takes anything.
        var owed: [String] = []
    }

    private let state = Mutex(State())
    /// Nil outside systemd.
    private let socket: DatagramSender?

    /// `environment`: the process's, in which systemd names its socket and its watchdog.
    package init(environment: [String: String]) {
        socket = environment["NOTIFY_SOCKET"].flatMap { DatagramSender(to: $0) }
        // WATCHDOG_PID: that of the process that is meant.
        let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap { UInt64($0) } ?? 0
        watchdogTimeout = isMeant && microseconds > 0 ? .microseconds(Int64(min(microseconds, 1 << 53))) : nil
    }

    /// How often to beat: a third of the watchdog's time-out, so that one late beat kills nobody, and at most ``longestBeat``.
    package var beatInterval: Duration {
        watchdogTimeout.map { min($0 / 3, Self.longestBeat) } ?? Self.longestBeat
    }

    /// Every sink holds a valid token: READY=1. Ends a reload as well.
    package func ready(_ status: String) {
        state.withLock { state in
            if state.phase == .starting { state.phase = .running }
            state.lastStatus = status
        }
        send("READY=1\nSTATUS=\(line(status))")
    }

    /// What `systemctl status` shows. The same text twice is sent once.
    package func status(_ status: String) {
        let isNews = state.withLock { state in
            defer { state.lastStatus = status }
            return status != state.lastStatus
        }
        guard isNews else { return }
        send("STATUS=\(line(status))")
    }

    /// The agent's queue makes progress.
    package func beat() {
        switch state.withLock(\.phase) {
        case .starting: extendStart(by: beatInterval * 4)
        case .running: tell("WATCHDOG=1")
        case .stopping: break
        }
    }

    /// The start takes longer: systemd is to wait, from now, so long for the next word before it calls the start failed.
    package func extendStart(by duration: Duration) {
        tell("EXTEND_TIMEOUT_USEC=\(duration.nanoseconds / 1_000)")
    }

    /// A reload begins; ``ready(_:)`` ends it, whether the new configuration was accepted or not.
    package func reloading() {
        send("RELOADING=1\nMONOTONIC_USEC=\(Self.monotonicMicroseconds)")
    }

    package func stopping(_ status: String) {
        state.withLock { $0.phase = .stopping }
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

    /// For what is said again and again: that systemd did not take it is no loss.
    private func tell(_ message: String) {
        state.withLock { state in _ = take(message, &state) }
    }

    /// For what systemd must get to hear.
    private func send(_ message: String) {
        state.withLock { state in
            guard !take(message, &state) else { return }
            // Of what is outdated nothing is owed, so that this stays short.
            switch true {
            case message.hasPrefix("STATUS="): state.owed.removeAll { $0.hasPrefix("STATUS=") }
            case message.hasPrefix("READY="): state.owed.removeAll { !$0.hasPrefix("RELOADING=") }
            default: state.owed = []
            }
            state.owed.append(message)
        }
    }

    /// Whether systemd has taken it, and all that was owed before.
    private func take(_ message: String, _ state: inout State) -> Bool {
        guard let socket else { return true }
        while let first = state.owed.first {
            guard socket.send(first) else { return false }
            state.owed.removeFirst()
        }
        return socket.send(message)
    }
}
