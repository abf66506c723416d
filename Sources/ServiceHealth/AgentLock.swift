// ServiceHealth: the locks of a running agent: beside its status file, so that a killed one is seen at once, and in its state
// directory, so that no second one works on the same state.

package import Diagnosis
private import FileSystem
private import Synchronization
private import SystemCalls

package enum AgentLock {
    /// The locks of an agent with that state directory and status file.
    package static func paths(_ stateDirectory: String?, _ statusFile: String?) -> [String] {
        [stateDirectory.map { $0 + "/lock" }, statusFile.map(path(besides:))].compactMap(\.self)
    }

    /// The lock of the agent with that status file.
    package static func path(besides statusFile: String) -> String { statusFile + ".lock" }
}

/// The locks that one agent holds, until its end.
package final class AgentLocks: Sendable {
    private let held = Mutex<[FileLock]>([])

    package init() {}

    /// Holds the locks of these paths from now on, and no others. Where there can be none that keeps nobody from running.
    /// May wait for a disk.
    ///
    /// Throws `stateUnwritable` where another process holds one of them; it holds the same as before then.
    package func hold(_ paths: [String]) throws(AgentError) {
        try held.withLock { held throws(AgentError) in
            var wanted: [FileLock] = []
            for path in paths {
                if let lock = held.first(where: { $0.path == path }) {
                    wanted.append(lock)
                } else if let lock = try Self.take(path) {
                    wanted.append(lock)
                }
            }
            held = wanted
        }
    }

    private static func take(_ path: String) throws(AgentError) -> FileLock? {
        do throws(SystemFault) {
            return try FileLock(path: path)
        } catch {
            throw AgentError(
                .stateUnwritable, "another agent runs here: it holds \(path)",
                remedy: "Stop it, or give this one a state_directory and a status_file of its own")
        }
    }
}
