// AWSIdentity: the URL of an AWS endpoint, taken apart. Strict on purpose: what two readers could read differently is refused.

/// An absolute `http` or `https` URL in plain ASCII, without user information and fragment.
struct EndpointURL: Hashable, Sendable {
    let scheme: String
    /// Lower case; an IPv6 address without its brackets.
    let host: String
    /// Nil: the scheme's own.
    let port: UInt16?
    /// Begins with a slash, or is empty. As it stood, percent-encoding included.
    let path: String
    /// Without its question mark. As it stood.
    let query: String?

    /// RFC 3986's characters, less `@` (user information) and `#` (fragments); no backslash, space or control.
    private static func isAllowed(_ byte: UInt8) -> Bool {
        isLetterOrDigit(byte) || "-._~:/?[]!$&'()*+,;=%".utf8.contains(byte)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }

    /// Nil for anything else. At most 2,048 characters.
    init?(_ text: String) {
        guard text.utf8.count <= 2_048, text.utf8.allSatisfy(Self.isAllowed) else { return nil }
        if text.lowercased().hasPrefix("https://") {
            scheme = "https"
        } else if text.lowercased().hasPrefix("http://") {
            scheme = "http"
        } else {
            return nil
        }
        let rest = text.dropFirst(scheme.count + 3)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let target = rest.dropFirst(authority.count)
        if let mark = target.firstIndex(of: "?") {
            path = String(target[..<mark])
            query = String(target[target.index(after: mark)...])
        } else {
            path = String(target)
            query = nil
        }
        guard let (host, port) = Self.hostAndPort(authority) else { return nil }
        self.host = host
        self.port = port
    }

    private static func hostAndPort(_ authority: Substring) -> (String, UInt16?)? {
        let host: Substring
        let tail: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            tail = authority[authority.index(after: end)...]
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { return nil }
        } else {
            host = authority.prefix { $0 != ":" }
            tail = authority.dropFirst(host.count)
            guard !host.isEmpty, host.utf8.allSatisfy({ isLetterOrDigit($0) || "-._".utf8.contains($0) }) else {
                return nil
            }
        }
        if tail.isEmpty { return (host.lowercased(), nil) }
        guard tail.first == ":", tail.count <= 6, tail.dropFirst().allSatisfy(\.isNumber),
            let port = UInt16(tail.dropFirst()), port > 0
        else { return nil }
        return (host.lowercased(), port)
    }

    /// The value of the `Host` header: a port that the scheme implies is left out.
    var hostHeader: String {
        let name = host.contains(":") ? "[\(host)]" : host
        guard let port, port != (scheme == "https" ? 443 : 80) else { return name }
        return "\(name):\(port)"
    }

    /// The URL of `path` on the same server, below this URL's own path; begins with a slash.
    func appending(_ path: String) -> String {
        let base = self.path.hasSuffix("/") ? String(self.path.dropLast()) : self.path
        return "\(scheme)://\(hostHeader)\(base)\(path)"
    }

    /// The whole URL, its path at least a slash.
    var text: String {
        "\(scheme)://\(hostHeader)\(path.isEmpty ? "/" : path)" + (query.map { "?\($0)" } ?? "")
    }
}
