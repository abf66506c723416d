// TokenSinks: a failed system call on a sink becomes an error that says what to do.

internal import Diagnosis
internal import Glibc
internal import SystemCalls

extension SystemFault {
    /// Whether space or quota is lacking, which may pass.
    var isWantOfSpace: Bool {
        number == ENOSPC || number == EDQUOT
    }

    /// What to do about it, for a sink whose directory is `directory`.
    func remedy(directory: String) -> String {
        switch number {
        case ENOENT, ENOTDIR:
            "Create \(directory); with systemd, RuntimeDirectory= does"
        case EROFS:
            "\(directory) is on a read-only file system: mount a writable one there, or add it to ReadWritePaths="
        case EPERM where call == "chown":
            "Only root, or CAP_CHOWN, may give files to another user or to a group that the agent is not in"
        case EACCES, EPERM:
            "Let the agent's user (uid \(geteuid())) list, search and write \(directory)"
        case ENOSPC:
            "Free space or inodes on the file system of \(directory)"
        case EDQUOT:
            "Raise the disk quota of the agent's user (uid \(geteuid()))"
        case ELOOP, ENAMETOOLONG:
            "Give another path"
        default:
            limitRemedy
        }
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
