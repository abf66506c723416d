// ServiceHealth: the status file, written. What it holds is StatusDocument; how its reader judges it is HealthVerdict.

package import Diagnosis
package import Timekeeping

/// The state of the agent in a file that anybody may read and nobody gets a secret from.
///
/// Its time of last change is the heartbeat: ``beat()`` sets it from the agent's queue every ``ServiceManager/beatInterval``, on
/// the watchdog's own alarm, so that it costs one system call and no wake-up of its own; without a watchdog it costs
/// one wake-up in 30 s. A queue that stands still lets it grow old, and so does a killed process. It is
/// visible through a shared volume, where process numbers and locks of another container mean nothing.
///
/// After an orderly stop the file stays and says so. Not Sendable: call it from the agent's queue.
package final class StatusFile {
    private let file: PublicFile
    private var content: String?
    private var onceReady: Bool

    /// `path` is absolute; its directory must exist.
    package init(path: String) {
        file = PublicFile(path: path)
        onceReady = (try? StatusReading(path: path).document.onceReady) ?? false
    }

    /// Throws `stateUnwritable`; the old content then stands. A write is a heartbeat too.
    package func write(_ health: AgentHealth, at now: WallTime) throws(AgentError) {
        onceReady = onceReady || health.ready
        let text = StatusDocument(health, onceReady: onceReady, at: now).json
        content = text
        try file.replace(with: text)
    }

    /// The agent's queue makes progress. Puts the file back where somebody has deleted it.
    package func beat() throws(AgentError) {
        guard let content else { return }
        if try !file.touch() { try file.replace(with: content) }
    }
}
