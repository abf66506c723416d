// ServiceHealth: a very small HTTP server on the agent's queue, for one machine's own probes and scrapers.

private import CLinux
package import Diagnosis
package import EventLoop
private import Glibc
private import Timekeeping

/// Serves the ``HealthPage``s. Each connection carries one request and ends; strangers can hold no more than
/// ``mostConnections`` of them, each for no longer than ``longestConnection`` and with no more than 8 KiB of header.
///
/// Everything happens on the loop's queue, `init` and `stop` included.
package final class HealthServer: @unchecked Sendable {
    package static let mostConnections = 16
    package static let longestConnection: Duration = .seconds(5)

    private let loop: EventLoop
    private let listener: ListeningSocket
    private let answer: @Sendable (HealthPage) -> HealthAnswer
    private var watch: Watch?
    private var connections: [Int32: HealthConnection] = [:]

    /// `answer` is called on the loop's queue. Throws `configurationInvalid` where the address cannot be had.
    package init(
        at address: ListenAddress, on loop: EventLoop, answer: @escaping @Sendable (HealthPage) -> HealthAnswer
    ) throws(AgentError) {
        self.loop = loop
        self.answer = answer
        listener = try ListeningSocket(address)
        watch = loop.watch(listener.descriptor, for: .readable) { [weak self] _ in self?.accept() }
    }

    /// The port that was taken, where the address asked for any; nil for a unix socket.
    package var port: UInt16? { listener.port }

    /// Ends every connection and gives the address up.
    package func stop() {
        if let watch { loop.unwatch(watch) }
        watch = nil
        for connection in connections.values { connection.end() }
        connections = [:]
        listener.close()
    }

    private func accept() {
        while connections.count < Self.mostConnections {
            let descriptor = accept4(
                listener.descriptor, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard descriptor >= 0 else {
                // Out of descriptors: the listener stays readable, and to go on asking would spin.
                if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM { pause() }
                return
            }
            connections[descriptor] = HealthConnection(descriptor, on: loop, answer: answer) { [weak self] in
                self?.ended(descriptor)
            }
        }
        listen(false)
    }

    private func ended(_ descriptor: Int32) {
        connections[descriptor] = nil
        if connections.count == Self.mostConnections - 1 { listen(true) }
    }

    private func pause() {
        listen(false)
        _ = loop.schedule(at: loop.now + .seconds(1)) { [weak self] in self?.listen(true) }
    }

    private func listen(_ listening: Bool) {
        guard let watch else { return }
        loop.change(watch, to: listening ? .readable : [])
    }
}

/// One connection: reads a header, writes a reply, waits for the peer to close, all within a limit of time.
private final class HealthConnection: @unchecked Sendable {
    private enum Phase {
        case reading([UInt8])
        case writing(ArraySlice<UInt8>)
        /// All is said. What the peer still sends is thrown away: to close over it would reset the connection and could
        /// take the reply with it.
        case lingering
    }

    private let descriptor: Int32
    private let loop: EventLoop
    private let answer: @Sendable (HealthPage) -> HealthAnswer
    private let whenEnded: @Sendable () -> Void
    private var phase = Phase.reading([])
    private var watch: Watch?
    private var deadline: Alarm?

    init(
        _ descriptor: Int32, on loop: EventLoop, answer: @escaping @Sendable (HealthPage) -> HealthAnswer,
        whenEnded: @escaping @Sendable () -> Void
    ) {
        self.descriptor = descriptor
        self.loop = loop
        self.answer = answer
        self.whenEnded = whenEnded
        watch = loop.watch(descriptor, for: .readable) { [weak self] readiness in self?.proceed(readiness) }
        deadline = loop.schedule(at: loop.now + HealthServer.longestConnection) { [weak self] in self?.finish() }
    }

    /// Closes without telling the server.
    func end() {
        guard let watch else { return }
        loop.unwatch(watch)
        self.watch = nil
        if let deadline { loop.cancel(deadline) }
        close(descriptor)
    }

    private func finish() {
        guard watch != nil else { return }
        end()
        whenEnded()
    }

    private func proceed(_ readiness: Readiness) {
        switch phase {
        case .reading(let header): read(after: header)
        case .writing(let rest): write(rest)
        case .lingering: linger()
        }
    }

    private func received() -> ArraySlice<UInt8>? {
        var chunk = [UInt8](repeating: 0, count: HealthRequest.longestHeader)
        // SAFETY: the kernel writes at most `chunk.count` bytes into the array.
        let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
        if count > 0 { return chunk[..<count] }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? [] : nil
    }

    private func read(after header: [UInt8]) {
        guard let more = received() else { return finish() }
        let bytes = header + more
        phase = .reading(bytes)
        guard let reply = HealthRequest(bytes).reply(answer) else { return }
        write(reply[...])
    }

    private func write(_ reply: ArraySlice<UInt8>) {
        // SAFETY: the kernel reads `reply.count` bytes that outlive the call. MSG_NOSIGNAL: the peer may be gone.
        let count = unsafe reply.withUnsafeBytes { bytes in
            unsafe send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        }
        if count < 0, errno != EAGAIN, errno != EINTR { return finish() }
        let rest = reply.dropFirst(max(0, count))
        guard let watch else { return }
        if rest.isEmpty {
            phase = .lingering
            shutdown(descriptor, Int32(SHUT_WR))
            loop.change(watch, to: .readable)
        } else {
            phase = .writing(rest)
            loop.change(watch, to: .writable)
        }
    }

    private func linger() {
        if received() == nil { finish() }
    }
}
