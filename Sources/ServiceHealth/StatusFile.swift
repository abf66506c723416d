// ServiceHealth: the status file, written. What it holds is StatusDocument; how its reader judges it is HealthVerdict.

package import Diagnosis
private import Synchronization
package import Timekeeping

/// The state of the agent in a file that anybody may read and nobody gets a secret from.
///
/// Its time of last change is the heartbeat: the agent's queue has ``beat()`` set it every ``ServiceManager/beatInterval``, on
/// the watchdog's own alarm, so that it costs no alarm of its own; without a watchdog it costs one wake-up in 30 s. A queue or a
/// disk that stands still lets it grow old, and so does a killed process. It is
/// visible through a shared volume, where process numbers and locks of another container mean nothing.
///
/// After an orderly stop the file stays and says so. All of it may wait for a disk: one call at a time.
package final class StatusFile: Sendable {
    private struct State {
        var isWritten = false
        /// Nil: not looked up yet.
        var onceReady: Bool?
    }

    private let file: PublicFile
    private let state = Mutex(State())

    /// `path` is absolute; its directory must exist.
    package init(path: String) {
        file = PublicFile(path: path)
    }

    /// Throws `stateUnwritable`; the old content then stands. A write is a heartbeat too.
    package func write(_ health: AgentHealth, at now: WallTime) throws(AgentError) {
        let known = state.withLock(\.onceReady) ?? (try? StatusReading(path: file.path).document.onceReady) ?? false
        let onceReady = known || health.ready
        state.withLock { $0 = State(onceReady: onceReady) }
        try file.replace(with: StatusDocument(health, onceReady: onceReady, at: now).json)
        state.withLock { $0.isWritten = true }
    }

    /// The agent's queue makes progress, and `health` is what was written last. Puts the file back where somebody has deleted
    /// it, and tries a write again that failed.
    package func beat(_ health: AgentHealth, at now: WallTime) throws(AgentError) {
        if state.withLock(\.isWritten), try file.touch() { return }
        try write(health, at: now)
    }
}
