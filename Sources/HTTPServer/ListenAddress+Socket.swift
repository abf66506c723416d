// HTTPServer: the listening socket: made, bound, and its name taken away again.

private import CLinux
package import Diagnosis
internal import FileSystem
private import Glibc
private import Synchronization
internal import SystemCalls

/// A socket that listens at an address, for a server to take over.
package final class ListeningSocket: Sendable {
    let address: ListenAddress
    let socket: CarriedDescriptor
    /// The port, where the address asked for any; nil for a unix socket.
    let port: UInt16?
    /// Of a unix socket's name, until that is taken away.
    private let stamp: Mutex<FileStamp?>

    init(_ address: ListenAddress, _ socket: CarriedDescriptor, port: UInt16?, stamp: FileStamp? = nil) {
        (self.address, self.socket, self.port) = (address, socket, port)
        self.stamp = Mutex(stamp)
    }

    /// Takes the name of a unix socket away, which outlives the socket. The second time it does nothing. May wait for a disk.
    package func giveUp() {
        guard case .unix(let path) = address, let (directory, name) = splitPath(path),
            let stamp = stamp.withLock({ $0.take() })
        else { return }
        try? Directory(directory).remove(name, ifItIs: stamp)
    }
}

extension ListenAddress {
    private static let backlog: Int32 = 16

    /// A socket that listens here without blocking. Throws `addressUnavailable` with the kernel's reason. May wait for a disk.
    package func listen() throws(AgentError) -> ListeningSocket {
        do throws(SystemFault) {
            if case .unix(let path) = self { return try listen(at: path) }
            let type = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
            let socket = try Descriptor(socket(family, Int32(type), 0), "make a socket for", text)
            try bind(socket)
            guard Glibc.listen(socket.number, Self.backlog) == 0 else { throw SystemFault("listen at", text) }
            let port = port(of: socket)
            return ListeningSocket(self, CarriedDescriptor(socket), port: port)
        } catch {
            throw Self.unusable(error)
        }
    }

    /// A socket that a killed process left is replaced; one that somebody answers at is not, nor is anything else of the name.
    private func listen(at path: String) throws(SystemFault) -> ListeningSocket {
        guard let (directory, name) = splitPath(path) else { throw SystemFault("listen at", text, number: EINVAL) }
        let place = try Directory(directory)
        if let found = try place.stamp(of: name) {
            guard found.kind == .socket else { throw SystemFault("bind", text, number: EEXIST) }
            guard place.process(listeningAt: name) == nil else { throw SystemFault("bind", text, number: EADDRINUSE) }
        }
        // Whoever may read the status file's directory may ask; nobody is refused what the status file tells all.
        let made = try place.listen(at: name, rights: FileRights(mode: 0o666), backlog: Self.backlog)
        return ListeningSocket(self, made.socket, port: nil, stamp: made.stamp)
    }

    /// What the configuration's author is told where the kernel does not grant the address.
    static func unusable(_ fault: SystemFault) -> AgentError {
        AgentError(
            .addressUnavailable, "cannot \(fault.call) \(fault.subject): \(fault.words)",
            remedy: fault.isOfLimits
                ? fault.limitRemedy : "It is tried again; end what holds it, or give metrics.listen another address")
    }

    private func port(of socket: borrowing Descriptor) -> UInt16? {
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let number = socket.number
        return unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                // The port stands at the same place in both families' addresses.
                unsafe getsockname(number, generic, &length) == 0
            }
        } ? UInt16(bigEndian: name.sin6_port) : nil
    }

    private var family: Int32 {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    private var text: String {
        switch self {
        case .ipv4(let host, let port): "\(host):\(port)"
        case .ipv6(let host, let port): "[\(host)]:\(port)"
        case .unix(let path): "unix://\(path)"
        }
    }

    private func bind(_ socket: borrowing Descriptor) throws(SystemFault) {
        let bound: Bool
        switch self {
        case .ipv4(let host, let port):
            Self.allowReuse(socket)
            bound =
                Self.ipv4Address(host).map { address in
                    Self.bind(
                        socket,
                        sockaddr_in(
                            sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian, sin_addr: address,
                            sin_zero: (0, 0, 0, 0, 0, 0, 0, 0)))
                } ?? false
        case .ipv6(let host, let port):
            Self.allowReuse(socket)
            bound =
                Self.ipv6Address(host).map { address in
                    Self.bind(
                        socket,
                        sockaddr_in6(
                            sin6_family: sa_family_t(AF_INET6), sin6_port: port.bigEndian, sin6_flowinfo: 0,
                            sin6_addr: address, sin6_scope_id: 0))
                } ?? false
        case .unix: bound = false
        }
        guard bound else { throw SystemFault("bind", text) }
    }

    /// A restart must not wait until the connections of the process before it are forgotten.
    private static func allowReuse(_ socket: borrowing Descriptor) {
        var on: Int32 = 1
        unsafe setsockopt(socket.number, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func bind<Address>(_ socket: borrowing Descriptor, _ address: Address) -> Bool {
        let number = socket.number
        return unsafe withGeneric(address) { generic, length in unsafe Glibc.bind(number, generic, length) == 0 }
    }

    /// Lends an address of any family as the calls of the socket interface want it.
    private static func withGeneric<Address, Result>(
        _ address: Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        unsafe withUnsafeBytes(of: address) { bytes in
            // SAFETY: `Address` is one of the sockaddr family, all of which begin as `sockaddr` does.
            let generic = unsafe bytes.assumingMemoryBound(to: sockaddr.self)
            guard let base = generic.baseAddress else { preconditionFailure("an address has a size") }
            return unsafe body(base, socklen_t(bytes.count))
        }
    }
}
