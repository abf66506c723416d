// HTTPClient: which requests go by a proxy. libcurl's own rule is not used: it would look at the name that stands in for
// the host when a server name is configured, and at the environment.

extension HTTPRoute.Proxy {
    /// What the environment says for requests to a URL: `https_proxy`, `HTTPS_PROXY` or `http_proxy`, by the URL's scheme,
    /// and `no_proxy` or `NO_PROXY`. `HTTP_PROXY` does not count, as a web server's CGI sets it from a request's header.
    package static func fromEnvironment(_ environment: [String: String], for url: String) -> HTTPRoute.Proxy {
        let names = url.lowercased().hasPrefix("https:") ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy"]
        guard let proxy = names.lazy.compactMap({ environment[$0] }).first, !proxy.isEmpty else { return .direct }
        return .url(proxy, exceptions: environment["no_proxy"] ?? environment["NO_PROXY"] ?? "")
    }

    /// The proxy to use for a host, if any. The environment's never for `localhost` and loopback addresses, as Vault's own tools have it.
    package func address(for host: String, port: UInt16) -> String? {
        let (url, exceptions): (String, String)
        switch self {
        case .direct: return nil
        case .always(let url): return url
        case .url(let proxy, let hosts): (url, exceptions) = (proxy, hosts)
        }
        let target = HostMatcher(host: host, port: port)
        let entries = exceptions.split { $0 == "," || $0 == " " }
        return isLoopbackHost(host) || entries.contains { target.matches($0) } ? nil : url
    }
}

/// Whether an entry in NO_PROXY's syntax, without a port, can match any host.
package func isHostPattern(_ entry: String) -> Bool {
    let parts = entry.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 {
        guard let address = IPAddress(parts[0]), let bits = Int(parts[1]) else { return false }
        return (0...8 * address.bytes.count).contains(bits)
    }
    if IPAddress(entry) != nil { return true }
    let name = entry.hasPrefix(".") ? String(entry.dropFirst()) : entry
    return !name.contains("[") && !name.contains(":") && (try? WebAddress("https://\(name)"))?.path == ""
}

/// A host and port that entries in NO_PROXY's syntax are compared with.
struct HostMatcher {
    private let name: String
    private let address: IPAddress?
    private let port: UInt16

    init(host: String, port: UInt16) {
        name = (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
        address = IPAddress(host)
        self.port = port
    }

    /// An entry is `*`, a domain (its subdomains included, leading dot or not), an address, or a block (`10.0.0.0/8`);
    /// a domain or IPv4 address may end in `:port`, as may an IPv6 address in brackets.
    func matches(_ entry: Substring) -> Bool {
        if entry == "*" { return true }
        if let slash = entry.firstIndex(of: "/") {
            return isIn(block: entry[..<slash], bits: Int(entry[entry.index(after: slash)...]))
        }
        guard let (host, port) = split(entry), port == nil || port == self.port else { return false }
        if let other = IPAddress(host) { return address == other }
        let domain = host.drop { $0 == "." }.lowercased()
        return address == nil && !domain.isEmpty && (name == domain || name.hasSuffix("." + domain))
    }

    /// Nil where what follows the colon is no port.
    private func split(_ entry: Substring) -> (host: Substring, port: UInt16?)? {
        if entry.hasPrefix("["), let end = entry.firstIndex(of: "]") {
            let host = entry[entry.index(after: entry.startIndex)..<end]
            let rest = entry[entry.index(after: end)...]
            if rest.isEmpty { return (host, nil) }
            return rest.hasPrefix(":") ? UInt16(rest.dropFirst()).map { (host, $0) } : nil
        }
        guard let colon = entry.firstIndex(of: ":"), IPAddress(entry) == nil else { return (entry, nil) }
        return UInt16(entry[entry.index(after: colon)...]).map { (entry[..<colon], $0) }
    }

    private func isIn(block: Substring, bits: Int?) -> Bool {
        guard let address, let network = IPAddress(block), let bits else { return false }
        return address.isIn(network, bits: bits)
    }
}
