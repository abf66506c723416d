// HTTPClient: which libcurl this program was built with and runs with.

private import CLibcurl

package enum TransportLibrary {
    /// Names and versions as the library itself tells them, TLS and HTTP/2 included: "libcurl/7.88.1 OpenSSL/3.0.19 …".
    package static var running: String {
        // SAFETY: libcurl gives a NUL-terminated text of its own that it never changes.
        unsafe String(cString: curl_version())
    }

    /// The source package that it was built from, or "the system's shared library".
    package static var source: String {
        // SAFETY: a string literal.
        unsafe String(cString: vta_libcurl_source())
    }

    /// Names of the patches that the distribution put on that source; none are known for a shared library.
    package static var patches: [String] {
        // SAFETY: a string literal.
        unsafe String(cString: vta_libcurl_patches()).split(separator: " ").map(String.init)
    }
}
