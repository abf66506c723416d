// HTTPClient: URLs taken apart and put together by libcurl's own parser, so that what is checked is what is asked.

private import CLibcurl

/// An absolute `http` or `https` URL without user information.
@safe struct WebAddress {
    enum Scheme: String {
        case http
        case https

        var defaultPort: Int { self == .http ? 80 : 443 }
    }

    let scheme: Scheme
    /// Name or address; an IPv6 address without its brackets.
    let host: String
    let port: Int
    /// The whole URL, without the fragment.
    let text: String

    /// Throws `badURL`; the text of a refused URL is quoted only where it cannot hold a password.
    init(_ text: String) throws(HTTPFailure) {
        let parts = try URLParts()
        try parts.set(CURLUPART_URL, text, flags: CURLU_DISALLOW_USER)
        try self.init(parts)
    }

    private init(_ parts: borrowing URLParts) throws(HTTPFailure) {
        guard let name = parts.get(CURLUPART_SCHEME), let scheme = Scheme(rawValue: name) else {
            throw HTTPFailure(.badURL, "the URL's scheme is neither http nor https", maybeSent: false)
        }
        guard let host = parts.get(CURLUPART_HOST), !host.isEmpty,
            let port = parts.get(CURLUPART_PORT).flatMap(Int.init)
        else {
            throw HTTPFailure(.badURL, "the URL has no host or no valid port", maybeSent: false)
        }
        try parts.set(CURLUPART_FRAGMENT, nil)
        guard let text = parts.get(CURLUPART_URL) else {
            throw HTTPFailure(.badURL, "the URL cannot be put together", maybeSent: false)
        }
        self.scheme = scheme
        self.host = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        self.port = port
        self.text = text
    }

    /// Host and port, as messages name them.
    var authority: String { "\(bracketedHost):\(port)" }

    /// The value of the `Host` field: without the scheme's own port.
    var hostField: String { port == scheme.defaultPort ? bracketedHost : authority }

    var bracketedHost: String { host.contains(":") ? "[\(host)]" : host }

    /// The same URL at another host.
    func text(atHost name: String) throws(HTTPFailure) -> String {
        let parts = try URLParts()
        try parts.set(CURLUPART_URL, text)
        try parts.set(CURLUPART_HOST, name.contains(":") && !name.hasPrefix("[") ? "[\(name)]" : name)
        guard let moved = parts.get(CURLUPART_URL) else {
            throw HTTPFailure(.badURL, "the server name '\(name)' cannot stand in a URL", maybeSent: false)
        }
        return moved
    }

    /// Where a `Location` leads from here; it may be relative.
    func resolving(_ location: String) throws(HTTPFailure) -> WebAddress {
        let parts = try URLParts()
        try parts.set(CURLUPART_URL, text)
        try parts.set(CURLUPART_URL, location, flags: CURLU_DISALLOW_USER)
        return try WebAddress(parts)
    }
}

/// Host and port of a proxy's URL, as messages name it: without the user information that it may hold. Nil where it is no
/// proxy's URL.
func proxyName(_ url: String) -> String? {
    guard let parts = try? URLParts(),
        (try? parts.set(CURLUPART_URL, url, flags: CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME)) != nil,
        let scheme = parts.get(CURLUPART_SCHEME), let host = parts.get(CURLUPART_HOST), !host.isEmpty,
        ["http", "https", "socks4", "socks4a", "socks5", "socks5h"].contains(scheme)
    else { return nil }
    return parts.get(CURLUPART_PORT).map { "\(host):\($0)" } ?? host
}

/// Owns a `CURLU`.
@safe private struct URLParts: ~Copyable {
    private let handle: OpaquePointer

    init() throws(HTTPFailure) {
        guard let handle = unsafe curl_url() else {
            throw HTTPFailure(.other, "no memory for a URL", maybeSent: false)
        }
        unsafe self.handle = handle
    }

    deinit {
        unsafe curl_url_cleanup(handle)
    }

    func set(_ part: CURLUPart, _ text: String?, flags: Int32 = 0) throws(HTTPFailure) {
        // SAFETY: libcurl copies the text, which is a C string for the duration of the call.
        let code = unsafe curl_url_set(handle, part, text, UInt32(bitPattern: flags) | UInt32(CURLU_PATH_AS_IS))
        guard code == CURLUE_OK else {
            let why = unsafe String(cString: curl_url_strerror(code))
            throw HTTPFailure(.badURL, "the URL is not usable: \(why)", maybeSent: false)
        }
    }

    /// A port that the URL leaves out is the scheme's.
    func get(_ part: CURLUPart) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        let flags = part == CURLUPART_PORT ? UInt32(CURLU_DEFAULT_PORT) : 0
        // SAFETY: on success `text` is a C string of ours to free.
        guard unsafe curl_url_get(handle, part, &text, flags) == CURLUE_OK,
            let text = unsafe text
        else { return nil }
        defer { unsafe curl_free(text) }
        return unsafe String(cString: text)
    }
}
