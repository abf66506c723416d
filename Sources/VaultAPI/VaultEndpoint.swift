// VaultAPI: one of the addresses where the cluster listens, as the transport needs it.

internal import HTTPClient

struct VaultEndpoint {
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
        var url = baseURL + "/v1/"
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                url.append(Character(Unicode.Scalar(byte)))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                url += "%" + (digits.count == 1 ? "0" : "") + digits
            }
        }
        return url
    }
}

extension VaultServer {
    /// Whether the tokens of that address travel over a network in the clear: http, and not to this machine itself.
    package static func isPlainBeyondLoopback(_ address: String) -> Bool {
        guard address.lowercased().hasPrefix("http://") else { return false }
        let authority = address.dropFirst("http://".count).prefix { $0 != "/" }
        let host = authority.first == "[" ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" }
        return host.lowercased() != "localhost" && host != "::1" && !isLoopback(host)
    }

    /// 127.0.0.0/8, written out.
    private static func isLoopback(_ host: Substring) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
