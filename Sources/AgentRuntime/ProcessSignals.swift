// AgentRuntime: the signals that the process hears, from its first line to its end. None is lost and none acts half-way:
// one that comes before somebody listens ends the process at once, or waits.

import CLinux
import EventLoop
import Glibc
import SystemCalls

package enum ProcessSignals {
    /// Those that ask for the end.
    static let ending = [SIGTERM, SIGINT]
    /// Those that ask the service for something: another configuration, other tokens.
    static let asking = [SIGHUP, SIGUSR1]

    /// For the first line of the program, before it has a thread. Until somebody listens, those that ask for the end are
    /// obeyed at once, also by process 1 of a container, for which the kernel has no default; the others wait.
    package static func expect() {
        for number in ending { signal(number, vta_end_by_signal) }
        hold(asking)
    }

    /// For a command that is no service: what only a service understands ends it, as it would any program.
    package static func letGoOfTheServices() {
        release(asking)
    }

    /// They wait from now on, in this thread and in those that it makes, for ``listen(to:on:_:)`` or ``release(_:)``.
    static func hold(_ numbers: [Int32]) {
        mask(SIG_BLOCK, numbers)
    }

    static func release(_ numbers: [Int32]) {
        mask(SIG_UNBLOCK, numbers)
    }

    private static func mask(_ how: Int32, _ numbers: [Int32]) {
        var set = signalSet(numbers)
        // SAFETY: the kernel reads the set before the call returns; nil asks for no old one.
        unsafe pthread_sigmask(how, &set, nil)
    }

    fileprivate static func signalSet(_ numbers: [Int32]) -> sigset_t {
        var set = sigset_t()
        // SAFETY: both calls write to the one set, and it is emptied before it is filled.
        unsafe sigemptyset(&set)
        for number in numbers { unsafe sigaddset(&set, number) }
        return set
    }
}

/// Hears signals that the process holds, on the loop's queue, for as long as this lives. Those that wait already are heard
/// first; of one that came several times before it was heard, one.
final class SignalListener: @unchecked Sendable {
    private let descriptor: Descriptor
    private var watch: Watch?

    /// On the loop's queue. Throws where the kernel has no descriptor or memory left.
    init(
        to numbers: [Int32], on loop: EventLoop, _ handler: @escaping @Sendable (Int32) -> Void
    ) throws(SystemFault) {
        var set = ProcessSignals.signalSet(numbers)
        // SAFETY: the kernel reads the set before the call returns.
        descriptor = try Descriptor(unsafe vta_signal_descriptor(&set), "signalfd", "(signals)")
        watch = try loop.watch(borrowed: descriptor.number, for: .readable) { [weak self] _ in
            while let number = self?.next() { handler(number) }
        }
    }

    deinit {
        // Before the number can be another's.
        watch?.end()
    }

    /// Nil: none has come.
    private func next() -> Int32? {
        let number = vta_next_signal(descriptor.number)
        return number > 0 ? number : nil
    }
}
