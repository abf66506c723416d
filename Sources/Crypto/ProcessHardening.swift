// Crypto: what keeps the secrets of a running process from leaking by ways that have nothing to do with its code.

private import CLinux
package import Diagnosis
private import Glibc
private import Synchronization

package enum ProcessHardening {
    private static let formerMask = Mutex<mode_t>(0o022)

    /// The mask of new files that the process was started with: for programs that take its place.
    package static var inheritedMask: UInt32 { formerMask.withLock { $0 } }

    /// For the start of the program, before it has a secret or a thread: no core dumps and no `/proc` memory for other
    /// processes of the same user, files for the owner only unless told otherwise, no death by SIGPIPE, and standard streams
    /// that are not there lead nowhere: else the next socket or token file would get that number, and log lines with it. What is
    /// written to standard output then fails, as it would without that: nobody has it.
    package static func apply() throws(AgentError) {
        // Also takes /proc/self/{mem,environ,maps} from the agent's user and ptrace from all but root.
        try check("prctl(PR_SET_DUMPABLE)", vta_set_dumpable(0))
        try check("setrlimit(RLIMIT_CORE)", vta_forbid_core_dumps())
        let mask = umask(0o077)
        formerMask.withLock { $0 = mask }
        signal(SIGPIPE, SIG_IGN)
        for stream in STDIN_FILENO...STDERR_FILENO where fcntl(stream, F_GETFD) == -1 {
            // The lowest free number is given out, which is this one.
            let mode = stream == STDOUT_FILENO ? O_RDONLY : O_RDWR
            // SAFETY: the path is a constant that outlives the call.
            try check("open(/dev/null)", unsafe open("/dev/null", mode) == stream ? 0 : -1)
        }
    }

    private static func check(_ call: String, _ result: Int32) throws(AgentError) {
        guard result == 0 else { throw AgentError(.internalFault, "\(call) failed: errno \(errno)") }
    }
}
