// FileSystem: what the reader of a log can do when a file in a directory cannot be made, changed or kept.

private import Glibc
package import SystemCalls

extension SystemFault {
    /// What to do about it, for a file of the agent in `directory`; empty where there is no more to say.
    package func remedy(directory: String) -> String {
        switch number {
        case ENOENT, ENOTDIR:
            "Create \(directory); with systemd, RuntimeDirectory= or StateDirectory= does"
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
}
