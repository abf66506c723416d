// HTTPClient: a URL taken apart. Strict on purpose: what two readers could read differently is refused, so that what is
// checked here is what libcurl asks (the tests compare the two).

/// An absolute `http` or `https` URL in ASCII, without user information and fragment, of at most 2,048 bytes.
package struct WebAddress: Hashable, Sendable {
    package enum Scheme: String, Sendable {
        case http
        case https

        package var defaultPort: UInt16 { self == .http ? 80 : 443 }
    }

    package let scheme: Scheme
    /// In lower case; an IPv6 address without its brackets.
    package let host: String
    /// Where the URL names none, the scheme's own.
    package let port: UInt16
    /// Begins with a slash, or is empty. As it stood, percent-encoding included.
    package let path: String
    /// Without its question mark. As it stood.
    package let query: String?

    private static let longest = 2_048

    package init(_ text: String) throws(WebAddressFault) {
        guard text.utf8.count <= Self.longest else { throw .tooLong }
        let word = text.prefix { $0 != ":" }
        guard text.dropFirst(word.count).hasPrefix("://"), !word.isEmpty, word.utf8.allSatisfy(isLetterOrDigit) else {
            throw .noScheme
        }
        guard let scheme = Scheme(rawValue: word.lowercased()) else { throw .otherScheme(word.lowercased()) }
        let rest = text.dropFirst(word.count + 3)
        guard rest.utf8.allSatisfy({ isLetterOrDigit($0) || "-._~:/?#[]@!$&'()*+,;=%".utf8.contains($0) }) else {
            throw .character
        }
        let authority = rest.prefix { !"/?#".contains($0) }
        guard !authority.contains("@") else { throw .userInformation }
        guard !rest.contains("#") else { throw .fragment }
        let target = rest.dropFirst(authority.count)
        let path = target.prefix { $0 != "?" }
        self.scheme = scheme
        self.path = String(path)
        query = path.count < target.count ? String(target.dropFirst(path.count + 1)) : nil
        (host, port) = try Self.hostAndPort(authority, scheme)
    }

    private init(_ scheme: Scheme, _ host: String, _ port: UInt16, _ path: String, _ query: String?) {
        (self.scheme, self.host, self.port, self.path, self.query) = (scheme, host, port, path, query)
    }

    private static func hostAndPort(
        _ authority: Substring, _ scheme: Scheme
    ) throws(WebAddressFault) -> (String, UInt16) {
        guard !authority.isEmpty else { throw .noHost }
        let host: Substring
        let tail: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw .host }
            host = authority[..<end].dropFirst()
            tail = authority[end...].dropFirst()
            guard IPAddress(host)?.isIPv6 == true else { throw .host }
        } else {
            host = authority.prefix { $0 != ":" }
            tail = authority.dropFirst(host.count)
            guard !host.isEmpty else { throw .noHost }
            guard isHostName(host) else { throw .host }
        }
        if tail.isEmpty { return (host.lowercased(), scheme.defaultPort) }
        let digits = tail.dropFirst()
        guard tail.first == ":", digits.utf8.count <= 5, digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }),
            let port = UInt16(digits), port > 0
        else { throw .port(bareIPv6: tail.dropFirst().contains(":")) }
        return (host.lowercased(), port)
    }

    /// Letters, digits, hyphens, dots and underscores. A host that ends in a number must be an IPv4 address in four plain
    /// decimal numbers: `127.1` and `0x7f000001` are that machine to some readers and a name to others.
    private static func isHostName(_ host: Substring) -> Bool {
        guard host.utf8.allSatisfy({ isLetterOrDigit($0) || "-._".utf8.contains($0) }) else { return false }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        guard let last = labels.last(where: { !$0.isEmpty }) else { return false }
        guard last.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) || last.lowercased().hasPrefix("0x") else { return true }
        return labels.count == 4 && labels.allSatisfy { UInt8($0).map(String.init) == String($0) }
    }

    // MARK: Parts

    var bracketedHost: String { host.contains(":") ? "[\(host)]" : host }

    /// Host and port, as messages name them.
    package var authority: String { "\(bracketedHost):\(port)" }

    /// The value of the `Host` field: without a port that the scheme implies.
    package var hostField: String { port == scheme.defaultPort ? bracketedHost : authority }

    /// The whole URL, its path at least a slash.
    package var text: String {
        "\(scheme.rawValue)://\(hostField)\(path.isEmpty ? "/" : path)" + (query.map { "?\($0)" } ?? "")
    }

    /// Whether it leads to this machine itself: `localhost`, 127.0.0.0/8 or ::1, written out.
    package var isLoopback: Bool { isLoopbackHost(host) }

    // MARK: Others made from it

    /// `path`, which begins with a slash, below this URL's own path on the same server. Traps where it cannot stand in a URL.
    package func appending(_ path: String) -> WebAddress {
        precondition(path.hasPrefix("/") && !path.contains { "?#".contains($0) }, "not the path of a URL: \(path)")
        let base = self.path.hasSuffix("/") ? String(self.path.dropLast()) : self.path
        return WebAddress(scheme, host, port, base + path, nil)
    }

    /// The same URL at another host: a name or an address, an IPv6 address with or without brackets.
    func at(host name: String) throws(WebAddressFault) -> WebAddress {
        let bracketed = name.contains(":") && !name.hasPrefix("[") ? "[\(name)]" : name
        return try WebAddress("\(scheme.rawValue)://\(bracketed):\(port)\(path)" + (query.map { "?\($0)" } ?? ""))
    }
}

/// Why a text is no ``WebAddress``.
package enum WebAddressFault: Error, Hashable, Sendable {
    case tooLong
    case noScheme
    /// In lower case.
    case otherScheme(String)
    /// A blank, a backslash, a control or a letter that is not ASCII.
    case character
    /// A user name or password.
    case userInformation
    case fragment
    case noHost
    case host
    /// `bareIPv6`: it looks like an IPv6 address without its brackets.
    case port(bareIPv6: Bool)
}

extension WebAddressFault: CustomStringConvertible {
    /// What follows "the URL": "has no host". Never quotes the URL, which may hold a password.
    package var description: String {
        switch self {
        case .tooLong: "is longer than 2,048 bytes"
        case .noScheme: "has no scheme"
        case .otherScheme: "has a scheme that is neither http nor https"
        case .character: "holds a blank, a backslash or a letter that is not ASCII"
        case .userInformation: "holds a user name or password"
        case .fragment: "holds a fragment"
        case .noHost: "has no host"
        case .host: "has a host that cannot be read"
        case .port: "has no usable port"
        }
    }
}

/// Whether a host is this machine itself: `localhost` (a dot at its end or not), 127.0.0.0/8 or ::1, written out.
package func isLoopbackHost(_ host: some StringProtocol) -> Bool {
    if let address = IPAddress(host) { return address.isLoopback }
    return (host.hasSuffix(".") ? host.dropLast() : host[...]).lowercased() == "localhost"
}

/// RFC 3986's percent-encoding: of all but letters, digits, `-._~` and the characters of `kept`.
package func percentEncoded(_ text: String, keeping kept: String = "") -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        if isLetterOrDigit(byte) || "-._~".utf8.contains(byte) || kept.utf8.contains(byte) {
            bytes.append(byte)
        } else {
            bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: false
    }
}
