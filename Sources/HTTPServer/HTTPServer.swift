// HTTPServer: a very small HTTP server on the agent's queue, for probes and scrapers: short questions, no secrets, no TLS.

private import CLinux
package import Diagnosis
package import EventLoop
private import Glibc
private import SystemCalls
private import Timekeeping

/// Each connection carries one request and ends; each is held for no longer than ``longestConnection`` and with no more than
/// 8 KiB of header. Where ``mostConnections`` are open, the one on which nothing has happened for longest gives way to a new one:
/// whoever asks at once is answered, however many others hold connections open.
///
/// Everything happens on the loop's queue, `init` and `stop` included.
package final class HTTPServer: @unchecked Sendable {
    package static let mostConnections = 16
    package static let longestConnection: Duration = .seconds(5)
    /// So many are accepted in one turn of the loop, on which other things wait.
    private static let mostInOneTurn = 16

    /// The port that was taken, where the address asked for any; nil for a unix socket.
    package let port: UInt16?

    private let loop: EventLoop
    private let answer: @Sendable (ServerRequest) -> ServerReply
    /// Nil once it has stopped.
    private var listener: Watch?
    /// Those on which something has happened last come last.
    private var connections: [Connection] = []

    /// `answer` is called on the loop's queue. `listening` is taken over, but for its name. Throws `addressUnavailable` where the
    /// kernel does not let it be watched.
    package init(
        _ listening: ListeningSocket, on loop: EventLoop, answer: @escaping @Sendable (ServerRequest) -> ServerReply
    ) throws(AgentError) {
        self.loop = loop
        self.answer = answer
        port = listening.port
        guard let socket = listening.socket.take() else { return }
        do throws(SystemFault) {
            listener = try loop.watch(socket, for: .readable) { [weak self] _ in self?.accept() }
        } catch {
            throw ListenAddress.unusable(error)
        }
    }

    /// Ends every connection, and the listening. The second time it does nothing.
    package func stop() {
        listener?.end()
        listener = nil
        for connection in connections { connection.end() }
        connections = []
    }

    private func accept() {
        guard let listener else { return }
        for _ in 0..<Self.mostInOneTurn {
            do throws(SystemFault) {
                let socket = try Descriptor(
                    accept4(listener.number, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)),
                    "accept4", "(http listener)")
                if connections.count == Self.mostConnections { connections.removeFirst().end() }
                connections.append(
                    try Connection(
                        socket, on: loop, answer: answer, whenMoved: { [weak self] in self?.moved($0) },
                        whenEnded: { [weak self] in self?.ended($0) }))
            } catch {
                // For want of descriptors, memory or watches the listener stays readable, and to go on asking would spin.
                if error.isOfLimits { pause() }
                return
            }
        }
    }

    private func moved(_ connection: Connection) {
        guard let index = connections.firstIndex(where: { $0 === connection }) else { return }
        connections.append(connections.remove(at: index))
    }

    private func ended(_ connection: Connection) {
        connections.removeAll { $0 === connection }
    }

    private func pause() {
        listen(false)
        _ = loop.schedule(at: loop.now + .seconds(1)) { [weak self] in self?.listen(true) }
    }

    /// Where the kernel refuses even that, the listener does as before until it is asked for the next time.
    private func listen(_ listening: Bool) {
        try? listener?.change(to: listening ? .readable : [])
    }
}

/// One connection: reads a header, writes a reply, waits for the peer to close, all within a limit of time.
private final class Connection: @unchecked Sendable {
    private enum Phase {
        case reading([UInt8])
        case writing(ArraySlice<UInt8>)
        /// All is said. What the peer still sends is thrown away: to close over it would reset the connection and could
        /// take the reply with it.
        case lingering
    }

    private let loop: EventLoop
    private let answer: @Sendable (ServerRequest) -> ServerReply
    /// The peer has sent something, or taken something.
    private let whenMoved: @Sendable (Connection) -> Void
    private let whenEnded: @Sendable (Connection) -> Void
    private var phase = Phase.reading([])
    /// Nil once it has ended.
    private var watch: Watch?
    private var deadline: Alarm?

    init(
        _ socket: consuming Descriptor, on loop: EventLoop, answer: @escaping @Sendable (ServerRequest) -> ServerReply,
        whenMoved: @escaping @Sendable (Connection) -> Void, whenEnded: @escaping @Sendable (Connection) -> Void
    ) throws(SystemFault) {
        self.loop = loop
        self.answer = answer
        self.whenMoved = whenMoved
        self.whenEnded = whenEnded
        watch = try loop.watch(socket, for: .readable) { [weak self] _ in self?.proceed() }
        deadline = loop.schedule(at: loop.now + HTTPServer.longestConnection) { [weak self] in self?.finish() }
    }

    /// Closes without a word to the server.
    func end() {
        watch?.end()
        watch = nil
        if let deadline { loop.cancel(deadline) }
        deadline = nil
    }

    private func finish() {
        guard watch != nil else { return }
        end()
        whenEnded(self)
    }

    private func proceed() {
        guard let watch else { return }
        switch phase {
        case .reading(let header): read(after: header, from: watch)
        case .writing(let rest): write(rest, to: watch)
        case .lingering: if received(from: watch) == nil { finish() }
        }
    }

    /// Nil: the peer is gone.
    private func received(from watch: Watch) -> ArraySlice<UInt8>? {
        var chunk = [UInt8](repeating: 0, count: RequestReading.longestHeader)
        // SAFETY: the kernel writes at most `chunk.count` bytes into the array.
        let count = unsafe recv(watch.number, &chunk, chunk.count, 0)
        if count > 0 { return chunk[..<count] }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? [] : nil
    }

    private func read(after header: [UInt8], from watch: Watch) {
        guard let more = received(from: watch) else { return finish() }
        let bytes = header + more
        phase = .reading(bytes)
        if !more.isEmpty { whenMoved(self) }
        switch RequestReading(bytes) {
        case .incomplete: return
        case .refused(let status): write(ServerReply(status).bytes()[...], to: watch)
        case .whole(let request): write(answer(request).bytes(withBody: !request.isHead)[...], to: watch)
        }
    }

    private func write(_ reply: ArraySlice<UInt8>, to watch: Watch) {
        // SAFETY: the kernel reads `reply.count` bytes that outlive the call. MSG_NOSIGNAL: the peer may be gone.
        let count = unsafe reply.withUnsafeBytes { bytes in
            unsafe send(watch.number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        }
        if count < 0, errno != EAGAIN, errno != EINTR { return finish() }
        if count > 0 { whenMoved(self) }
        let rest = reply.dropFirst(max(0, count))
        do throws(SystemFault) {
            if rest.isEmpty {
                phase = .lingering
                shutdown(watch.number, Int32(SHUT_WR))
                try watch.change(to: .readable)
            } else {
                phase = .writing(rest)
                try watch.change(to: .writable)
            }
        } catch {
            finish()
        }
    }
}
