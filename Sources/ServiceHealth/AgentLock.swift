// ServiceHealth: the locks of a running agent: beside its status file, so that a killed one is seen at once, and in its state
// directory, so that no second one works on the same state.

package import Diagnosis
package import FileSystem
private import SystemCalls

package enum AgentLock {
    /// Throws `stateUnwritable` where another process holds it; nil where there are no such locks: that keeps nobody from
    /// running.
    package static func take(_ path: String) throws(AgentError) -> FileLock? {
        do throws(SystemFault) {
            return try FileLock(path: path)
        } catch {
            throw AgentError(
                .stateUnwritable, "another agent runs here: it holds \(path)",
                remedy: "Stop it, or give this one a state_directory and a status_file of its own")
        }
    }

    /// The locks of an agent with that state directory and status file.
    package static func paths(_ stateDirectory: String?, _ statusFile: String?) -> [String] {
        [stateDirectory.map { $0 + "/lock" }, statusFile.map(path(besides:))].compactMap(\.self)
    }

    /// The lock of the agent with that status file.
    package static func path(besides statusFile: String) -> String { statusFile + ".lock" }
}
