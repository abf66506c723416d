// TokenSinks: a failed system call on a sink becomes an error that says what to do.

internal import Diagnosis
private import FileSystem
internal import Glibc
internal import SystemCalls

extension SystemFault {
    /// Whether space or quota is lacking, which may pass.
    var isWantOfSpace: Bool {
        number == ENOSPC || number == EDQUOT
    }

    /// The error when a token is delivered: to be tried again.
    func whenDelivering(directory: String) -> AgentError {
        AgentError(isWantOfSpace ? .sinkFull : .sinkUnwritable, observed, remedy: remedy(directory: directory))
    }

    /// The error when the sink is tried at start. A name that is too long is one on every machine; all else may be
    /// otherwise later: a file system that is mounted late, a directory that somebody makes.
    /// `group`: to which the sink is given.
    func whenChecking(directory: String, group: gid_t? = nil) -> AgentError {
        let error = whenDelivering(directory: directory)
        if number == EPERM, call == "chown", let group, isMembershipNewerThanProcess(group) {
            return AgentError(
                .groupsOutdated, observed,
                remedy:
                    "The agent's user is a member of group \(group) by now, which only a new process has: restart it")
        }
        return number == ENAMETOOLONG
            ? AgentError(.configurationInvalid, error.observed, remedy: error.remedy) : error
    }
}
