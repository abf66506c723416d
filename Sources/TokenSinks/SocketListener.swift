// TokenSinks: a listening socket with a name in the file system, made so that connecting finds the old or the new one.
// Everything here may wait for a disk: it is called on a blocking queue.

internal import Diagnosis
internal import FileSystem
internal import Glibc
internal import Synchronization
internal import SystemCalls

/// Keeps one listening socket in its place.
final class SocketListener: Sendable {
    private struct State {
        var rights: FileRights?
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
        guard place.path.utf8.count <= Directory.longestSocketPath,
            directory.utf8.count <= Directory.longestSocketDirectory
        else {
            throw AgentError(
                .configurationInvalid, "the socket path \(place.path) is too long for the kernel",
                remedy: "Keep the path to \(Directory.longestSocketPath) bytes and its directory to "
                    + "\(Directory.longestSocketDirectory)")
        }
    }

    // MARK: At start

    func check() throws(AgentError) {
        try state.withLock { (state) throws(AgentError) in
            try refuseOccupied()
            let rights = try rights(&state)
            do throws(SystemFault) {
                try Directory(directory).rehearseListening(at: name, rights: rights)
            } catch {
                throw error.whenChecking(directory: directory, group: rights.group)
            }
        }
    }

    /// A socket on which somebody else listens, or something that is no socket, is not to be replaced.
    private func refuseOccupied() throws(AgentError) {
        let found: FileStamp?
        let listener: pid_t?
        do throws(SystemFault) {
            let directory = try Directory(directory)
            found = try directory.stamp(of: name)
            listener = found?.kind == .socket ? directory.process(listeningAt: name) : nil
        } catch {
            throw error.whenChecking(directory: directory)
        }
        guard let found else { return }
        guard found.kind == .socket else {
            throw AgentError(
                .sinkUnwritable, "\(place.path) is \(found.kind.rawValue), not a socket",
                remedy: "Remove it, or give another path")
        }
        if let listener, listener != agent {
            throw AgentError(
                .sinkUnwritable, "process \(listener) listens on \(place.path) already",
                remedy: "Stop it, or give another path")
        }
    }

    private func rights(_ state: inout State) throws(AgentError) -> FileRights {
        if let known = state.rights { return known }
        let rights = try FileRights(mode: place.mode, owner: place.owner, group: place.group)
        state.rights = rights
        return rights
    }

    // MARK: Listening

    /// A new listening socket in its place; nil where the one that is there is as it should be.
    func open() throws(AgentError) -> CarriedDescriptor? {
        try state.withLock { (state) throws(AgentError) in
            if state.isClosed || (state.stamp != nil && disturbance(state) == nil) { return nil }
            let rights = try rights(&state)
            do throws(SystemFault) {
                let made = try Directory(directory).listen(at: name, rights: rights, backlog: Self.backlog)
                state.stamp = made.stamp
                return made.socket
            } catch {
                throw error.whenDelivering(directory: directory)
            }
        }
    }

    /// The socket that was opened last could not be served: the next ``open()`` makes another.
    func forget() {
        state.withLock { $0.stamp = nil }
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
            guard let found = try Directory(directory).stamp(of: name) else {
                return SinkDisturbance(kind: .removed, observed: "\(path) is gone")
            }
            guard found.isSameFile(as: stamp) else {
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
            guard let stamp = state.stamp else { return }
            try? Directory(directory).remove(name, ifItIs: stamp)
        }
    }
}
