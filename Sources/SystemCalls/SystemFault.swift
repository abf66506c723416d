// SystemCalls: what the kernel refused, on what, and why, in words.

private import Glibc

/// A system call that failed, and on what.
package struct SystemFault: Error, Hashable, Sendable {
    package let call: String
    package let subject: String
    /// The C library's error number.
    package let number: Int32

    /// `subject`: a path, or what else the call was about. To be made right after the call, before `errno` changes.
    package init(_ call: String, _ subject: String, number: Int32 = errno) {
        self.call = call
        self.subject = subject
        self.number = number
    }

    /// `rename /run/app/token: Device or resource busy (errno 16)`.
    package var observed: String {
        "\(call) \(subject): \(words) (errno \(number))"
    }

    /// `Device or resource busy`.
    package var words: String {
        errorText(number)
    }

    /// Whether a limit was met: it may pass, and to ask again at once would spin.
    package var isOfLimits: Bool {
        !limitRemedy.isEmpty
    }

    /// What to do where a limit of the process or the machine was met, whatever the call; else empty.
    package var limitRemedy: String {
        switch number {
        case EMFILE: "Raise LimitNOFILE"
        case ENFILE: "Raise the machine's limit of open files, fs.file-max"
        case ENOMEM, ENOBUFS: "Give the agent or the machine more memory"
        case ENOSPC where call == "epoll_ctl": "Raise fs.epoll.max_user_watches"
        default: ""
        }
    }
}

/// The C library's words for an error number: `No such file or directory`.
package func errorText(_ number: Int32) -> String {
    // SAFETY: glibc's strerror returns a static or thread-local string that ends with NUL; it is copied at once.
    unsafe String(cString: strerror(number))
}

/// Repeats a call for as long as a signal interrupts it.
package func retryingOnSignal(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
