// HTTPClient: one request on its way through libcurl: its handle, what the handle points at, and what has come back.

internal import CLibcurl
internal import Crypto
internal import SystemCalls

/// One hop: a request to one URL and its reply. Owns the easy handle and all that libcurl borrows. On the queue only.
@safe final class Transfer {
    let handle: EasyHandle
    let request: HTTPRequest
    let address: WebAddress
    private let finished: (Result<Transfer, HTTPFailure>) -> Void

    private(set) var head = ReplyHead()
    private var stepsToProxy = 0
    private var body: SecretBuffer
    /// Why we stopped the transfer ourselves.
    private var refusal: HTTPFailure?

    /// `finished` is called once, on the queue, unless the transfer is abandoned.
    init(
        _ request: HTTPRequest, to address: WebAddress, within limits: TimeLimits,
        finished: @escaping (Result<Transfer, HTTPFailure>) -> Void
    ) throws(HTTPFailure) {
        self.request = request
        self.address = address
        self.finished = finished
        body = SecretBuffer(limit: request.replyLimit)
        handle = try EasyHandle(request, to: address, within: limits)
        // SAFETY: this object owns the handle, and libcurl calls back only while it runs the handle.
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe handle.deliver(body: bodyArrived, headers: headerArrived, to: context)
        if handle.proxy != nil { unsafe handle.tellProgress(to: stepTaken, context) }
    }

    /// Whom this talks to, as messages name it.
    var peer: String {
        guard let path = request.route.unixSocketPath else { return address.authority }
        return "\(address.authority) at socket \(path)"
    }

    var replyBody: Secret { body.secret() }

    func end(with code: CURLcode) {
        if let refusal {
            finished(.failure(refusal))
        } else if code != CURLE_OK {
            finished(.failure(HTTPFailure(code, of: self)))
        } else if !head.isComplete {
            // libcurl is content with half a head.
            let observed = "the connection to \(peer) ended within the reply's head"
            finished(.failure(HTTPFailure(.connectionLost, observed, maybeSent: true)))
        } else {
            finished(.success(self))
        }
    }

    var isRefused: Bool { refusal != nil }

    /// It cannot go on, for the kernel does not let its socket be watched.
    func refuse(_ fault: SystemFault) {
        refusal = HTTPFailure(
            .other, "the connection to \(peer) cannot be watched: \(fault.observed) \(fault.limitRemedy)",
            maybeSent: handle.wasConnected)
    }

    /// The peer has sent more for this one reply than any reply needs.
    func refuse(wireLimit: Int) {
        refusal = HTTPFailure(
            .replyTooLong,
            "\(peer) sends more than \(wireLimit) bytes for a reply of at most \(request.replyLimit)", maybeSent: true)
    }

    /// libcurl reads a proxy's answer to CONNECT a byte a step, and one that comes with a body all within one turn of the event
    /// loop. False: more than any proxy has to say.
    fileprivate func takeStep() -> Bool {
        guard !handle.wasConnected else { return true }
        stepsToProxy += 1
        guard stepsToProxy > PeerLimits.proxyAnswer else { return true }
        let proxy = handle.proxy.flatMap(proxyName) ?? "(proxy)"
        refusal = HTTPFailure(
            .proxyFailed,
            "the proxy \(proxy) answers \(address.authority) with more than \(PeerLimits.proxyAnswer) bytes to CONNECT",
            maybeSent: false)
        return false
    }

    fileprivate func take(body bytes: UnsafeRawBufferPointer) -> Bool {
        if unsafe body.append(bytes) { return true }
        refusal = HTTPFailure(
            .replyTooLong, "the reply of \(peer) is longer than \(request.replyLimit) bytes",
            maybeSent: true)
        return false
    }

    /// One line of a reply's head, as libcurl delivers them: whole, with its line end. Trailers come this way too.
    fileprivate func take(headerLine bytes: UnsafeRawBufferPointer) -> Bool {
        if unsafe head.take(line: bytes) { return true }
        refusal = HTTPFailure(
            .replyMalformed, "the reply of \(peer) has more than \(ReplyHead.limit) bytes of headers", maybeSent: true)
        return false
    }
}

/// libcurl's CURLOPT_WRITEFUNCTION: fewer bytes than offered stop the transfer.
private func bodyArrived(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context = unsafe context else { return 0 }
    // SAFETY: the context is the transfer that owns the handle, and `bytes` holds `count` bytes for this call.
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    return unsafe transfer.take(body: UnsafeRawBufferPointer(start: bytes, count: count)) ? count : 0
}

/// libcurl's CURLOPT_HEADERFUNCTION.
private func headerArrived(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let context = unsafe context else { return 0 }
    // SAFETY: as for `bodyArrived`.
    let transfer = unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    return unsafe transfer.take(headerLine: UnsafeRawBufferPointer(start: bytes, count: count)) ? count : 0
}

/// libcurl's CURLOPT_XFERINFOFUNCTION.
private func stepTaken(
    _ context: UnsafeMutableRawPointer?, _ expected: Int, _ taken: Int, _ toSend: Int, _ sent: Int
) -> Int32 {
    guard let context = unsafe context else { return 0 }
    // SAFETY: as for `bodyArrived`.
    return unsafe Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().takeStep() ? 0 : 1
}
