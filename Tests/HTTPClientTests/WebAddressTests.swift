import Testing

@testable import HTTPClient

@Suite("URLs")
struct WebAddressTests {
    @Test(
        "are taken apart",
        arguments: [
            ("https://sts.amazonaws.com", "sts.amazonaws.com", "https://sts.amazonaws.com/"),
            ("HTTP://Host:80/a?b=c", "host", "http://host/a?b=c"),
            ("https://host:8443", "host:8443", "https://host:8443/"),
            ("http://[FD00:ec2::254]/x/", "[fd00:ec2::254]", "http://[fd00:ec2::254]/x/"),
            ("http://[::1]:1338?q", "[::1]:1338", "http://[::1]:1338/?q"),
            ("https://host/a@b?c@d", "host", "https://host/a@b?c@d"),
        ])
    func parts(text: String, host: String, whole: String) throws {
        let url = try WebAddress(text)
        #expect(url.hostField == host)
        #expect(url.text == whole)
        #expect(try WebAddress(url.text) == url || url.path.isEmpty)
    }

    @Test(
        "what two readers could read differently is refused, and why",
        arguments: [
            ("", WebAddressFault.noScheme), ("sts.amazonaws.com", .noScheme), ("host:80", .noScheme),
            ("://host", .noScheme), ("https:/host", .noScheme), ("ftp://host/", .otherScheme("ftp")),
            ("https://", .noHost), ("https:///path", .noHost), ("https://:80/", .noHost),
            ("https://user@host/", .userInformation), ("https://user:pw@host/", .userInformation),
            ("https://@host/", .userInformation), ("https://host:0/", .port(bareIPv6: false)),
            ("https://host:65536/", .port(bareIPv6: false)), ("https://host:+1/", .port(bareIPv6: false)),
            ("https://host:/", .port(bareIPv6: false)), ("https://host:1:2/", .port(bareIPv6: true)),
            ("https://::1/", .noHost), ("https://ho st/", .character), ("https://host\\@other/", .character),
            ("https://host/a b", .character), ("https://host/\n", .character), ("https://höst/", .character),
            ("https://host/#fragment", .fragment), ("https://[::1/", .host), ("https://[nothex::]/", .host),
            ("https://[1]/", .host), ("https://[::1%25eth0]/", .host), ("https://host%2eexample/", .host),
            ("https://127.1/", .host), ("https://2130706433/", .host), ("https://0x7f000001/", .host),
            ("https://0177.0.0.1/", .host), ("https://256.0.0.1/", .host), ("https://a.1/", .host),
            ("https://./", .host), ("https://host/\(String(repeating: "x", count: 2_048))", .tooLong),
        ])
    func refused(text: String, fault: WebAddressFault) {
        #expect(throws: fault) { try WebAddress(text) }
    }

    @Test(
        "this machine itself is told from others",
        arguments: [
            ("http://127.0.0.1:8200", true), ("http://127.9.9.9", true), ("http://[::1]:8200", true),
            ("http://[0:0:0:0:0:0:0:1]", true), ("http://localhost:1", true), ("http://LOCALHOST./prefix", true),
            ("http://10.0.0.7", false), ("http://[2001:db8::1]", false), ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false), ("http://notlocalhost", false), ("http://[::]", false),
        ])
    func loopback(text: String, isLoopback: Bool) throws {
        #expect(try WebAddress(text).isLoopback == isLoopback)
    }

    @Test("a path is put below the one that is there")
    func appending() throws {
        #expect(try WebAddress("http://h:1/x/").appending("/v1/y").text == "http://h:1/x/v1/y")
        #expect(try WebAddress("http://h?q").appending("/v1/y").text == "http://h/v1/y")
    }

    @Test("whatever is no plain character is percent-encoded, by bytes")
    func encoding() {
        #expect(percentEncoded("aZ09-._~/ é%\n", keeping: "/") == "aZ09-._~/%20%C3%A9%25%0A")
        #expect(percentEncoded("a/b") == "a%2Fb")
    }

    /// Pieces that URLs, and what only looks like them, are made of.
    private static let pieces = [
        "https", "http", "ftp", "://", ":", "/", "//", "?", "#", "@", "[", "]", "::1", "127.0.0.1", "0x7f.1",
        "2130706433",
        "host", "Vault.example", "localhost", "user", "8200", "0", "65536", "443", "80", ".", "..", "%2e", "%2F", "%",
        "\\",
        " ", "\t", "é", "xn--bcher-kva", "a_b", "-", "&a=b", ";", "'", "(", "fe80::1%25eth0", "::ffff:127.0.0.1",
    ]

    @Test("20,000 made up by chance: whatever is taken, libcurl reads alike")
    func likeLibcurl() throws {
        var chance = SystemRandomNumberGenerator()
        let base = try WebAddress("http://base.example:1/")
        var taken = 0
        for round in 0..<20_000 {
            var text = round % 4 == 0 ? "" : ["https://", "http://"].randomElement(using: &chance) ?? ""
            for _ in 0..<Int.random(in: 1...7, using: &chance) {
                text += Self.pieces.randomElement(using: &chance) ?? ""
            }
            guard let url = try? WebAddress(text) else { continue }
            taken += 1
            let read = try base.resolving(text)
            // libcurl writes an address of IPv6 and percent signs its own way, and leaves an empty query out.
            #expect(
                read.scheme == url.scheme && read.port == url.port
                    && IPAddress(read.host) == IPAddress(url.host)
                    && (url.host.contains(":") || read.host == url.host)
                    && read.path.lowercased() == (url.path.isEmpty ? "/" : url.path.lowercased())
                    && (read.query ?? "").lowercased() == (url.query ?? "").lowercased(), "\(text)")
        }
        #expect(taken > 500)
    }
}
