// EventLoop: one watched descriptor, and its end.

package import SystemCalls

/// A descriptor that stands in a loop's set. Owns it, unless it was borrowed; closes it when the watch ends.
///
/// Ends by ``end()``, or with its last reference, on whatever thread that is. For all else: on the loop's queue only.
package final class Watch: @unchecked Sendable {
    private let loop: EventLoop
    private let identifier: UInt64
    private let watched: Int32
    private var descriptor: Descriptor?
    private var hasEnded = false

    init(_ identifier: UInt64, owning descriptor: consuming Descriptor, in loop: EventLoop) {
        self.loop = loop
        self.identifier = identifier
        watched = descriptor.number
        self.descriptor = consume descriptor
    }

    init(_ identifier: UInt64, borrowing number: Int32, in loop: EventLoop) {
        self.loop = loop
        self.identifier = identifier
        watched = number
        descriptor = nil
    }

    /// For system calls; -1, which is no descriptor, after the end.
    package var number: Int32 {
        hasEnded ? -1 : watched
    }

    /// What to wait for from now on; nothing, after the end. Throws what the kernel says.
    package func change(to interest: Readiness) throws(SystemFault) {
        guard !hasEnded else { return }
        try loop.change(watched, as: identifier, to: interest)
    }

    /// The handler is not called any more, and the descriptor is closed. The second time it does nothing.
    package func end() {
        guard !hasEnded else { return }
        hasEnded = true
        loop.forget(watched, as: identifier)
        descriptor = nil
    }

    deinit {
        end()
    }
}
