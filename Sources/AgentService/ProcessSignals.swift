// AgentService: the signals that the process hears, from its first line to its end. None is lost and none acts half-way:
// one that comes before somebody listens ends the process at once, or waits.

import CLinux
import EventLoop
import Glibc
package import SystemCalls

package enum ProcessSignals {
    /// Those that ask for the end.
    static let ending = [SIGTERM, SIGINT]
    /// Those that ask the service for something: another configuration, other tokens, none at all.
    static let asking = [SIGHUP, SIGUSR1, SIGUSR2]

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

    /// They wait from now on, in this thread and in those that it makes, for a ``SignalListener``, ``HeldSignals`` or
    /// ``release(_:)``.
    package static func hold(_ numbers: [Int32]) {
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

/// Signals that the process holds, told one by one to whoever asks. Of one that came several times before that, one.
package final class HeldSignals: Sendable {
    package struct Signal: Hashable, Sendable {
        package let number: Int32
        /// Nobody sent it. One that a terminal's key has raised is told so; all in its foreground were told.
        package let isKernels: Bool
    }

    /// Readable while one waits.
    private let descriptor: Descriptor

    /// Throws where the kernel has no descriptor or memory left.
    package init(_ numbers: [Int32]) throws(SystemFault) {
        var set = ProcessSignals.signalSet(numbers)
        // SAFETY: the kernel reads the set before the call returns.
        descriptor = try Descriptor(unsafe vta_signal_descriptor(&set), "signalfd", "(signals)")
    }

    /// For poll and epoll.
    package var number: Int32 { descriptor.number }

    /// Nil: none has come.
    package func next() -> Signal? {
        var isKernels: Int32 = 0
        // SAFETY: the call writes one number, which outlives it.
        let number = unsafe vta_next_signal(descriptor.number, &isKernels)
        return number > 0 ? Signal(number: number, isKernels: isKernels != 0) : nil
    }
}

/// Hears signals that the process holds, on the loop's queue, for as long as this lives. Those that wait already are heard
/// first.
final class SignalListener: @unchecked Sendable {
    private let signals: HeldSignals
    private var watch: Watch?

    /// On the loop's queue. Throws where the kernel has no descriptor or memory left.
    init(
        to numbers: [Int32], on loop: EventLoop, _ handler: @escaping @Sendable (Int32) -> Void
    ) throws(SystemFault) {
        let signals = try HeldSignals(numbers)
        self.signals = signals
        watch = try loop.watch(borrowed: signals.number, for: .readable) { [weak self] _ in
            while let signal = self?.signals.next() { handler(signal.number) }
        }
    }

    deinit {
        // Before the number can be another's.
        watch?.end()
    }
}
