// TokenSinks: hands the current content to whoever connects and may have it.

internal import CLinux
internal import Crypto
internal import EventLoop
internal import Glibc
internal import Logging
internal import SystemCalls
internal import Timekeeping

/// Who may have the token besides root and the agent's own user.
enum AdmittedPeers: Sendable {
    /// Whoever the socket's mode lets connect.
    case all
    case these(users: Set<uid_t>, groups: Set<gid_t>)
}

/// Serves one listening socket. Lives on the event loop.
///
/// Before there is a token connections are not accepted: they wait in the kernel, and so does the start of a unit whose
/// LoadCredential= names the socket. Each gets the content in one piece into its own socket buffer and is closed: a reader
/// that takes its time, or reads nothing at all, holds nothing of the agent's.
actor SocketServer {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private let log: Logger
    private var listener: Watch?
    private var content: Secret?
    private var admitted = AdmittedPeers.all
    private var refusals = 0
    private var isClosed = false

    init(loop: EventLoop, log: Logger) {
        self.loop = loop
        self.log = log
    }

    /// Takes over a listening socket in place of the one before; connections that wait there are served first.
    ///
    /// Throws what the kernel says where the new one cannot be watched; the old one serves on then, without a name.
    func listen(on socket: CarriedDescriptor) throws(SystemFault) {
        guard !isClosed, let descriptor = socket.take() else { return }
        let fresh = try loop.watch(descriptor, for: content == nil ? [] : .readable) { [weak self] _ in
            self?.assumeIsolated { $0.accept() }
        }
        stopListening()
        listener = fresh
    }

    /// From now on everyone gets this; nil: everyone waits.
    func serve(_ content: Secret?, to admitted: AdmittedPeers) {
        self.content = content
        self.admitted = admitted
        listenWhileThereIsContent()
    }

    /// For good. Those that wait for a token are turned away.
    func close() {
        isClosed = true
        stopListening()
    }

    private func listenWhileThereIsContent() {
        do throws(SystemFault) {
            try listener?.change(to: content == nil ? [] : .readable)
        } catch {
            later(error)
        }
    }

    private func stopListening() {
        accept()
        listener?.end()
        listener = nil
    }

    private func accept() {
        guard let listener, let content else { return }
        // As many as can wait; the epoll set reports again what has come since.
        for _ in 0..<SocketListener.backlog {
            do throws(SystemFault) {
                let connection = try Descriptor(
                    accept4(listener.number, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)),
                    "accept4", "(socket sink)")
                hand(content, to: connection.number)
            } catch {
                if error.isOfLimits { pause(error) }
                return
            }
        }
    }

    /// For want of descriptors or memory the listener stays readable, and to go on asking would spin.
    private func pause(_ fault: SystemFault) {
        try? listener?.change(to: [])
        later(fault)
    }

    private func later(_ fault: SystemFault) {
        log.warning("Socket cannot accept connections: \(fault.observed). \(fault.limitRemedy)")
        _ = loop.schedule(at: loop.now + .seconds(1)) { [weak self] in
            self?.assumeIsolated { $0.listenWhileThereIsContent() }
        }
    }

    private func hand(_ content: Secret, to connection: Int32) {
        var peer = vta_peer()
        // SAFETY: the kernel fills `peer` before the call returns.
        guard unsafe vta_peer_of(connection, &peer) == 0, isAdmitted(peer, connection) else {
            refusals += 1
            // The first, then ever fewer: a stranger must not fill the log.
            if refusals.nonzeroBitCount == 1 {
                log.warning(
                    "Peer is not allowed to have the token",
                    metadata: [
                        "uid": "\(peer.user)", "gid": "\(peer.group)", "pid": "\(peer.process)", "count": "\(refusals)",
                    ])
            }
            return
        }
        // A content is far below half of this, so that the kernel takes it whole or not at all.
        var size = Int32(4 * Rendering.limit)
        unsafe setsockopt(connection, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        let sent = unsafe content.withBytes { bytes in
            // SAFETY: the kernel reads the bytes of the buffer during the call.
            unsafe send(connection, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        if sent == content.count { return }
        // Gone already is its own affair; a part of a token would not be.
        if sent >= 0 || errno != EPIPE {
            log.warning(
                "Token could not be handed over whole", metadata: ["sent": "\(sent)", "pid": "\(peer.process)"])
        }
    }

    private func isAdmitted(_ peer: vta_peer, _ connection: Int32) -> Bool {
        guard case .these(let users, let groups) = admitted else { return true }
        if peer.user == 0 || peer.user == geteuid() || users.contains(peer.user) || groups.contains(peer.group) {
            return true
        }
        return !groups.isEmpty && !groups.isDisjoint(with: supplementaryGroups(connection))
    }

    private func supplementaryGroups(_ connection: Int32) -> [gid_t] {
        // The kernel's limit, NGROUPS_MAX, is 65,536; nobody has more than a few, so that many are asked for first.
        for capacity in [64, 65_536] {
            var groups = [gid_t](repeating: 0, count: capacity)
            // SAFETY: the kernel writes at most `capacity` numbers.
            let count = unsafe vta_peer_groups(connection, &groups, Int32(capacity))
            if count >= 0 { return Array(groups.prefix(Int(count))) }
            guard errno == ERANGE else { break }
        }
        return []
    }
}
