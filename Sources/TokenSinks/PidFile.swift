// TokenSinks: a signal to the process that a pid file names.

internal import CLinux
internal import Crypto
internal import Diagnosis
internal import Glibc
internal import SystemCalls

/// A file with the number of a process.
struct PidFile: Sendable {
    let path: String

    /// Largest pid file that is read: a number of the kernel's has at most seven digits.
    private static let limit = 32

    /// Sends a signal and returns to whom. May wait for a disk.
    ///
    /// The file must belong to root, to the agent's user or to the process's own user: nobody else may direct the agent's
    /// signals. Throws `commandFailed`.
    func signal(_ number: Int32) throws(AgentError) -> pid_t {
        do throws(SystemFault) {
            let process = try readNumber()
            guard process > 1, process != getpid() else { throw SystemFault("signalling by", path, number: EINVAL) }
            // From here on the descriptor stands for the process, even if its number is used again.
            let handle = try Descriptor(vta_pidfd_open(process), "opening process \(process) of", path)
            let fileOwner = try owner(of: path)
            let processOwner = try owner(of: "/proc/\(process)")
            guard fileOwner == 0 || fileOwner == geteuid() || fileOwner == processOwner else {
                throw SystemFault("trusting", path, number: EPERM)
            }
            guard vta_pidfd_send_signal(handle.number, number) == 0 else {
                throw SystemFault("signalling process \(process) of", path)
            }
            return process
        } catch {
            throw AgentError(.commandFailed, error.observed, remedy: remedy(error.number))
        }
    }

    private func remedy(_ number: Int32) -> String {
        switch number {
        case ENOENT, ESRCH: "Check that the program runs and writes its process number there"
        case EINVAL: "The file must hold the number of another process and nothing else"
        case EPERM, EACCES: "Run the agent as the program's user, and let root, that user or the agent own the pid file"
        default: ""
        }
    }

    private func readNumber() throws(SystemFault) -> pid_t {
        guard let text = try readWhole(path, limit: Self.limit)?.text else {
            throw SystemFault("reading", path, number: EINVAL)
        }
        let digits = text.drop { $0 == " " }.prefix { $0.isASCII && $0.isNumber }
        let rest = text.drop { $0 == " " }.dropFirst(digits.count)
        guard rest.allSatisfy({ $0.isWhitespace }), let number = pid_t(digits) else {
            throw SystemFault("reading", path, number: EINVAL)
        }
        return number
    }

    private func owner(of path: String) throws(SystemFault) -> uid_t {
        var status = stat()
        // SAFETY: the kernel fills `status` before the call returns.
        guard unsafe stat(path, &status) == 0 else { throw SystemFault("stat", path) }
        return status.st_uid
    }
}
