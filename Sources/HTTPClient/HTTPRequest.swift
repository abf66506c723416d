// HTTPClient: one request and one reply as values, over libcurl. Knows HTTP and TLS; nothing of AWS or Vault.

package import Crypto
package import Timekeeping

package enum HTTPMethod: String, Sendable {
    case get = "GET"
    case put = "PUT"
    /// Sent on a connection of its own, so that it is sent once: GET and PUT are sent again where a kept connection turns
    /// out to have ended.
    case post = "POST"
}

/// A header field to send. Values are refused before they reach the wire where they hold CR, LF or NUL.
package struct HTTPHeader: Sendable {
    package enum Value: Sendable {
        case plain(String)
        /// Never logged; the copy that libcurl needs is wiped after the request.
        case secret(Secret)
    }

    package let name: String
    package let value: Value

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = .plain(value)
    }

    package init(_ name: String, secret: Secret) {
        self.name = name
        self.value = .secret(secret)
    }
}

/// How a request travels.
package struct HTTPRoute: Hashable, Sendable {
    /// How a request gets past a proxy.
    package enum Proxy: Hashable, Sendable {
        /// Straight to the host, whatever the environment says (IMDS and container endpoints).
        case direct
        /// By this proxy's URL (http, https, socks4 or socks5), except for the hosts of `exceptions` (NO_PROXY's syntax),
        /// loopback, and Unix sockets.
        case url(String, exceptions: String)
        /// By this proxy's URL to whatever host.
        case always(String)
    }

    package var proxy: Proxy = .direct
    package var tls = TLSSettings()
    /// Connect by this socket instead of the URL's host. No redirect leads out of it.
    package var unixSocketPath: String?

    package init(proxy: Proxy = .direct, tls: TLSSettings = TLSSettings(), unixSocketPath: String? = nil) {
        self.proxy = proxy
        self.tls = tls
        self.unixSocketPath = unixSocketPath
    }
}

/// Trust and identity for TLS. Always 1.2 or newer. Files are read for each request, and a connection is used again only
/// while their content is the same.
package struct TLSSettings: Hashable, Sendable {
    /// PEM file of CA certificates, trusted instead of the system's.
    package var caFile: String?
    /// CA certificates in PEM, trusted instead of the system's.
    package var caCertificates: String?
    /// Directory of PEM files with CA certificates, trusted instead of the system's; hash links are not needed.
    package var caDirectory: String?
    /// PEM file: the certificate, then those between it and its CA.
    package var clientCertificateFile: String?
    /// PEM file; nil: the key is in the certificate's file.
    package var clientKeyFile: String?
    /// File that holds the client key's passphrase; a trailing newline does not count.
    package var clientKeyPassphraseFile: String?
    /// Name to expect in the certificate, and to send as SNI, instead of the URL's host.
    package var serverName: String?
    /// Accept any certificate. For laboratories.
    package var skipVerify = false

    package init() {}
}

package struct HTTPRequest: Sendable {
    package var method: HTTPMethod
    /// Absolute, `http` or `https`.
    package var url: String
    package var headers: [HTTPHeader]
    package var body: Secret?
    package var route: HTTPRoute
    package var redirects: RedirectPolicy
    /// Whether a second copy does no harm (RFC 9110, 9.2.2): then it may go by a connection that is there, and goes once more by a new
    /// one where that has died. Anything but a POST, unless said otherwise.
    package var isIdempotent: Bool
    /// Not by a connection that is there: the last answer over it made no sense. Of a name's addresses any may be tried first.
    package var wantsOtherConnection = false
    /// Until connected, the name's resolution and TLS included; anew for each redirect.
    package var connectTimeout: Duration
    /// From the request's start until the last byte of the reply, redirects included.
    package var totalTimeout: Duration
    /// A longer reply body fails the request.
    package var replyLimit: Int

    /// Defaults: 5 s to connect, 30 s in all, 1 MiB of reply, no redirects, no proxy.
    package init(
        _ method: HTTPMethod, _ url: String, headers: [HTTPHeader] = [], body: Secret? = nil,
        route: HTTPRoute = HTTPRoute(), redirects: RedirectPolicy = .never, connectTimeout: Duration = .seconds(5),
        totalTimeout: Duration = .seconds(30), replyLimit: Int = 1 << 20
    ) {
        self.method = method
        isIdempotent = method != .post
        self.url = url
        self.headers = headers
        self.body = body
        self.route = route
        self.redirects = redirects
        self.connectTimeout = connectTimeout
        self.totalTimeout = totalTimeout
        self.replyLimit = replyLimit
    }
}

package struct HTTPReply: Sendable {
    package let status: Int
    /// Field names in lower case, in order of arrival.
    package let headers: [(name: String, value: String)]
    package let body: Secret
    /// When the request was handed to the transport: leases are counted from here.
    package let sentAt: Instant
    /// What the peer's certificate says, where this exchange made the connection and checked it.
    package let certificate: CertificateFacts?

    package init(
        status: Int, headers: [(name: String, value: String)], body: Secret, sentAt: Instant,
        certificate: CertificateFacts? = nil
    ) {
        self.certificate = certificate
        self.status = status
        self.headers = headers
        self.body = body
        self.sentAt = sentAt
    }

    /// The first field of that name; give the name in lower case.
    package func header(_ name: String) -> String? {
        headers.first { $0.name == name }?.value
    }
}
