// HTTPClient: libcurl's own URL parser, for what it alone shall decide: where a redirect leads, and what a proxy's URL says.

private import CLibcurl

extension WebAddress {
    /// Where a `Location` leads from here; it may be relative. Its fragment is dropped. Throws `badURL`.
    func resolving(_ location: String) throws(HTTPFailure) -> WebAddress {
        let parts = try URLParts()
        try parts.set(CURLUPART_URL, text)
        try parts.set(CURLUPART_URL, location, flags: CURLU_DISALLOW_USER)
        try parts.set(CURLUPART_FRAGMENT, nil)
        guard let text = parts.get(CURLUPART_URL) else {
            throw HTTPFailure(.badURL, "the URL cannot be put together", maybeSent: false)
        }
        do {
            return try WebAddress(text)
        } catch {
            throw HTTPFailure(.badURL, "the URL \(error)", maybeSent: false)
        }
    }
}

/// Host and port of a proxy's URL, as messages name it: without the user information that it may hold. Nil where it is no
/// proxy's URL.
package func proxyName(_ url: String) -> String? {
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
