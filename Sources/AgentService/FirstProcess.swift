// AgentService: what the service does as process 1 of a container: it reaps the orphans that become its children.

import ChildProcess
import EventLoop
import Glibc
import Synchronization
import SystemCalls

final class FirstProcess: Sendable {
    private static let signals = [SIGCHLD]
    private let listener = Mutex<SignalListener?>(nil)

    /// Nil where another process is the first. Before threads are there: they inherit which signals are held.
    init?() {
        guard getpid() == 1 else { return nil }
        ProcessSignals.hold(Self.signals)
    }

    /// On the loop's queue. Throws where the kernel has no descriptor or memory left.
    func reapOrphans(on loop: EventLoop) throws(SystemFault) {
        let reaper = OrphanReaper(on: loop)
        let made = try SignalListener(to: Self.signals, on: loop) { _ in reaper.reap() }
        listener.withLock { $0 = made }
        reaper.reap()
    }
}
