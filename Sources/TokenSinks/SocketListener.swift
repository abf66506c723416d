// TokenSinks: a listening socket with a name in the file system, made so that connecting finds the old or the new one.
// Everything here may wait for a disk: it is called on a blocking queue.

internal import CLinux
internal import Diagnosis
internal import FileWatch
internal import Glibc
internal import Synchronization
internal import SystemCalls

/// Keeps one listening socket in its place.
final class SocketListener: Sendable {
    private struct State {
        var ownership: Ownership?
        /// Of the socket that listens now.
        var stamp: FileStamp?
        var isClosed = false
    }

    /// Connections that wait to be accepted; before there is a token, all do. More wait in their `connect`.
    static let backlog: Int32 = 64

    let place: SocketPlace
    let directory: String
    let name: String
    /// The process whose listening is no reason to stay away.
    private let agent: Int32
    private let state = Mutex(State())

    /// Throws `configurationInvalid` for a path that is not absolute, names no file, or does not fit a socket's address.
    init(_ place: SocketPlace, of agent: Int32 = getpid()) throws(AgentError) {
        self.place = place
        self.agent = agent
        guard let (directory, name) = splitPath(place.path) else {
            throw AgentError(
                .configurationInvalid, "a socket sink's path is \(place.path)",
                remedy: "Give an absolute path of a file")
        }
        (self.directory, self.name) = (directory, name)
        // The kernel's limit, which holds for the temporary name too.
        let longest = max(place.path.utf8.count, directory.utf8.count + 1 + TemporaryName.lengthForSocket)
        guard longest <= 107 else {
            throw AgentError(
                .configurationInvalid, "the socket path \(place.path) is too long for the kernel",
                remedy: "Keep the path to 107 bytes and its directory to \(106 - TemporaryName.lengthForSocket)")
        }
    }

    // MARK: At start

    func check() throws(AgentError) {
        try state.withLock { (state) throws(AgentError) in
            try refuseOccupied()
            let rights = try rights(&state)
            do throws(SystemFault) {
                let directory = try SinkDirectory(directory)
                try removeLeftovers(in: directory)
                let socket = try Descriptor(Self.makeSocket(), "socket", place.path)
                let temporary = try bind(socket, rights, in: directory)
                guard directory.remove(temporary) else { throw SystemFault("unlink", place.path) }
            } catch {
                throw error.whenChecking(directory: directory, group: rights.ownership.group)
            }
        }
    }

    /// A socket on which somebody else listens, or something that is no socket, is not to be replaced.
    private func refuseOccupied() throws(AgentError) {
        let found: FileStamp?
        do throws(SystemFault) {
            found = try SinkDirectory(directory).stamp(of: name)
        } catch {
            throw error.whenChecking(directory: directory)
        }
        guard let found else { return }
        guard found.kind == .socket else {
            throw AgentError(
                .sinkUnwritable, "\(place.path) is \(found.kind.rawValue), not a socket",
                remedy: "Remove it, or give another path")
        }
        if let listener = process(listeningAt: place.path), listener != agent {
            throw AgentError(
                .sinkUnwritable, "process \(listener) listens on \(place.path) already",
                remedy: "Stop it, or give another path")
        }
    }

    /// Temporary sockets that agents left behind when they were killed: a minute old, and nobody listens.
    private func removeLeftovers(in directory: borrowing SinkDirectory) throws(SystemFault) {
        for leftover in try directory.names(where: TemporaryName.isForSocket) {
            guard let stamp = try directory.stamp(of: leftover), stamp.kind == .socket,
                stamp.changed.seconds < time(nil) - 60, process(listeningAt: "\(directory.path)/\(leftover)") == nil
            else { continue }
            directory.remove(leftover)
        }
    }

    /// Who listens on a socket; nil where nobody does. One with a full backlog counts as process 0.
    private func process(listeningAt path: String) -> pid_t? {
        guard let socket = try? Descriptor(Self.makeSocket(), "socket", path) else { return nil }
        guard unsafe vta_unix_connect(socket.number, path) == 0 else { return errno == EAGAIN ? 0 : nil }
        var peer = vta_peer()
        // SAFETY: the kernel fills `peer` before the call returns.
        return unsafe vta_peer_of(socket.number, &peer) == 0 ? peer.process : 0
    }

    private func rights(_ state: inout State) throws(AgentError) -> FileRights {
        let ownership =
            if let known = state.ownership { known } else {
                try Ownership(owner: place.owner, group: place.group)
            }
        state.ownership = ownership
        return FileRights(mode: place.mode, ownership: ownership)
    }

    // MARK: Listening

    /// A new listening socket in its place; nil where the one that is there is as it should be.
    func open() throws(AgentError) -> CarriedDescriptor? {
        try state.withLock { (state) throws(AgentError) in
            if state.isClosed || (state.stamp != nil && disturbance(state) == nil) { return nil }
            let rights = try rights(&state)
            do throws(SystemFault) {
                let directory = try SinkDirectory(directory)
                let socket = try Descriptor(Self.makeSocket(), "socket", place.path)
                let temporary = try bind(socket, rights, in: directory)
                guard listen(socket.number, Self.backlog) == 0 else {
                    let fault = SystemFault("listen", place.path)
                    directory.remove(temporary)
                    throw fault
                }
                do throws(SystemFault) {
                    try directory.rename(temporary, to: name)
                    state.stamp = try directory.stamp(of: name)
                } catch {
                    directory.remove(temporary)
                    throw error
                }
                return CarriedDescriptor(socket)
            } catch {
                throw error.whenDelivering(directory: directory)
            }
        }
    }

    /// The socket that was opened last could not be served: the next ``open()`` makes another.
    func forget() {
        state.withLock { $0.stamp = nil }
    }

    private static func makeSocket() -> Int32 {
        socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    }

    /// Gives a socket a temporary name and its rights. Nobody can connect before it listens.
    private func bind(
        _ socket: borrowing Descriptor, _ rights: FileRights, in directory: borrowing SinkDirectory
    ) throws(SystemFault) -> String {
        let temporary = TemporaryName.makeForSocket()
        guard unsafe vta_unix_bind(socket.number, "\(directory.path)/\(temporary)") == 0 else {
            throw SystemFault("bind", place.path)
        }
        do throws(SystemFault) {
            try directory.give(temporary, rights)
        } catch {
            directory.remove(temporary)
            throw error
        }
        return temporary
    }

    // MARK: Looking after

    /// What is wrong with the socket's name; nil where nothing is, or nothing listens yet.
    func inspect() -> SinkDisturbance? {
        state.withLock { disturbance($0) }
    }

    private func disturbance(_ state: State) -> SinkDisturbance? {
        guard let stamp = state.stamp, !state.isClosed else { return nil }
        let path = place.path
        do throws(SystemFault) {
            guard let found = try SinkDirectory(directory).stamp(of: name) else {
                return SinkDisturbance(kind: .removed, observed: "\(path) is gone")
            }
            guard found.device == stamp.device, found.inode == stamp.inode, found.kind == .socket else {
                return SinkDisturbance(kind: .altered, observed: "\(path) is not the agent's socket any more")
            }
            if found.mode != place.mode {
                return SinkDisturbance(
                    kind: .permissions, observed: "\(path) has mode \(octal(found.mode)), not \(octal(place.mode))")
            }
            if found.owner != stamp.owner || found.group != stamp.group {
                return SinkDisturbance(
                    kind: .permissions,
                    observed: "\(path) belongs to \(found.owner):\(found.group), not \(stamp.owner):\(stamp.group)")
            }
            return nil
        } catch {
            return SinkDisturbance(kind: .directory, observed: error.observed)
        }
    }

    /// Removes the socket's name, unless it is another's by now. Nothing listens any more afterwards.
    func close() {
        state.withLock { state in
            state.isClosed = true
            guard let stamp = state.stamp, let directory = try? SinkDirectory(directory),
                let found = try? directory.stamp(of: name), found.device == stamp.device, found.inode == stamp.inode
            else { return }
            directory.remove(name)
        }
    }
}
