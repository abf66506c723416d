// HTTPClient: the transport of production. Sends requests by libcurl on the event loop; follows redirects itself.

private import CLibcurl
private import Crypto
private import Diagnosis
private import Dispatch
package import EventLoop
package import Logging
private import Timekeeping

/// HTTP/1.1 and HTTP/2 over TCP, TLS, Unix sockets and proxies.
///
/// Use it on the loop's queue only. It keeps at most 4 idle connections, and none after 30 s without a request, so that
/// an agent at rest holds no sockets. What libcurl would take from the environment (proxies, a key log) does not count.
package final class CurlTransport: HTTPTransport, @unchecked Sendable {
    private let loop: EventLoop
    private let log: Logger
    private let idleTime: Duration

    // Touched on the loop's queue only.
    private var pool: ConnectionPool?
    private var idleAlarm: Alarm?
    private var toldRedirects: Set<[String]> = []

    /// - Parameter idleTime: how long connections stay open after the last request.
    package init(loop: EventLoop, log: Logger, idleTime: Duration = .seconds(ConnectionPool.idleSeconds)) {
        self.loop = loop
        self.log = log
        self.idleTime = idleTime
        _ = Self.libraryStart
    }

    /// Once for the process. Not in order where memory is lacking or OpenSSL's configuration file is broken.
    private static let libraryStart = vta_global_init()

    package func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
        dispatchPrecondition(condition: .onQueue(loop.queue))
        let sentAt = loop.now
        var address = try checked(request.url)
        var hops = 0
        // By a 301 or 302.
        var moved = false
        while true {
            let spent = loop.now - sentAt
            let limits = TimeLimits(
                connect: request.connectTimeout, total: request.totalTimeout - spent, idle: idleTime)
            let transfer = try await exchange(request, with: address, within: limits)
            log.debug(
                "answered",
                metadata: [
                    "method": "\(request.method.rawValue)", "peer": "\(transfer.peer)",
                    "status": "\(transfer.head.status)",
                ])
            let next: WebAddress? =
                switch request.redirects {
                case .never: nil
                case .follow(let scope): try scope.next(after: transfer, hops: hops, movedBefore: moved)
                }
            guard let next else {
                return HTTPReply(
                    status: transfer.head.status, headers: transfer.head.fields, body: transfer.replyBody,
                    sentAt: sentAt,
                    certificate: transfer.handle.handshake.certificate)
            }
            hops += 1
            moved = moved || transfer.head.status < 307
            note(transfer.head.status, from: address, to: next)
            address = next
        }
    }

    /// A pair of hosts is told of once.
    private func note(_ status: Int, from: WebAddress, to: WebAddress) {
        if toldRedirects.count >= 64 { toldRedirects.removeAll() }
        let isNew = toldRedirects.insert([from.authority, to.authority]).inserted
        log.log(
            level: isNew ? .notice : .debug, "A server redirects",
            metadata: ["from": "\(from.authority)", "to": "\(to.authority)", "status": "\(status)"])
    }

    private func exchange(
        _ request: HTTPRequest, with address: WebAddress, within limits: TimeLimits
    ) async throws(HTTPFailure) -> Transfer {
        let cancelled = HTTPFailure(.cancelled, "the request to \(address.authority) was called off", maybeSent: true)
        if Task.isCancelled { throw cancelled }
        let exchange = Exchange()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.continuation = continuation
                begin(exchange, request, with: address, within: limits)
            }
        } onCancel: {
            // On the queue this comes after `begin`, which has not given the queue away.
            loop.queue.async {
                if let transfer = exchange.transfer { self.pool?.abandon(transfer) }
                self.finish(exchange, .failure(cancelled))
            }
        }
        return try result.get()
    }

    private func begin(
        _ exchange: Exchange, _ request: HTTPRequest, with address: WebAddress, within limits: TimeLimits
    ) {
        do throws(HTTPFailure) {
            let transfer = try Transfer(request, to: address, within: limits) { result in
                self.finish(exchange, result)
            }
            exchange.transfer = transfer
            try connections().start(transfer)
        } catch {
            finish(exchange, .failure(error))
        }
    }

    private func finish(_ exchange: Exchange, _ result: Result<Transfer, HTTPFailure>) {
        guard let continuation = exchange.continuation.take() else { return }
        exchange.transfer = nil
        if pool?.isIdle == true { closeWhenIdle() }
        nonisolated(unsafe) let result = result
        unsafe continuation.resume(returning: result)
    }

    private func connections() throws(HTTPFailure) -> ConnectionPool {
        if let idleAlarm { loop.cancel(idleAlarm) }
        idleAlarm = nil
        if let pool { return pool }
        guard Self.libraryStart == CURLE_OK else {
            let words = unsafe String(cString: curl_easy_strerror(Self.libraryStart))
            throw HTTPFailure(.other, "libcurl cannot start: \(words)", maybeSent: false)
        }
        guard let fresh = ConnectionPool(loop: loop) else {
            throw HTTPFailure(.other, "no memory for connections", maybeSent: false)
        }
        pool = fresh
        return fresh
    }

    /// A connection found dead when it is needed costs a time-out; one that is closed costs a handshake.
    private func closeWhenIdle() {
        if let idleAlarm { loop.cancel(idleAlarm) }
        idleAlarm = loop.schedule(at: loop.now + idleTime) { [weak self] in
            self?.idleAlarm = nil
            self?.pool = nil
        }
    }
}

private func checked(_ url: String) throws(HTTPFailure) -> WebAddress {
    do {
        return try WebAddress(url)
    } catch {
        throw HTTPFailure(.badURL, "the URL \(printable(url: url)) \(error)", maybeSent: false)
    }
}

/// A request under way, between the task that waits and the queue. Touched on the queue only.
private final class Exchange: @unchecked Sendable {
    var transfer: Transfer?
    var continuation: CheckedContinuation<Result<Transfer, HTTPFailure>, Never>?
}
