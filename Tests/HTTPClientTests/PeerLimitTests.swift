import Crypto
import EventLoop
import Glibc
import HTTPClient
import TestSupport
import Testing

/// What a peer may cost: it gets its share of a turn of the loop, and no more bytes than its reply needs.
@Suite("A peer that floods")
struct PeerLimitTests {
    /// Enough to keep a reader busy for seconds, so that a test ends whatever the client does.
    private static let blocks = 8_000
    private let stage: Stage

    init() throws {
        stage = try Stage()
    }

    private func flooding(
        _ place: SocketServer.Place = .ipv4, after start: String, with block: String
    ) throws -> SocketServer {
        try SocketServer(place) { peer in
            if !start.isEmpty { _ = peer.request() }
            peer.write(start)
            for _ in 0..<Self.blocks where !peer.write(block) { return }
        }
    }

    @Test(
        "by empty requests for a handshake, before it has proved itself, is cut off; another request is served meanwhile"
    )
    func helloRequests() async throws {
        // Handshake records of TLS 1.2 with 4,096 messages each, all of them "HelloRequest, no content".
        let flood = try flooding(after: "", with: "\u{16}\u{3}\u{3}\u{40}\0" + String(repeating: "\0", count: 16_384))
        let good = try SocketServer(answering: { peer, request in peer.reply(request) })
        let minute: Duration = .seconds(60)
        let stage = stage
        let request = HTTPRequest(
            .get, "https://127.0.0.1:\(flood.port)/", connectTimeout: minute, totalTimeout: minute)
        let flooded = Task { try await stage.failure(of: request) }
        #expect(try await stage.send(HTTPRequest(.get, good.url)).get().status == 200)
        let failure = try #require(await flooded.value)
        #expect(failure.kind == .tlsFailed)
        #expect(
            failure.observed
                == "127.0.0.1:\(flood.port) sends more than 262144 bytes and does not finish the TLS handshake")
        #expect(!failure.maybeSent)
    }

    @Test("by extensions of chunks, over TCP and a Unix socket", arguments: [false, true])
    func chunkExtensions(_ isSocket: Bool) async throws {
        let directory = TemporaryDirectory()
        let path = directory.file("socket")
        let flood = try flooding(
            isSocket ? .unix(path) : .ipv4, after: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            with: String(repeating: "x", count: 16_384))
        let url = isSocket ? "http://localhost/" : flood.url
        let request = HTTPRequest(
            .get, url, route: HTTPRoute(unixSocketPath: isSocket ? path : nil), totalTimeout: .seconds(60))
        let failure = try #require(await stage.failure(of: request))
        #expect(failure.kind == .replyTooLong)
        #expect(failure.observed.contains("sends more than 2621440 bytes for a reply of at most 1048576"))
    }

    @Test(
        "by what comes with a proxy's refusal, or by its fields, is cut off; another request is served meanwhile",
        arguments: [
            ("407 No\r\nContent-Length: 10000000000\r\n\r\n", "x"),
            ("407 No\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"), ("200 OK\r\n", "a: b\r\n"),
        ])
    func proxyReplies(start: String, piece: String) async throws {
        let block = String(repeating: piece, count: 16_384 / piece.count)
        let flood = try flooding(after: "HTTP/1.1 \(start)", with: block)
        let good = try SocketServer(answering: { peer, request in peer.reply(request) })
        let stage = stage
        let route = HTTPRoute(proxy: .url("http://127.0.0.1:\(flood.port)", exceptions: ""))
        let request = HTTPRequest(.get, "https://vault.test/", route: route, totalTimeout: .seconds(60))
        let flooded = Task { try await stage.failure(of: request) }
        #expect(try await stage.send(HTTPRequest(.get, good.url)).get().status == 200)
        let failure = try #require(await flooded.value)
        #expect(failure.kind == .proxyFailed)
        #expect(
            failure.observed
                == "the proxy 127.0.0.1:\(flood.port) answers vault.test:443 with more than 65536 bytes to CONNECT")
        #expect(!failure.maybeSent)
    }

    @Test("a long reply in small pieces is none")
    func longReply() async throws {
        let pieces = String(repeating: "a\r\n0123456789\r\n", count: 16_384)
        let server = try SocketServer(answering: { peer, _ in
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(pieces)0\r\n\r\n")
        })
        for _ in 0..<20 {
            // On one connection: what earlier replies took does not count.
            let reply = try await stage.send(HTTPRequest(.get, server.url, replyLimit: 200_000)).get()
            #expect(reply.body.count == 163_840)
        }
        #expect(server.connections == 1)
    }
}
