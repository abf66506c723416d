// TokenSinks: a failed system call on a sink becomes an error that says what to do.

internal import Diagnosis
private import Glibc
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

    /// The error when the sink is tried at start: a person must act, unless it is for want of space or an unsteady disk.
    func whenChecking(directory: String) -> AgentError {
        let code: AgentError.Code
        switch number {
        case ENOSPC, EDQUOT: code = .sinkFull
        case ENOENT, ENOTDIR, EROFS, EACCES, EPERM, ELOOP, ENAMETOOLONG, EISDIR, EINVAL: code = .configurationInvalid
        default: code = .sinkUnwritable
        }
        return AgentError(code, observed, remedy: remedy(directory: directory))
    }
}
