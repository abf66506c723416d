// ServiceHealth: the health server's socket: made, bound, and taken away again.

private import CLinux
internal import Diagnosis
private import Glibc

/// A socket that listens without blocking.
final class ListeningSocket {
    let descriptor: Int32
    private let address: ListenAddress

    /// Throws `configurationInvalid` with the kernel's reason.
    init(_ address: ListenAddress) throws(AgentError) {
        self.address = address
        let family =
            switch address {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            case .unix: AF_UNIX
            }
        let type = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        descriptor = socket(family, Int32(type), 0)
        guard descriptor >= 0 else { throw Self.failure("make a socket for", address, errno) }
        do throws(AgentError) {
            if case .unix(let path) = address { try Self.removeAbandoned(path) }
            guard bound() else { throw Self.failure("bind", address, errno) }
            // Whoever may read the status file's directory may ask; nobody is refused what the status file tells all.
            if case .unix(let path) = address, unsafe chmod(path, 0o666) != 0 {
                throw Self.failure("set the mode of", address, errno)
            }
            guard listen(descriptor, 16) == 0 else { throw Self.failure("listen at", address, errno) }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    func close() {
        Glibc.close(descriptor)
        if case .unix(let path) = address { unsafe unlink(path) }
    }

    var port: UInt16? {
        if case .unix = address { return nil }
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        return unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                // The port stands at the same place in both families' addresses.
                unsafe getsockname(descriptor, generic, &length) == 0
            }
        } ? UInt16(bigEndian: name.sin6_port) : nil
    }

    private func bound() -> Bool {
        switch address {
        case .ipv4(let host, let port):
            // A restart must not wait until the connections of the process before it are forgotten.
            var on: Int32 = 1
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
            guard let address = ListenAddress.ipv4Address(host) else { return false }
            return bind(
                sockaddr_in(
                    sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian, sin_addr: address,
                    sin_zero: (0, 0, 0, 0, 0, 0, 0, 0)))
        case .ipv6(let host, let port):
            var on: Int32 = 1
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
            guard let address = ListenAddress.ipv6Address(host) else { return false }
            return bind(
                sockaddr_in6(
                    sin6_family: sa_family_t(AF_INET6), sin6_port: port.bigEndian, sin6_flowinfo: 0,
                    sin6_addr: address, sin6_scope_id: 0))
        case .unix(let path):
            return bind(Self.unixAddress(path))
        }
    }

    private func bind<Address>(_ address: Address) -> Bool {
        unsafe Self.withGeneric(address) { generic, length in unsafe Glibc.bind(descriptor, generic, length) == 0 }
    }

    /// A socket that a killed process left is removed; one that somebody answers at is not, nor is anything else of the name.
    private static func removeAbandoned(_ path: String) throws(AgentError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw failure("bind", .unix(path: path), EEXIST) }
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { Glibc.close(probe) }
        let answered = unsafe withGeneric(unixAddress(path)) { generic, length in
            unsafe connect(probe, generic, length) == 0
        }
        if answered { throw failure("bind", .unix(path: path), EADDRINUSE) }
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

    private static func failure(_ action: String, _ address: ListenAddress, _ problem: Int32) -> AgentError {
        let place =
            switch address {
            case .ipv4(let host, let port): "\(host):\(port)"
            case .ipv6(let host, let port): "[\(host)]:\(port)"
            case .unix(let path): "unix://\(path)"
            }
        return AgentError(
            .configurationInvalid, "cannot \(action) \(place): \(unsafe String(cString: strerror(problem)))",
            remedy: "Choose another address for metrics.listen")
    }
}
