// HTTPServer: where it listens, as the configuration says it.

package import Diagnosis
private import FileSystem
internal import Glibc

/// An address in figures with a port, or a unix socket. The pages have no authentication and no TLS, so an address beyond
/// loopback is for who asks for it in so many words.
package enum ListenAddress: Hashable, Sendable {
    case ipv4(host: String, port: UInt16)
    case ipv6(host: String, port: UInt16)
    /// Absolute, at most 107 bytes, its directory at most 93.
    case unix(path: String)

    /// Reads `127.0.0.1:9112`, `[::1]:9112`, `unix:///run/vault-token-agent/health.sock`. Port 0 has the kernel choose.
    /// Throws `configurationInvalid`.
    package init(_ text: String) throws(AgentError) {
        let unix = "unix://"
        if text.hasPrefix(unix) {
            let path = String(text.dropFirst(unix.utf8.count))
            guard let (directory, _) = splitPath(path), path.utf8.count <= Directory.longestSocketPath,
                directory.utf8.count <= Directory.longestSocketDirectory
            else {
                throw Self.refusal(
                    text,
                    "a unix socket needs an absolute path of at most \(Directory.longestSocketPath) bytes, of which its "
                        + "directory has at most \(Directory.longestSocketDirectory)")
            }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw Self.refusal(text, "there is no port")
        }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            let bare = String(host.dropFirst().dropLast())
            guard Self.ipv6Address(bare) != nil else { throw Self.refusal(text, "that is no address of IPv6") }
            self = .ipv6(host: bare, port: port)
        } else {
            guard Self.ipv4Address(String(host)) != nil else {
                throw Self.refusal(text, "the host is not an address in figures")
            }
            self = .ipv4(host: String(host), port: port)
        }
    }

    /// Whether others than this machine's own programs may reach it.
    package var isOpen: Bool {
        switch self {
        case .ipv4(let host, _):
            return Self.ipv4Address(host).map { UInt32(bigEndian: $0.s_addr) >> 24 != 127 } ?? true
        case .ipv6(let host, _):
            guard var address = Self.ipv6Address(host) else { return true }
            return !Self.isLoopback(&address)
        case .unix: return false
        }
    }

    private static func refusal(_ text: String, _ reason: String) -> AgentError {
        AgentError(
            .configurationInvalid, "cannot listen at \"\(printable(text, limit: 200))\": \(reason)",
            remedy: "Write 127.0.0.1:9112, [::1]:9112 or unix:///absolute/path; 0.0.0.0:9112 is open to others")
    }

    static func ipv4Address(_ text: String) -> in_addr? {
        var address = in_addr()
        return unsafe inet_pton(AF_INET, text, &address) == 1 ? address : nil
    }

    static func ipv6Address(_ text: String) -> in6_addr? {
        var address = in6_addr()
        return unsafe inet_pton(AF_INET6, text, &address) == 1 ? address : nil
    }

    private static func isLoopback(_ address: inout in6_addr) -> Bool {
        unsafe withUnsafeBytes(of: &address) { bytes in
            unsafe bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        }
    }
}
