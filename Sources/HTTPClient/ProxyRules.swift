// HTTPClient: which requests go by a proxy. libcurl's own rule is not used: it would look at the name that stands in for
// the host when a server name is configured, and at the environment.

private import Glibc

extension HTTPRoute.Proxy {
    /// What the environment says for requests to a URL: `https_proxy`, `HTTPS_PROXY` or `http_proxy`, by the URL's scheme,
    /// and `no_proxy` or `NO_PROXY`. `HTTP_PROXY` does not count, as a web server's CGI sets it from a request's header.
    package static func fromEnvironment(_ environment: [String: String], for url: String) -> HTTPRoute.Proxy {
        let names = url.lowercased().hasPrefix("https:") ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy"]
        guard let proxy = names.lazy.compactMap({ environment[$0] }).first, !proxy.isEmpty else { return .direct }
        return .url(proxy, exceptions: environment["no_proxy"] ?? environment["NO_PROXY"] ?? "")
    }

    /// The proxy to use for a host, if any. Never for `localhost` and loopback addresses, as Vault's own tools have it.
    package func address(for host: String, port: Int) -> String? {
        guard case .url(let url, let exceptions) = self else { return nil }
        let target = ProxyTarget(host: host, port: port)
        let entries = exceptions.split { $0 == "," || $0 == " " }
        return target.isLoopback || entries.contains { target.matches($0) } ? nil : url
    }
}

/// The host of a request, as NO_PROXY's entries are compared with it.
private struct ProxyTarget {
    private let name: String
    private let address: [UInt8]?
    private let port: Int

    init(host: String, port: Int) {
        name = (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
        address = addressBytes(host)
        self.port = port
    }

    var isLoopback: Bool {
        guard let address else { return name == "localhost" }
        return address.count == 4 ? address[0] == 127 : address == addressBytes("::1")
    }

    /// An entry is `*`, a domain (its subdomains included, leading dot or not), an address, or a block (`10.0.0.0/8`);
    /// a domain or IPv4 address may end in `:port`, as may an IPv6 address in brackets.
    func matches(_ entry: Substring) -> Bool {
        if entry == "*" { return true }
        if let slash = entry.firstIndex(of: "/") {
            return isIn(block: entry[..<slash], bits: Int(entry[entry.index(after: slash)...]))
        }
        guard let (host, port) = split(entry), port == nil || port == self.port else { return false }
        if let other = addressBytes(host) { return address == other }
        let domain = host.drop { $0 == "." }.lowercased()
        return address == nil && !domain.isEmpty && (name == domain || name.hasSuffix("." + domain))
    }

    /// Nil where what follows the colon is no port.
    private func split(_ entry: Substring) -> (host: Substring, port: Int?)? {
        if entry.hasPrefix("["), let end = entry.firstIndex(of: "]") {
            let host = entry[entry.index(after: entry.startIndex)..<end]
            let rest = entry[entry.index(after: end)...]
            if rest.isEmpty { return (host, nil) }
            return rest.hasPrefix(":") ? Int(rest.dropFirst()).map { (host, $0) } : nil
        }
        guard let colon = entry.firstIndex(of: ":"), addressBytes(entry) == nil else { return (entry, nil) }
        return Int(entry[entry.index(after: colon)...]).map { (entry[..<colon], $0) }
    }

    private func isIn(block: Substring, bits: Int?) -> Bool {
        guard let address, let network = addressBytes(block), network.count == address.count, let bits,
            (0...8 * network.count).contains(bits)
        else { return false }
        return zip(address, network).enumerated().allSatisfy { index, pair in
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> min(8, max(0, bits - 8 * index)))
            return pair.0 & mask == pair.1 & mask
        }
    }
}

/// The 4 or 16 bytes of an address; nil for a name.
private func addressBytes(_ text: some StringProtocol) -> [UInt8]? {
    for (family, length) in [(AF_INET, 4), (AF_INET6, 16)] {
        var bytes = [UInt8](repeating: 0, count: length)
        // SAFETY: `bytes` has the length of the family's addresses.
        if unsafe inet_pton(family, String(text), &bytes) == 1 { return bytes }
    }
    return nil
}
