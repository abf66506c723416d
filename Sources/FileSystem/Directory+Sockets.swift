// FileSystem: listening sockets with a name, put in their place as files are: whoever connects finds the old one or the new.

private import CLinux
private import Glibc
package import SystemCalls

/// A socket that listens, and what its name stands for.
package struct NamedListener: Sendable {
    package let socket: CarriedDescriptor
    package let stamp: FileStamp
}

extension Directory {
    /// Longest path in bytes, by the kernel, and longest directory, for the name that a socket has before its own.
    package static let (longestSocketPath, longestSocketDirectory) = (107, 106 - TemporaryName.lengthForSocket)

    /// A socket that listens by this name without blocking, in the place of what is there. Nobody can connect before it has its
    /// rights.
    package func listen(at name: String, rights: FileRights, backlog: Int32) throws(SystemFault) -> NamedListener {
        let socket = try Descriptor(Self.makeSocket(), "socket", full(name))
        let temporary = try bind(socket, rights, for: name)
        do throws(SystemFault) {
            guard Glibc.listen(socket.number, backlog) == 0 else { throw SystemFault("listen", full(name)) }
            try rename(temporary, to: name)
            guard let stamp = try stamp(of: name) else { throw SystemFault("listen", full(name), number: ENOENT) }
            return NamedListener(socket: CarriedDescriptor(socket), stamp: stamp)
        } catch {
            remove(temporary)
            throw error
        }
    }

    /// Goes through the steps of ``listen(at:rights:backlog:)`` under a name that nobody knows, and removes what killed agents
    /// left of theirs.
    package func rehearseListening(at name: String, rights: FileRights) throws(SystemFault) {
        try removeSocketLeftovers()
        let temporary = try bind(Descriptor(Self.makeSocket(), "socket", full(name)), rights, for: name)
        guard remove(temporary) else { throw SystemFault("unlink", full(name)) }
    }

    /// Removes the name of a socket that listens no more, unless it is another's by now.
    package func remove(_ name: String, ifItIs stamp: FileStamp) {
        guard let found = try? self.stamp(of: name), found.isSameFile(as: stamp) else { return }
        remove(name)
    }

    /// Who listens by this name; nil where nobody does. One with a full backlog counts as process 0.
    package func process(listeningAt name: String) -> Int32? {
        guard let socket = try? Descriptor(Self.makeSocket(), "socket", full(name)) else { return nil }
        guard unsafe vta_unix_connect(socket.number, full(name)) == 0 else { return errno == EAGAIN ? 0 : nil }
        var peer = vta_peer()
        // SAFETY: the kernel fills `peer` before the call returns.
        return unsafe vta_peer_of(socket.number, &peer) == 0 ? peer.process : 0
    }

    /// Temporary sockets that agents left behind when they were killed: a minute old, and nobody listens.
    private func removeSocketLeftovers() throws(SystemFault) {
        for leftover in try names(where: TemporaryName.isForSocket) {
            guard let stamp = try stamp(of: leftover), stamp.kind == .socket,
                stamp.changed.seconds < time(nil) - 60, process(listeningAt: leftover) == nil
            else { continue }
            remove(leftover)
        }
    }

    private static func makeSocket() -> Int32 {
        socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    }

    /// Gives a socket a temporary name and its rights.
    private func bind(
        _ socket: borrowing Descriptor, _ rights: FileRights, for name: String
    ) throws(SystemFault) -> String {
        let temporary = TemporaryName.makeForSocket()
        guard unsafe vta_unix_bind(socket.number, full(temporary)) == 0 else { throw SystemFault("bind", full(name)) }
        do throws(SystemFault) {
            let handle = try Descriptor(
                unsafe vta_open_name(descriptor.number, temporary), "open", full(temporary))
            guard try FileStamp(descriptor: handle.number, path: full(temporary)).kind == .socket else {
                throw SystemFault("bind", full(name), number: EEXIST)
            }
            try rights.apply(to: handle, path: full(name))
        } catch {
            remove(temporary)
            throw error
        }
        return temporary
    }
}
