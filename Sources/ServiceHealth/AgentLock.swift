// ServiceHealth: a lock that a running agent holds: beside its status file, so that a killed one is seen at once, and in its
// state directory, so that no second one works on the same state.

private import CLinux
package import Diagnosis
private import Glibc
private import SystemCalls

/// Held for as long as it lives, and by no process that has ended, however it ended.
package final class AgentLock: Sendable {
    package let path: String
    private let file: Descriptor

    /// Throws `stateUnwritable` where another process holds it; nil where the file system has no such locks, or nothing
    /// can be written there: that keeps nobody from running.
    package init?(path: String) throws(AgentError) {
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        guard let file = try? Descriptor(unsafe open(path, flags, 0o644), "open", path) else { return nil }
        if vta_lock(file.number) != 0 {
            guard errno == EAGAIN || errno == EACCES else { return nil }
            throw AgentError(
                .stateUnwritable, "another agent runs here: it holds \(path)",
                remedy: "Stop it, or give this one a state_directory and a status_file of its own")
        }
        self.path = path
        self.file = file
    }

    /// Whether somebody holds it now; nil where that cannot be told: there is no such file, or it cannot be read.
    package static func isHeld(path: String) -> Bool? {
        let flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC
        guard let file = try? Descriptor(unsafe open(path, flags), "open", path) else { return nil }
        return switch vta_is_locked(file.number) {
        case 0: false
        case 1: true
        default: nil
        }
    }

    /// The locks of an agent with that state directory and status file.
    package static func paths(_ stateDirectory: String?, _ statusFile: String?) -> [String] {
        [stateDirectory.map { $0 + "/lock" }, statusFile.map(path(besides:))].compactMap(\.self)
    }

    /// The lock of the agent with that status file.
    package static func path(besides statusFile: String) -> String { statusFile + ".lock" }
}
