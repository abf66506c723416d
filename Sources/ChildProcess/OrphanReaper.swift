// ChildProcess: what the first process of a container owes to the others: children of children that outlive their parents
// become its own, and stay in the process table until it reaps them.

internal import CLinux
package import EventLoop
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

/// Reaps orphans, in a process that is the first of its container.
package final class OrphanReaper: Sendable {
    /// Until the next look, where one of the agent's own children stood before the orphans.
    private static let patience: Duration = .seconds(1)

    private let loop: EventLoop

    package init(on loop: EventLoop) {
        self.loop = loop
    }

    /// Reaps all that have ended. To be called whenever SIGCHLD says that a child has. On the loop's queue.
    package func reap() {
        while true {
            switch OwnChildren.ifKnown(Self.reapOne) {
            case .none?: return
            case .orphan?: continue
            case .own?, nil:
                _ = loop.schedule(at: loop.now + Self.patience) { [weak self] in self?.reap() }
                return
            }
        }
    }

    private enum Ended {
        case none, orphan, own
    }

    private static func reapOne(_ own: Set<pid_t>) -> Ended {
        let ended = vta_ended_child()
        guard ended > 0 else { return .none }
        guard !own.contains(ended) else { return .own }
        waitpid(ended, nil, WNOHANG)
        return .orphan
    }
}
