// ChildProcess: the children of this process that somebody sees through, and those that must not outlive it.

internal import Glibc
private import Synchronization
internal import SystemCalls

/// The children that a ``ChildRun`` sees through and reaps. Their exit statuses are nobody else's.
enum OwnChildren {
    private static let numbers = Mutex<Set<pid_t>>([])

    /// Starts a child; nobody looks for orphans before its number is known.
    static func starting(_ start: () throws(SystemFault) -> pid_t) throws(SystemFault) -> pid_t {
        try numbers.withLock { numbers throws(SystemFault) in
            let number = try start()
            numbers.insert(number)
            return number
        }
    }

    static func reaped(_ number: pid_t) {
        _ = numbers.withLock { $0.remove(number) }
    }

    /// Nil while a child is being started, which can wait for a disk.
    static func ifKnown<Result>(_ body: (Set<pid_t>) -> Result) -> Result? {
        numbers.withLockIfAvailable { body($0) }
    }
}

/// The running children that die with the agent, each the leader of its process group.
///
/// The kernel kills such a child when this process ends, but not what it has started: the parts of a shell's pipe. So before an
/// orderly end the groups are killed from here.
package enum TiedChildren {
    private static let leaders = Mutex<Set<pid_t>>([])

    static func started(_ leader: pid_t) {
        _ = leaders.withLock { $0.insert(leader) }
    }

    /// To be called before it is reaped: then its number may become another's.
    static func ended(_ leader: pid_t) {
        _ = leaders.withLock { $0.remove(leader) }
    }

    /// The process is about to end.
    package static func killAll() {
        leaders.withLock { leaders in
            for leader in leaders { kill(-leader, SIGKILL) }
        }
    }
}
