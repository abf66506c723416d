// ChildProcess: a program in this process's place: on its terminal, in its process group, with its streams. The agent's own
// children (ChildLauncher) are the opposite of that.

internal import CLinux
private import Glibc
private import SystemCalls

/// A program that runs in the foreground. The kernel kills it when the thread that started it ends.
///
/// For one thread, the main one, of a process that starts no other children: ``reap()`` takes whatever has ended.
package final class ForegroundChild {
    package enum End: Hashable, Sendable {
        case exited(Int32)
        case signalled(Int32)
    }

    /// Why a program did not start, as env(1) and shells tell it.
    package enum Failure: Error, Hashable, Sendable {
        /// Exit status 127.
        case notFound(String)
        /// It is there and cannot be run: exit status 126.
        case notRunnable(String)
    }

    private let process: pid_t

    /// `arguments` begin with the program, which is looked for in this process's PATH where it has no slash. `environment` is
    /// all that it sees.
    package init(
        _ arguments: [String], environment: [String: String], mask: UInt32
    ) throws(Failure) {
        let program = arguments.first ?? ""
        var started: pid_t = 0
        let variables = environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let problem = unsafe withCStrings(arguments) { arguments in
            unsafe withCStrings(variables) { variables in
                // SAFETY: both arrays end with a null pointer and live until the call returns, which writes one number.
                unsafe vta_spawn_foreground(&started, arguments, variables, mask)
            }
        }
        switch problem {
        case 0: process = started
        case ENOENT: throw .notFound(SystemFault("run", program, number: problem).observed)
        default: throw .notRunnable(SystemFault("run", program, number: problem).observed)
        }
    }

    package func signal(_ number: Int32) {
        kill(process, number)
    }

    /// Reaps every child of this process that has ended, orphans too; this one's end, if it is among them.
    package func reap() -> End? {
        var end: End?
        var status: Int32 = 0
        while true {
            // SAFETY: the kernel writes one number.
            let ended = unsafe vta_reap(&status)
            guard ended > 0 else { return end }
            guard ended == process else { continue }
            let code = vta_exit_status(status)
            end = code >= 0 ? .exited(code) : .signalled(-code)
        }
    }
}
