import Crypto
import EventLoop
import Glibc
import HTTPClient
import TestSupport
import Testing
import Timekeeping

@Suite("Connections: kept, closed, by Unix socket, IPv6 and HTTP/2")
struct ConnectionTests {
    private static let hasIPv6 = (try? SocketServer(.ipv6) { _ in }) != nil
    private static let hasHTTP2 = (try? TLSServers.shared.get().has("http2")) == true

    @Test("requests one after another share a connection; a POST has its own, unless a second copy of it does no harm")
    func reuse() async throws {
        let server = try SocketServer(answering: { peer, _ in peer.reply("") })
        let stage = try Stage()
        for _ in 0..<5 { _ = try await stage.send(HTTPRequest(.get, server.url)).get() }
        _ = try await stage.send(HTTPRequest(.put, server.url)).get()
        #expect(server.connections == 1)
        for _ in 0..<3 { _ = try await stage.send(HTTPRequest(.post, server.url)).get() }
        #expect(server.connections == 4)
        var renewal = HTTPRequest(.post, server.url)
        renewal.isIdempotent = true
        for _ in 0..<3 { _ = try await stage.send(renewal).get() }
        #expect(server.connections == 4)
    }

    @Test("where the last answer made no sense, a request takes another connection")
    func otherConnection() async throws {
        let server = try SocketServer(answering: { peer, _ in peer.reply("") })
        let stage = try Stage()
        var request = HTTPRequest(.get, server.url)
        _ = try await stage.send(request).get()
        request.wantsOtherConnection = true
        _ = try await stage.send(request).get()
        #expect(server.connections == 2)
    }

    @Test("a POST whose connection ends without an answer is not sent again")
    func postOnce() async throws {
        let server = try SocketServer(answering: { peer, request in
            if request.hasPrefix("POST") { peer.end() } else { peer.reply("") }
        })
        let stage = try Stage()
        _ = try await stage.send(HTTPRequest(.get, server.url)).get()
        #expect(try await stage.failure(of: HTTPRequest(.post, server.url))?.kind == .connectionLost)
        #expect(server.requests.count { $0.hasPrefix("POST") } == 1)
    }

    @Test(
        "what does no harm twice is sent again on a new connection where the kept one has died",
        arguments: [HTTPMethod.get, .post])
    func sentAgain(method: HTTPMethod) async throws {
        let server = try SocketServer { peer in
            // Each connection answers one request.
            if peer.request() != nil { peer.reply("") }
            _ = peer.request()
        }
        let stage = try Stage()
        var request = HTTPRequest(method, server.url, totalTimeout: .seconds(300))
        request.isIdempotent = true
        for _ in 0..<3 { #expect(try await stage.send(request).get().status == 200) }
        #expect(server.connections == 3)
    }

    @Test("idle connections are closed after the idle time, and the next request opens a new one")
    func idle() async throws {
        let server = try SocketServer(answering: { peer, _ in peer.reply("") })
        let stage = try Stage(idleTime: .milliseconds(100))
        _ = try await stage.send(HTTPRequest(.get, server.url)).get()
        let deadline = stage.loop.now + .seconds(60)
        while server.open > 0, stage.loop.now < deadline { try await Task.sleep(for: .milliseconds(10)) }
        #expect(server.open == 0)
        #expect(try await stage.send(HTTPRequest(.get, server.url)).get().status == 200)
        #expect(server.connections == 2)
    }

    @Test("the transport's end closes its connections")
    func end() async throws {
        let server = try SocketServer(answering: { peer, _ in peer.reply("") })
        do {
            let stage = try Stage()
            _ = try await stage.send(HTTPRequest(.get, server.url)).get()
        }
        for _ in 0..<6_000 where server.open > 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(server.open == 0)
    }

    @Test("a Unix socket is used instead of the URL's host, whatever the proxy")
    func unixSocket() async throws {
        let directory = TemporaryDirectory()
        let path = directory.file("socket")
        let server = try SocketServer(.unix(path), answering: { peer, request in peer.reply(request) })
        let route = HTTPRoute(proxy: .url("http://proxy.invalid:1", exceptions: ""), unixSocketPath: path)
        let stage = try Stage()
        let reply = try await stage.send(HTTPRequest(.get, "http://vault/v1/x", route: route)).get()
        #expect(reply.body.text.hasPrefix("GET /v1/x HTTP/1.1\r\nHost: vault\r\n"))
        #expect(server.connections == 1)
        let absent = HTTPRequest(.get, "http://vault/", route: HTTPRoute(unixSocketPath: "/nonexistent/socket"))
        let failure = try #require(await stage.failure(of: absent))
        #expect(failure.kind == .connectionRefused)
        #expect(failure.observed.contains("/nonexistent/socket: No such file or directory"))
    }

    @Test("IPv6", .enabled(if: hasIPv6, "this machine has no ::1"))
    func ipv6() async throws {
        let server = try SocketServer(.ipv6, answering: { peer, request in peer.reply(request) })
        let reply = try await Stage().send(HTTPRequest(.get, "http://[::1]:\(server.port)/x")).get()
        #expect(reply.body.text.contains("Host: [::1]:\(server.port)\r\n"))
    }

    @Test("HTTP/2 where TLS offers it", .enabled(if: hasHTTP2, "nghttpd (package nghttp2-server) is not installed"))
    func http2() async throws {
        let servers = try TLSServers.shared.get()
        let stage = try Stage()
        var tls = servers.trusting
        tls.serverName = "vault.test"
        let route = HTTPRoute(tls: tls)
        let reply = try await stage.send(HTTPRequest(.get, servers.url("http2") + "/file", route: route)).get()
        #expect(reply.status == 200)
        #expect(reply.body.text == "over HTTP/2\n")
        #expect(reply.header("server")?.hasPrefix("nghttpd") == true)
        let body = Secret(text: String(repeating: "x", count: 200_000))
        let echo = HTTPRequest(.post, servers.url("http2") + "/echo", body: body, route: route)
        #expect(try await stage.send(echo).get().body == body)
        let tooLong = HTTPRequest(.get, servers.url("http2") + "/file", route: route, replyLimit: 4)
        #expect(try await stage.failure(of: tooLong)?.kind == .replyTooLong)
    }

    @Test("500 requests in HTTP/2, 24 at a time", .enabled(if: hasHTTP2, "nghttpd is not installed"))
    func manyStreams() async throws {
        let servers = try TLSServers.shared.get()
        let stage = try Stage()
        let request = HTTPRequest(.get, servers.url("http2") + "/file", route: HTTPRoute(tls: servers.trusting))
        let answered = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<24 {
                group.addTask {
                    var answered = 0
                    for _ in 0..<21 where try await stage.send(request).get().body.text == "over HTTP/2\n" {
                        answered += 1
                    }
                    return answered
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(answered == 24 * 21)
    }
}
