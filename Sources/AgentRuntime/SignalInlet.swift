// AgentRuntime: signals as something to read, on the loop like everything else.

private import CLinux
internal import Diagnosis
private import Glibc

/// Takes signals in by a descriptor instead of their default actions. One that comes before it is read waits there.
final class SignalInlet: Sendable {
    /// Readable when a signal has come.
    let descriptor: Int32

    /// Blocks these signals in the calling thread and in those that it starts from then on: to be made on the main thread,
    /// before any other. A child's mask is its own (``ChildLauncher``). Throws `internalFault` without a descriptor.
    init(of signals: [Int32]) throws(AgentError) {
        var mask = sigset_t()
        unsafe sigemptyset(&mask)
        for signal in signals { unsafe sigaddset(&mask, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &mask, nil)
        descriptor = unsafe signalfd(-1, &mask, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
        guard descriptor >= 0 else {
            throw AgentError(
                .internalFault, "no descriptor for signals: errno \(errno)", remedy: "Raise LimitNOFILE")
        }
    }

    deinit { close(descriptor) }

    /// The next signal's number; nil: no more have come.
    func next() -> Int32? {
        var received = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        // SAFETY: the kernel writes at most `size` bytes into a variable of that size.
        guard unsafe read(descriptor, &received, size) == size else { return nil }
        return Int32(received.ssi_signo)
    }
}
