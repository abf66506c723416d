// TokenSinks: a failed system call becomes an error that says what to do.

internal import CLinux
internal import Diagnosis
internal import Glibc

/// A system call that failed, and on what.
struct SystemFault: Error {
    let call: String
    let path: String
    let number: Int32

    /// To be made right after the call, before `errno` changes.
    init(_ call: String, _ path: String, number: Int32 = errno) {
        self.call = call
        self.path = path
        self.number = number
    }

    /// `rename /run/app/token: Device or resource busy (errno 16)`.
    var observed: String {
        // SAFETY: glibc's strerror returns a static or thread-local string that ends with NUL.
        let words = unsafe String(cString: strerror(number))
        return "\(call) \(path): \(words) (errno \(number))"
    }

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
        case EMFILE, ENFILE:
            "Raise LimitNOFILE"
        default:
            ""
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

/// An open descriptor with one owner; closed when that ends.
struct Descriptor: ~Copyable {
    let number: Int32

    /// Takes over `number`, or throws what `errno` says where it is negative.
    init(_ number: Int32, _ call: String, _ path: String) throws(SystemFault) {
        guard number >= 0 else { throw SystemFault(call, path) }
        self.number = number
    }

    /// The number, no longer owned.
    consuming func take() -> Int32 {
        let taken = number
        discard self
        return taken
    }

    deinit {
        Glibc.close(number)
    }
}

/// Repeats a call for as long as a signal interrupts it.
func retryingOnSignal(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
