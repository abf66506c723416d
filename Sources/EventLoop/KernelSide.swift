// EventLoop: what the kernel keeps for a loop: one epoll set and one timer, which stands in the set.

internal import CLinux
internal import Glibc
internal import SystemCalls
internal import Timekeeping

/// The set and the timer; closed together. The set's calls may be made from any thread, the timer's from the queue.
final class KernelSide: Sendable {
    /// The timer's name in the set.
    static let timerIdentifier: UInt64 = 0
    /// What Dispatch wakes the main thread by, in the set of a loop that it serves.
    static let mainQueueIdentifier = UInt64.max

    let epoll: Descriptor
    private let timer: Descriptor

    init() throws(SystemFault) {
        epoll = try Descriptor(epoll_create1(Int32(EPOLL_CLOEXEC)), "epoll_create1", "(epoll)")
        timer = try Descriptor(
            timerfd_create(CLOCK_BOOTTIME, Int32(TFD_NONBLOCK | TFD_CLOEXEC)), "timerfd_create", "(timer)")
        try watch(timer.number, as: Self.timerIdentifier, for: .readable)
    }

    // MARK: Set

    /// A number that stands in the set already was closed by its owner while a child still had it: what it means now counts.
    func watch(_ number: Int32, as identifier: UInt64, for interest: Readiness) throws(SystemFault) {
        try control(EPOLL_CTL_ADD, otherwise: (EEXIST, EPOLL_CTL_MOD), number, identifier, interest)
    }

    /// A number that has left the set was closed and opened anew by its owner, and is put into it again.
    func change(_ number: Int32, as identifier: UInt64, to interest: Readiness) throws(SystemFault) {
        try control(EPOLL_CTL_MOD, otherwise: (ENOENT, EPOLL_CTL_ADD), number, identifier, interest)
    }

    /// A number that is not there, since it is closed already, is as good as forgotten.
    func forget(_ number: Int32) {
        _ = control(EPOLL_CTL_DEL, number, 0, [])
    }

    private func control(
        _ operation: Int32, otherwise: (problem: Int32, operation: Int32), _ number: Int32, _ identifier: UInt64,
        _ interest: Readiness
    ) throws(SystemFault) {
        if control(operation, number, identifier, interest) { return }
        if errno == otherwise.problem, control(otherwise.operation, number, identifier, interest) { return }
        throw SystemFault("epoll_ctl", "(descriptor \(number))")
    }

    /// False: `errno` says why.
    private func control(_ operation: Int32, _ number: Int32, _ identifier: UInt64, _ interest: Readiness) -> Bool {
        var event = unsafe epoll_event()
        unsafe event.events = interest.rawValue
        unsafe event.data.u64 = identifier
        // SAFETY: the kernel copies `event` before the call returns.
        return unsafe epoll_ctl(epoll.number, operation, number, &event) == 0
    }

    /// Tells up to 64 that are ready: now, or with `waiting` as soon as one is. The set reports again what is left.
    func ready(waiting: Bool, _ tell: (_ identifier: UInt64, _ readiness: Readiness) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            // SAFETY: the kernel writes at most 64 events into the 64 that were allocated, and says how many.
            let count = unsafe epoll_wait(epoll.number, events.baseAddress, 64, waiting ? -1 : 0)
            for index in 0..<max(0, Int(count)) {
                let event = unsafe events[index]
                unsafe tell(event.data.u64, Readiness(events: event.events))
            }
        }
    }

    // MARK: Timer

    /// Nil: it does not ring.
    func setTimer(_ moment: Instant?) {
        var setting = itimerspec()
        if let moment {
            // Zero would disarm; a moment in the past rings at once.
            let nanoseconds = max(1, moment.nanoseconds)
            setting.it_value = timespec(
                tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        }
        // SAFETY: the kernel copies `setting` before the call returns; nil asks for no old value.
        unsafe timerfd_settime(timer.number, Int32(TFD_TIMER_ABSTIME), &setting, nil)
    }

    /// It has rung, and is ready no longer.
    func acknowledgeTimer() {
        acknowledge(timer.number)
    }

    /// For a timer or an eventfd: what it has counted so far is known.
    func acknowledge(_ number: Int32) {
        var count: UInt64 = 0
        // SAFETY: the kernel writes the eight bytes of the number.
        _ = unsafe read(number, &count, MemoryLayout<UInt64>.size)
    }
}
