// HTTPServer: the listening socket: made, bound, and its name taken away again.

private import CLinux
internal import Diagnosis
private import Glibc
internal import SystemCalls

extension ListenAddress {
    /// A socket that listens here without blocking. Throws `addressUnavailable` with the kernel's reason.
    func listen() throws(AgentError) -> Descriptor {
        do throws(SystemFault) {
            let type = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
            let descriptor = try Descriptor(socket(family, Int32(type), 0), "make a socket for", text)
            if case .unix(let path) = self { try Self.removeAbandoned(path) }
            try bind(descriptor)
            do throws(SystemFault) {
                // Whoever may read the status file's directory may ask; nobody is refused what the status file tells all.
                if case .unix(let path) = self, unsafe chmod(path, 0o666) != 0 {
                    throw SystemFault("set the mode of", text)
                }
                guard Glibc.listen(descriptor.number, 16) == 0 else { throw SystemFault("listen at", text) }
            } catch {
                giveUp()
                throw error
            }
            return descriptor
        } catch {
            throw Self.unusable(error)
        }
    }

    /// What the configuration's author is told where the kernel does not grant the address.
    static func unusable(_ fault: SystemFault) -> AgentError {
        AgentError(
            .addressUnavailable, "cannot \(fault.call) \(fault.subject): \(fault.words)",
            remedy: fault.isOfLimits
                ? fault.limitRemedy : "It is tried again; end what holds it, or give metrics.listen another address")
    }

    /// Takes the name of a unix socket away, which outlives the socket.
    func giveUp() {
        if case .unix(let path) = self { unsafe unlink(path) }
    }

    /// The port that a listening socket was given; nil for a unix socket.
    func port(of socket: borrowing Descriptor) -> UInt16? {
        if case .unix = self { return nil }
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
        case .unix(let path):
            bound = Self.bind(socket, Self.unixAddress(path))
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

    /// A socket that a killed process left is removed; one that somebody answers at is not, nor is anything else of the name.
    private static func removeAbandoned(_ path: String) throws(SystemFault) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        let text = ListenAddress.unix(path: path).text
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw SystemFault("bind", text, number: EEXIST) }
        let probe = try Descriptor(
            socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "make a socket for", text)
        let number = probe.number
        let answered = unsafe withGeneric(unixAddress(path)) { generic, length in
            unsafe connect(number, generic, length) == 0
        }
        if answered { throw SystemFault("bind", text, number: EADDRINUSE) }
        unsafe unlink(path)
    }

    private static func unixAddress(_ path: String) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            // ListenAddress has seen to it that the path and its terminating zero fit.
            unsafe bytes.copyBytes(from: path.utf8.prefix(bytes.count - 1))
        }
        return address
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
