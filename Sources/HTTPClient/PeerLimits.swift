// HTTPClient: what a peer may cost that has proved nothing yet: bytes of a TLS handshake or of a proxy's answer, a connection's
// share of a turn of the event loop, and bytes on the wire for one reply, whatever they are made of (chunk extensions, empty records, frames).

private import CLinux
private import COpenSSL

enum PeerLimits {
    /// Bytes that TLS takes from a socket within one turn: four records of the largest size.
    static let share = 64 << 10
    /// Bytes of a handshake. OpenSSL takes 100 KiB of certificates; a request for one lists at most 64 KiB of names.
    static let handshake = 256 << 10
    /// Bytes of a proxy's answer to CONNECT, a body that comes with a refusal included. Proxies answer with about 100.
    static let proxyAnswer = 64 << 10

    /// Bytes on the wire for a reply with a body of at most so many. Chunks, records and frames of fair size add a few per
    /// cent, heads and handshakes have limits below the rest.
    static func wire(replyLimit: Int) -> Int { 2 * replyLimit + (512 << 10) }
}

/// Numbers the turns of the event loop in which one pool's connections are looked at.
final class LoopTurn {
    var number: UInt64 = 0
}

/// What one connection has received since a request began to use it.
struct WireMeter {
    private let socket: Int32
    /// The kernel's count when the request began; nil for what is not TCP.
    private let start: Int64?
    private var seenWaiting: Int64 = 0

    init(_ socket: Int32) {
        self.socket = socket
        start = Self.received(socket)
    }

    private static func received(_ socket: Int32) -> Int64? {
        let count = vta_bytes_received(socket)
        return count < 0 ? nil : count
    }

    /// Bytes so far. To be asked once a turn, before the socket is read: where the kernel does not count, what waits there
    /// is added up. libcurl takes all of that in a turn, and up to a hundred buffers while more comes.
    mutating func count() -> Int64 {
        if let start, let now = Self.received(socket) { return max(0, now - start) }
        seenWaiting += max(0, Int64(vta_bytes_waiting(socket)))
        return seenWaiting
    }
}

/// How much a handshake, and TLS in one turn, may still take. Part of a ``HandshakeRecord``.
struct ReadAllowance {
    var turn: LoopTurn?
    private var lastTurn: UInt64 = 0
    private var takenInTurn = 0
    private var handshakeBytes = 0
    var isInHandshake = false
    /// Whether a handshake was ended for its length.
    private(set) var isExceeded = false

    /// Bytes that may be read now; nil: none, and it must not be tried again.
    mutating func available() -> Int? {
        if let turn, turn.number != lastTurn { (lastTurn, takenInTurn) = (turn.number, 0) }
        if isInHandshake, handshakeBytes >= PeerLimits.handshake { isExceeded = true }
        return isExceeded ? nil : turn == nil ? .max : PeerLimits.share - takenInTurn
    }

    mutating func take(_ count: Int) {
        takenInTurn += count
        if isInHandshake { handshakeBytes += count }
    }
}

extension HandshakeRecord {
    /// Puts a filter between a connection's TLS and its socket, unless there is one. Called when a handshake begins.
    ///
    /// OpenSSL goes on as long as there is something to read, and skips what a TLS 1.2 server may send at any time (empty
    /// requests for a new handshake): an endless stream of them would never give the event loop its thread back.
    @unsafe static func limitReading(of connection: OpaquePointer) {
        guard let below = unsafe SSL_get_rbio(connection), unsafe BIO_method_type(below) != filterType,
            let filter = unsafe BIO_new(filterMethod)
        else { return }
        // SAFETY: the filter takes over the reference to what is below it that is counted here; the connection gives up
        // its own when it gets the filter, which it frees with the rest.
        unsafe BIO_set_data(filter, UnsafeMutableRawPointer(connection))
        guard unsafe BIO_up_ref(below) == 1 else {
            unsafe BIO_free(filter)
            return
        }
        unsafe BIO_push(filter, below)
        unsafe SSL_set0_rbio(connection, filter)
    }
}

private let filterType: Int32 = BIO_get_new_index() | vta_bio_type_filter

// SAFETY: made once and only read afterwards, as OpenSSL wants it.
nonisolated(unsafe) private let filterMethod: OpaquePointer? = {
    guard let method = unsafe BIO_meth_new(filterType, "bytes a peer may send") else { return nil }
    unsafe BIO_meth_set_create(method) { filter in
        unsafe BIO_set_init(filter, 1)
        return 1
    }
    unsafe BIO_meth_set_read(method, readWithinLimits)
    unsafe BIO_meth_set_ctrl(method) { filter, command, number, pointer in
        unsafe BIO_ctrl(BIO_next(filter), command, number, pointer)
    }
    return unsafe method
}()

/// OpenSSL's read of the filter. Where a turn's share is used up, it asks to be called again in the next one.
private func readWithinLimits(
    _ filter: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32
) -> Int32 {
    unsafe vta_bio_forget_retry(filter)
    // SAFETY: the connection was put there by `limitReading` and owns this filter.
    guard let connection = unsafe BIO_get_data(filter),
        let record = unsafe HandshakeRecord.of(OpaquePointer(connection)),
        let available = record.allowance.available()
    else { return -1 }
    guard available > 0 else {
        unsafe vta_bio_retry_read(filter)
        return -1
    }
    let count = unsafe BIO_read(BIO_next(filter), buffer, min(size, Int32(clamping: available)))
    unsafe BIO_copy_next_retry(filter)
    record.allowance.take(max(0, Int(count)))
    return count
}
