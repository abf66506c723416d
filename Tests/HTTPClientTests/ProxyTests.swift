import Crypto
import HTTPClient
import TestSupport
import Testing

@Suite("Proxies")
struct ProxyTests {
    @Test("plain http goes through the proxy in absolute form")
    func absoluteForm() async throws {
        let proxy = try SocketServer(answering: { peer, request in peer.reply(request) })
        let request = HTTPRequest(
            .get, "http://vault.test:8200/v1/x", route: HTTPRoute(proxy: .url(proxy.url, exceptions: "")))
        let reply = try await Stage().send(request).get()
        #expect(reply.body.text.hasPrefix("GET http://vault.test:8200/v1/x HTTP/1.1\r\nHost: vault.test:8200\r\n"))
    }

    @Test("https goes through the proxy's tunnel, the proxy's user name not in it", arguments: [nil, "vault.test"])
    func tunnel(_ serverName: String?) async throws {
        let servers = try TLSServers.shared.get()
        let port = servers.port("good")
        let proxy = try SocketServer { peer in
            guard let request = peer.request(), request.hasPrefix("CONNECT vault.test:8200 HTTP/1.1\r\n"),
                request.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n")
            else { return peer.reply("", status: "400 Bad") }
            peer.write("HTTP/1.1 200 Connected\r\nX-Proxy: yes\r\n\r\n")
            peer.relay(toPort: port)
        }
        let tls = servers.trusting { $0.serverName = serverName }
        let route = HTTPRoute(proxy: .url("http://user:pass@127.0.0.1:\(proxy.port)", exceptions: ""), tls: tls)
        let reply = try await Stage().send(HTTPRequest(.get, "https://vault.test:8200/x", route: route)).get()
        let seen = Seen(reply)
        #expect(seen.request == "GET /x")
        #expect(seen.host == "vault.test:8200")
        #expect(seen.serverName == "vault.test")
        #expect(reply.header("x-proxy") == nil)
    }

    @Test("a proxy that refuses the tunnel is named, with its answer")
    func refusedTunnel() async throws {
        let proxy = try SocketServer(answering: { peer, _ in peer.reply("", status: "407 Auth") })
        let route = HTTPRoute(proxy: .url("http://user:hunter2@127.0.0.1:\(proxy.port)", exceptions: ""))
        let failure = try #require(
            await Stage().failure(of: HTTPRequest(.get, "https://vault.test:8200/", route: route)))
        #expect(failure.kind == .proxyFailed)
        #expect(!failure.maybeSent)
        #expect(
            failure.observed
                == "the proxy 127.0.0.1:\(proxy.port) does not lead to vault.test:8200: it answers 407 to CONNECT")
    }

    @Test("one that is for all requests is used for this machine itself too")
    func always() {
        let proxy = HTTPRoute.Proxy.always("http://proxy:3128")
        #expect(proxy.address(for: "127.0.0.1", port: 8200) == "http://proxy:3128")
    }

    @Test("a proxy that is not there", arguments: ["http", "https"])
    func absent(_ scheme: String) async throws {
        let route = HTTPRoute(proxy: .url("http://127.0.0.1:1", exceptions: ""))
        let failure = try #require(
            await Stage().failure(of: HTTPRequest(.get, "\(scheme)://vault.test:8200/", route: route)))
        #expect(failure.kind == .proxyFailed)
        #expect(failure.observed.contains("the proxy 127.0.0.1:1 does not lead to vault.test:8200: Connection refused"))
    }

    @Test(
        "a proxy's URL that is none is refused without being quoted",
        arguments: ["gopher://user:hunter2@proxy", "http://user:hunter2@"])
    func unusable(_ url: String) async throws {
        let route = HTTPRoute(proxy: .url(url, exceptions: ""))
        let failure = try #require(await Stage().failure(of: HTTPRequest(.get, "http://vault.test/", route: route)))
        #expect(failure.kind == .proxyFailed)
        #expect(!failure.observed.contains("hunter2"))
    }

    struct Exception: CustomTestStringConvertible, Sendable {
        let entries: String
        let host: String
        let bypasses: Bool
        var testDescription: String { "\(host) \(bypasses ? "in" : "not in") '\(entries)'" }
    }

    static let exceptions = [
        Exception(entries: "", host: "vault.example", bypasses: false),
        Exception(entries: "*", host: "vault.example", bypasses: true),
        Exception(entries: "vault.example", host: "vault.example", bypasses: true),
        Exception(entries: "VAULT.example", host: "vault.EXAMPLE.", bypasses: true),
        Exception(entries: "example", host: "vault.example", bypasses: true),
        Exception(entries: ".example", host: "vault.example", bypasses: true),
        Exception(entries: "ample", host: "vault.example", bypasses: false),
        Exception(entries: "a.test,vault.example", host: "vault.example", bypasses: true),
        Exception(entries: "a.test, vault.example", host: "vault.example", bypasses: true),
        Exception(entries: "vault.example:8200", host: "vault.example", bypasses: true),
        Exception(entries: "vault.example:443", host: "vault.example", bypasses: false),
        Exception(entries: "vault.example:x", host: "vault.example", bypasses: false),
        Exception(entries: "10.1.2.3", host: "10.1.2.3", bypasses: true),
        Exception(entries: "10.1.2.3:8200", host: "10.1.2.3", bypasses: true),
        Exception(entries: "2.3", host: "10.1.2.3", bypasses: false),
        Exception(entries: "10.0.0.0/8", host: "10.1.2.3", bypasses: true),
        Exception(entries: "10.1.2.0/30", host: "10.1.2.3", bypasses: true),
        Exception(entries: "10.1.2.0/31", host: "10.1.2.3", bypasses: false),
        Exception(entries: "0.0.0.0/0", host: "10.1.2.3", bypasses: true),
        Exception(entries: "10.0.0.0/33", host: "10.1.2.3", bypasses: false),
        Exception(entries: "fd00::/8", host: "fd12::1", bypasses: true),
        Exception(entries: "fe00::/8", host: "fd12::1", bypasses: false),
        Exception(entries: "fd12:0:0::1", host: "fd12::1", bypasses: true),
        Exception(entries: "[fd12::1]:8200", host: "fd12::1", bypasses: true),
        Exception(entries: "[fd12::1]:1", host: "fd12::1", bypasses: false),
        Exception(entries: ",, .,/,:,[", host: "vault.example", bypasses: false),
        // Loopback, whatever the list.
        Exception(entries: "", host: "localhost", bypasses: true),
        Exception(entries: "", host: "127.0.0.9", bypasses: true),
        Exception(entries: "", host: "::1", bypasses: true),
    ]

    @Test("which hosts bypass the proxy", arguments: exceptions)
    func bypass(_ exception: Exception) {
        let proxy = HTTPRoute.Proxy.url("http://proxy:3128", exceptions: exception.entries)
        #expect((proxy.address(for: exception.host, port: 8200) == nil) == exception.bypasses)
    }

    @Test("what the environment says")
    func environment() {
        func proxy(_ environment: [String: String], _ url: String = "https://v/") -> HTTPRoute.Proxy {
            .fromEnvironment(environment, for: url)
        }
        #expect(proxy([:]) == .direct)
        #expect(proxy(["HTTPS_PROXY": ""]) == .direct)
        #expect(proxy(["HTTPS_PROXY": "http://a:1"]) == .url("http://a:1", exceptions: ""))
        #expect(
            proxy(["HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"]) == .url("http://b:1", exceptions: ""))
        #expect(proxy(["https_proxy": "http://a:1", "NO_PROXY": "x"]) == .url("http://a:1", exceptions: "x"))
        #expect(
            proxy(["https_proxy": "http://a:1", "NO_PROXY": "x", "no_proxy": "y"])
                == .url("http://a:1", exceptions: "y"))
        #expect(proxy(["http_proxy": "http://a:1"]) == .direct)
        #expect(proxy(["http_proxy": "http://a:1"], "http://v/") == .url("http://a:1", exceptions: ""))
        #expect(proxy(["HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://a:1"], "http://v/") == .direct)
    }
}
