// VaultAPI: one of the addresses where the cluster listens, as the transport needs it.

internal import HTTPClient

struct VaultEndpoint: Hashable {
    /// As configured, for messages.
    let address: String
    /// `https://host:port`, without a slash at the end.
    let baseURL: String
    let route: HTTPRoute

    /// `unix:///path` becomes HTTP over that socket, without a proxy.
    init(address: String, tls: TLSSettings, proxy: HTTPRoute.Proxy) {
        let scheme = "unix://"
        self.address = address
        if address.hasPrefix(scheme) {
            baseURL = "http://localhost"
            route = HTTPRoute(unixSocketPath: String(address.dropFirst(scheme.count)))
        } else {
            baseURL = address
            route = HTTPRoute(proxy: proxy, tls: tls)
        }
    }

    /// The URL of an API path such as `auth/aws/login`. Whatever is no plain path character is percent-encoded.
    func url(_ path: String) -> String {
        baseURL + "/v1/" + percentEncoded(path, keeping: "/")
    }
}

extension VaultServer {
    /// Whether the tokens of that address travel over a network in the clear: http, and not to this machine itself.
    package static func isPlainBeyondLoopback(_ address: String) -> Bool {
        guard let url = try? WebAddress(address) else { return false }
        return url.scheme == .http && !url.isLoopback
    }
}
