// ChildProcess: the children of this process that somebody sees through, and those that must not outlive it.

private import Dispatch
internal import Glibc
private import Synchronization
internal import SystemCalls
private import Timekeeping

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

/// The running children, each the leader of its process group: those that die with the agent, and those that are told to stop
/// when it ends.
///
/// The kernel kills the former when this process ends, but not what they have started: the parts of a shell's pipe. So before an
/// orderly end the groups are killed from here.
package enum RunningChildren {
    private struct Leaders {
        var tied: Set<pid_t> = []
        /// Whether each has been told to stop.
        var free: [pid_t: Bool] = [:]
    }

    /// Between the request to stop, SIGTERM, and SIGKILL.
    static let grace: Duration = .seconds(2)
    /// The same at the agent's end, which is to come within 5 s of its signal and has waited for Vault for up to 3 s by now.
    private static let graceAtEnd: Duration = .milliseconds(1_500)

    private static let leaders = Mutex(Leaders())
    /// Has one entry for each of the free.
    private static let free = DispatchGroup()

    static func started(_ leader: pid_t, tied: Bool) {
        leaders.withLock { leaders in
            guard !tied else {
                leaders.tied.insert(leader)
                return
            }
            leaders.free[leader] = false
            free.enter()
        }
    }

    /// To be called before it is reaped: then its number may become another's.
    static func ended(_ leader: pid_t) {
        leaders.withLock { leaders in
            leaders.tied.remove(leader)
            if leaders.free.removeValue(forKey: leader) != nil { free.leave() }
        }
    }

    /// Asks the group to stop. One of the free is asked once, whoever asks.
    static func askToStop(_ leader: pid_t) {
        leaders.withLock { leaders in
            if leaders.free[leader] != true { kill(-leader, SIGTERM) }
            if leaders.free[leader] != nil { leaders.free[leader] = true }
        }
    }

    /// The process is about to end. Waits for those that take their time.
    package static func endAll() {
        let asked = leaders.withLock { leaders in
            for leader in leaders.tied { kill(-leader, SIGKILL) }
            return leaders.free.keys.sorted()
        }
        for leader in asked { askToStop(leader) }
        let latest = DispatchTime.now() + .nanoseconds(Int(clamping: graceAtEnd.nanoseconds))
        guard free.wait(timeout: latest) == .timedOut else { return }
        leaders.withLock { leaders in
            for leader in leaders.free.keys { kill(-leader, SIGKILL) }
        }
    }
}
