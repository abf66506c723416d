// TokenSinks: a socket that hands the token to each connection: nothing on disk, and a source for LoadCredential=.

package import Crypto
package import Diagnosis
internal import EventLoop
internal import FileSystem
internal import FileWatch
private import Glibc
internal import Logging
internal import SystemCalls

/// A token behind a socket.
package final class SocketSink: TokenSink {
    package let name: String
    package private(set) var standing: SinkStanding?
    private let settings: SinkSettings
    private let place: SocketPlace
    private let listener: SocketListener
    private let server: SocketServer
    private let envelope: Envelope?
    private let queue: BlockingQueue
    private let watcher: DirectoryWatcher?
    private var sinkGuard: SinkGuard?
    private var delivered: Rendering?
    private let log: Logger

    /// Throws `configurationInvalid` for a path that cannot be one.
    init(
        _ settings: SinkSettings, _ place: SocketPlace, of agent: Int32 = getpid(), loop: EventLoop,
        queue: BlockingQueue, watcher: DirectoryWatcher?, log: Logger
    ) throws(AgentError) {
        name = "socket \(place.path)"
        self.settings = settings
        self.place = place
        listener = try SocketListener(place, of: agent)
        envelope = settings.encryption.map { Envelope(settings: $0) }
        self.queue = queue
        self.watcher = watcher
        var log = log
        log[metadataKey: "sink"] = "\(name)"
        self.log = log
        server = SocketServer(loop: loop, log: log)
    }

    package func check() async throws(AgentError) {
        let (listener, place) = (listener, place)
        standing = try await queue.run { () throws(AgentError) in
            try listener.check()
            _ = try AdmittedPeers(place)
            return SinkStanding(listener.name, in: listener.directory)
        }
    }

    package func open() async throws(AgentError) {
        let listener = listener
        let socket = try await queue.run { () throws(AgentError) in try listener.open() }
        do throws(SystemFault) {
            if let socket { try await server.listen(on: socket) }
        } catch {
            throw error.whenChecking(directory: listener.directory)
        }
    }

    @discardableResult
    package func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        let (envelope, place, listener) = (envelope, place, listener)
        let rendering = try Rendering(
            content, format: settings.format, newline: settings.newline, wraps: settings.wrapTTL != nil)
        let isSameToken = delivered?.token == rendering.token
        let isSame = isSameToken && delivered?.bytes == rendering.bytes
        let (bytes, admitted, fresh) = try await queue.run { () throws(AgentError) in
            (try envelope?.seal(rendering.bytes) ?? rendering.bytes, try AdmittedPeers(place), try listener.open())
        }
        do throws(SystemFault) {
            if let fresh { try await server.listen(on: fresh) }
        } catch {
            listener.forget()
            throw error.whenDelivering(directory: listener.directory)
        }
        await server.serve(bytes, to: admitted)
        delivered = rendering
        if isSame { return fresh == nil ? .unchanged : .restored }
        return isSameToken ? .refreshed : .rotated
    }

    package func heldToken() async -> Secret? { nil }

    package func withdraw() async throws(AgentError) {
        delivered = nil
        await server.serve(nil, to: AdmittedPeers.all)
    }

    package func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {
        guard let watcher, sinkGuard == nil else { return }
        let sinkGuard = SinkGuard(
            watcher: watcher, queue: queue, sink: name, directory: listener.directory, name: listener.name,
            readerKey: settings.encryption?.publicKeyPath, log: log,
            inspect: { [listener, envelope] in listener.inspect() ?? envelope?.inspect() }, onDisturbed: onDisturbed)
        sinkGuard.assumeIsolated { $0.start() }
        self.sinkGuard = sinkGuard
    }

    package func close() {
        sinkGuard?.assumeIsolated { $0.stop() }
        sinkGuard = nil
        server.assumeIsolated { $0.close() }
        listener.close()
    }
}

extension AdmittedPeers {
    /// Throws `sinkUnwritable` for names that this machine does not know (yet). Asks the name service, which may block.
    init(_ place: SocketPlace) throws(AgentError) {
        guard !place.allowUsers.isEmpty || !place.allowGroups.isEmpty else {
            self = .all
            return
        }
        var (users, groups): (Set<uid_t>, Set<gid_t>) = ([], [])
        for name in place.allowUsers { users.insert(try userIdentifier(name)) }
        for name in place.allowGroups { groups.insert(try groupIdentifier(name)) }
        self = .these(users: users, groups: groups)
    }
}
