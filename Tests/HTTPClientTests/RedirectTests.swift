import Crypto
import Glibc
import TestSupport
import Testing

@testable import HTTPClient

@Suite("Redirects")
struct RedirectTests {
    private let stage: Stage
    private let target: SocketServer

    init() throws {
        stage = try Stage()
        target = try SocketServer(answering: { peer, request in peer.reply(request) })
    }

    /// Answers everything with a redirect to `location`.
    private func redirecting(to location: String, status: String = "307 Temporary Redirect") throws -> SocketServer {
        try SocketServer(answering: { peer, _ in
            peer.reply("", status: status, headers: location.isEmpty ? "" : "Location: \(location)\r\n")
        })
    }

    private func request(
        _ url: String, _ policy: RedirectPolicy = .follow(RedirectScope(hosts: ["127.0.0.1"])),
        tls: TLSSettings = TLSSettings()
    )
        -> HTTPRequest
    {
        HTTPRequest(
            .put, url, headers: [HTTPHeader("X-Vault-Token", secret: Secret(text: "s.token"))],
            body: Secret(text: "{\"a\":1}"), route: HTTPRoute(tls: tls), redirects: policy)
    }

    @Test("307 is followed with method, body and headers")
    func followed() async throws {
        let first = try redirecting(to: target.url + "/v1/y?z")
        let reply = try await stage.send(request(first.url + "/v1/x")).get()
        #expect(reply.body.text.hasPrefix("PUT /v1/y?z HTTP/1.1\r\nHost: 127.0.0.1:\(target.port)\r\n"))
        #expect(reply.body.text.contains("X-Vault-Token: s.token\r\n"))
        #expect(reply.body.text.hasSuffix("\r\n\r\n{\"a\":1}"))
    }

    @Test("a relative Location is taken from the URL that gave it")
    func relative() async throws {
        let server = try SocketServer(answering: { peer, request in
            if request.hasPrefix("PUT /v1/x ") {
                peer.reply("", status: "307 T", headers: "Location: /v1/y\r\n")
            } else {
                peer.reply(request)
            }
        })
        let reply = try await stage.send(request(server.url + "/v1/x")).get()
        #expect(reply.body.text.hasPrefix("PUT /v1/y HTTP/1.1\r\n"))
    }

    @Test("up from http to https, and on within https, the token goes along")
    func up() async throws {
        let servers = try TLSServers.shared.get()
        let first = try redirecting(to: servers.url("good") + "/redirect?\(servers.url("good"))/v1/x")
        let seen = Seen(try await stage.send(request(first.url, tls: servers.trusting)).get())
        #expect(seen.request == "PUT /v1/x")
        #expect(seen.token == "s.token")
    }

    @Test("down from https to http is refused, and nothing is sent there")
    func down() async throws {
        let servers = try TLSServers.shared.get()
        let url = servers.url("good") + "/redirect?\(target.url)"
        let failure = try #require(await stage.failure(of: request(url, tls: servers.trusting)))
        #expect(failure.kind == .replyMalformed)
        #expect(failure.observed.contains("from https to http"))
        #expect(target.connections == 0)
    }

    @Test(
        "308 is followed like 307, 301 and 302 once, all with method and body", arguments: ["301 M", "302 F", "308 P"])
    func others(_ status: String) async throws {
        let first = try redirecting(to: target.url + "/v1/y", status: status)
        let reply = try await stage.send(request(first.url)).get()
        #expect(reply.body.text.hasPrefix("PUT /v1/y HTTP/1.1\r\n"))
        #expect(reply.body.text.hasSuffix("\r\n\r\n{\"a\":1}"))
    }

    @Test("a second 301 is refused")
    func secondMove() async throws {
        let second = try redirecting(to: target.url, status: "301 M")
        let first = try redirecting(to: second.url, status: "302 F")
        let failure = try #require(await stage.failure(of: request(first.url)))
        #expect(failure.observed.contains("a 301 or 302 is followed once"))
        #expect(target.connections == 0)
    }

    @Test("303, which asks for another method, is refused")
    func otherMethod() async throws {
        let first = try redirecting(to: target.url, status: "303 S")
        let failure = try #require(await stage.failure(of: request(first.url)))
        #expect(failure.kind == .replyMalformed)
        #expect(failure.observed.contains("127.0.0.1:\(first.port) answers 303"))
        #expect(target.connections == 0)
    }

    @Test("out of a Unix socket none leads, within it a relative one does")
    func socket() async throws {
        let directory = TemporaryDirectory()
        let path = directory.file("socket")
        let outside = target.url
        let server = try SocketServer(
            .unix(path),
            answering: { peer, request in
                if request.hasPrefix("PUT /out") {
                    peer.reply("", status: "307 T", headers: "Location: \(outside)\r\n")
                } else if request.hasPrefix("PUT /in") {
                    peer.reply("", status: "307 T", headers: "Location: /y\r\n")
                } else {
                    peer.reply(request)
                }
            })
        var inside = request("http://localhost/in")
        inside.route.unixSocketPath = path
        #expect(try await stage.send(inside).get().body.text.hasPrefix("PUT /y "))
        inside.url = "http://localhost/out"
        let failure = try #require(await stage.failure(of: inside))
        #expect(failure.observed.contains("it leads out of the socket, to 127.0.0.1:\(target.port)"))
        #expect(target.connections == 0 && server.connections >= 1)
    }

    @Test("to another host one leads only where that is listed")
    func elsewhere() async throws {
        let first = try redirecting(to: "http://localhost:\(target.port)/x")
        let failure = try #require(await stage.failure(of: request(first.url)))
        #expect(failure.observed.contains("localhost is neither configured, nor below what is, nor listed"))
        #expect(target.connections == 0)
        let scope = RedirectScope(hosts: ["127.0.0.1"], listed: ["10.0.0.0/8", "localhost"])
        #expect(try await stage.send(request(first.url, .follow(scope))).get().status == 200)
    }

    @Test(
        "which hosts are within the configured one",
        arguments: [
            ("vault.example.com", "vault.example.com", true), ("vault.example.com", "VAULT.example.com.", true),
            ("vault.example.com.", "vault.example.com", true),
            ("vault.example.com", "node-1.vault.example.com", true), ("vault", "node.vault", true),
            ("vault.example.com", "node-2.example.com", false), ("vault.example.com", "example.com", false),
            ("vault.example.com", "notvault.example.com", false), ("vault-0.vault.svc", "vault-1.vault.svc", false),
            ("vault.co.uk", "evil.co.uk", false), ("vault", "evil", false),
            ("a.eu-west-1.elb.amazonaws.com", "b.eu-west-1.elb.amazonaws.com", false),
            ("10.0.0.1", "10.0.0.2", false), ("10.0.0.1", "10.0.0.1", true),
            ("vault.example.com", "10.0.0.1", false), ("[fd00::1]", "[fd00::1]", true),
        ])
    func domains(configured: String, host: String, isFollowed: Bool) throws {
        let scope = RedirectScope(hosts: [try WebAddress("https://\(configured)").host])
        let target = try WebAddress(host.hasSuffix(".") ? "https://\(host)" : "https://\(host):8200")
        #expect(scope.holds(target) == isFollowed)
    }

    @Test(
        "a Location that is no http or https URL, or holds a password, is refused",
        arguments: [
            "", "ftp://127.0.0.1/x", "http://", "http://user:hunter2@127.0.0.1/", "file:///etc/passwd",
        ])
    func unusable(_ location: String) async throws {
        let first = try redirecting(to: location)
        let failure = try #require(await stage.failure(of: request(first.url)))
        #expect(failure.kind == .replyMalformed)
        #expect(!failure.observed.contains("hunter2"))
    }

    @Test("the fourth redirect in a row is refused")
    func endless() async throws {
        let server = try SocketServer(answering: { peer, _ in
            peer.reply("", status: "307 T", headers: "Location: /again\r\n")
        })
        #expect(try await stage.failure(of: request(server.url))?.kind == .replyMalformed)
        #expect(server.requests.count == 4)
    }

    @Test("the total time-out holds for all of them together")
    func timeout() async throws {
        let slow = try SocketServer(answering: { peer, _ in
            pause(milliseconds: 400)
            peer.reply("", status: "307 T", headers: "Location: /again\r\n")
        })
        var request = request(slow.url)
        request.totalTimeout = .milliseconds(700)
        #expect(try await stage.failure(of: request)?.kind == .replyTimedOut)
    }

    @Test("the connect time-out begins anew for each")
    func connectTimeout() async throws {
        let url = target.url
        let slow = try SocketServer(answering: { peer, _ in
            pause(milliseconds: 1_200)
            peer.reply("", status: "307 T", headers: "Location: \(url)\r\n")
        })
        var request = request(slow.url)
        request.connectTimeout = .seconds(1)
        #expect(try await stage.send(request).get().status == 200)
    }

    @Test("where none are to be followed, the 3xx is the reply")
    func never() async throws {
        let first = try redirecting(to: target.url)
        let reply = try await stage.send(request(first.url, .never)).get()
        #expect(reply.status == 307)
        #expect(reply.header("location") == target.url)
        #expect(target.connections == 0)
    }
}
