// HTTPClient: libcurl's connections. One multi handle whose sockets stand in the event loop's epoll set.
//
// libcurl's callbacks only note what it wants (a socket watched, an alarm set); it is called back from the event loop, never
// from within one of its own callbacks.

private import CLibcurl
internal import Dispatch
internal import EventLoop
internal import SystemCalls
internal import Timekeeping

/// Runs transfers and keeps connections for the next ones. Touched on the loop's queue only.
@safe final class ConnectionPool: @unchecked Sendable {
    /// Idle connections kept open.
    static let idleConnections = 4
    /// So long a connection may lie idle and be used again.
    package static let idleSeconds = 30
    /// So old a connection may become and be used again: names and certificates change.
    static let lifetimeSeconds = 600

    private let loop: EventLoop
    private let multi: UnsafeMutableRawPointer
    private var transfers: [UnsafeMutableRawPointer: Transfer] = unsafe [:]
    private var watches: [Int32: Watch] = [:]
    /// What each socket in use has received, and whose request it serves.
    private var meters: [Int32: (easy: UnsafeMutableRawPointer, wire: WireMeter)] = unsafe [:]
    private let turn = LoopTurn()
    private var alarm: Alarm?

    /// Nil where there is no memory.
    init?(loop: EventLoop) {
        // SAFETY: a multi handle of our own, cleaned up in deinit.
        guard let multi = unsafe curl_multi_init() else { return nil }
        self.loop = loop
        unsafe self.multi = multi
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        // SAFETY: the context is this object, which takes the callbacks back before it ends.
        unsafe vta_multi_set_socket(multi, socketWanted, context)
        unsafe vta_multi_set_timer(multi, timerWanted, context)
        unsafe vta_multi_set_long(multi, CURLMOPT_MAXCONNECTS, Self.idleConnections)
    }

    deinit {
        // No transfer is left, so libcurl watches nothing; its idle connections are closed here.
        unsafe vta_multi_set_socket(multi, nil, nil)
        unsafe vta_multi_set_timer(multi, nil, nil)
        for watch in watches.values { watch.end() }
        if let alarm { loop.cancel(alarm) }
        unsafe curl_multi_cleanup(multi)
    }

    var isIdle: Bool { unsafe transfers.isEmpty }

    /// Starts a transfer. Its `finished` is called on the queue, after this call has returned. Throws where libcurl has
    /// no memory for it.
    func start(_ transfer: Transfer) throws(HTTPFailure) {
        dispatchPrecondition(condition: .onQueue(loop.queue))
        unsafe transfers[transfer.handle.pointer] = transfer
        transfer.handle.handshake.allowance.turn = turn
        // SAFETY: both handles live; `transfers` holds the easy one until it is removed.
        let code = unsafe curl_multi_add_handle(multi, transfer.handle.pointer)
        guard code == CURLM_OK else {
            unsafe transfers[transfer.handle.pointer] = nil
            let words = unsafe String(cString: curl_multi_strerror(code))
            throw HTTPFailure(.other, "the request to \(transfer.peer) cannot begin: \(words)", maybeSent: false)
        }
    }

    /// Ends a transfer at once. `finished` is not called any more.
    func abandon(_ transfer: Transfer) {
        dispatchPrecondition(condition: .onQueue(loop.queue))
        guard unsafe transfers.removeValue(forKey: transfer.handle.pointer) != nil else { return }
        unsafe curl_multi_remove_handle(multi, transfer.handle.pointer)
    }

    /// Lets libcurl look at one socket, or with `CURL_SOCKET_TIMEOUT` at its clock.
    private func act(on socket: Int32, _ events: Int32) {
        turn.number &+= 1
        if socket == CURL_SOCKET_BAD {
            // By its clock libcurl goes on reading where it left off.
            for each in unsafe Array(meters.keys) { _ = isWithinLimits(each) }
        } else if !isWithinLimits(socket) {
            return
        }
        var running: Int32 = 0
        unsafe curl_multi_socket_action(multi, socket, events, &running)
        var left: Int32 = 0
        // SAFETY: the message is libcurl's and valid until the next call with this handle.
        while let message = unsafe curl_multi_info_read(multi, &left) {
            guard unsafe message.pointee.msg == CURLMSG_DONE, let easy = unsafe message.pointee.easy_handle else {
                continue
            }
            let result = unsafe vta_message_result(message)
            guard let transfer = unsafe transfers.removeValue(forKey: easy) else { continue }
            unsafe curl_multi_remove_handle(multi, easy)
            transfer.end(with: result)
        }
    }

    /// Whether the socket has received no more than its request may cost; ends the request otherwise.
    private func isWithinLimits(_ socket: Int32) -> Bool {
        guard var meter = unsafe meters[socket], let transfer = unsafe transfers[meter.easy] else { return true }
        let limit = PeerLimits.wire(replyLimit: transfer.request.replyLimit)
        let count = unsafe meter.wire.count()
        unsafe meters[socket] = meter
        guard count > limit else { return true }
        transfer.refuse(wireLimit: limit)
        abandon(transfer)
        transfer.end(with: CURLE_ABORTED_BY_CALLBACK)
        return false
    }

    /// Throws where the kernel refuses.
    fileprivate func watch(
        _ socket: Int32, of easy: UnsafeMutableRawPointer?, for interest: Readiness
    ) throws(SystemFault) {
        if let easy = unsafe easy, unsafe meters[socket]?.easy != easy {
            unsafe meters[socket] = (easy, WireMeter(socket))
        }
        if let watch = watches[socket] {
            try watch.change(to: interest)
        } else {
            watches[socket] = try loop.watch(borrowed: socket, for: interest) { [weak self] ready in
                var events: Int32 = 0
                if ready.contains(.readable) { events |= CURL_CSELECT_IN }
                if ready.contains(.writable) { events |= CURL_CSELECT_OUT }
                // libcurl learns what failed by trying.
                if ready.contains(.failed) { events |= CURL_CSELECT_IN | CURL_CSELECT_OUT }
                self?.act(on: socket, events)
            }
        }
    }

    fileprivate func unwatch(_ socket: Int32) {
        unsafe meters[socket] = nil
        watches.removeValue(forKey: socket)?.end()
    }

    /// A transfer whose socket cannot be watched would wait for ever. It ends once libcurl has returned from its callback.
    fileprivate func end(_ easy: UnsafeMutableRawPointer?, for fault: SystemFault) {
        guard let easy = unsafe easy, let transfer = unsafe transfers[easy] else { return }
        transfer.refuse(fault)
        loop.queue.async { [weak self] in
            guard let self else { return }
            for transfer in unsafe transfers.values.filter({ $0.isRefused }) {
                abandon(transfer)
                transfer.end(with: CURLE_ABORTED_BY_CALLBACK)
            }
        }
    }

    /// Negative: no alarm.
    fileprivate func setAlarm(milliseconds: Int) {
        if let alarm { loop.cancel(alarm) }
        alarm = nil
        guard milliseconds >= 0 else { return }
        alarm = loop.schedule(at: loop.now + .milliseconds(milliseconds)) { [weak self] in
            self?.alarm = nil
            self?.act(on: CURL_SOCKET_BAD, 0)
        }
    }
}

/// libcurl's CURLMOPT_SOCKETFUNCTION. Acts at once: libcurl may close the socket right after it says "remove".
private func socketWanted(
    _ easy: UnsafeMutableRawPointer?, _ socket: Int32, _ what: Int32, _ context: UnsafeMutableRawPointer?,
    _ socketContext: UnsafeMutableRawPointer?
) -> Int32 {
    guard let context = unsafe context else { return 0 }
    // SAFETY: the context is the pool that set this callback and lives.
    let pool = unsafe Unmanaged<ConnectionPool>.fromOpaque(context).takeUnretainedValue()
    do throws(SystemFault) {
        switch what {
        case CURL_POLL_IN: unsafe try pool.watch(socket, of: easy, for: .readable)
        case CURL_POLL_OUT: unsafe try pool.watch(socket, of: easy, for: .writable)
        case CURL_POLL_INOUT: unsafe try pool.watch(socket, of: easy, for: [.readable, .writable])
        case CURL_POLL_REMOVE: pool.unwatch(socket)
        default: break
        }
    } catch {
        // To tell libcurl would end every other transfer too.
        unsafe pool.end(easy, for: error)
    }
    return 0
}

/// libcurl's CURLMOPT_TIMERFUNCTION.
private func timerWanted(
    _ multi: UnsafeMutableRawPointer?, _ milliseconds: Int, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    guard let context = unsafe context else { return 0 }
    // SAFETY: the context is the pool that set this callback and lives.
    unsafe Unmanaged<ConnectionPool>.fromOpaque(context).takeUnretainedValue().setAlarm(milliseconds: milliseconds)
    return 0
}
