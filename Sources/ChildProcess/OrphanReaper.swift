// ChildProcess: what the first process of a container owes to the others: children of children that outlive their parents
// become its own, and stay in the process table until it reaps them.

internal import CLinux
package import EventLoop
internal import Glibc
private import Timekeeping

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
