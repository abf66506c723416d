import Crypto
import EventLoop
import HTTPClient
import TestSupport
import Testing
import Timekeeping

/// Each way in which a server, or a request, can fail: the kind, and whether the request may have been sent.
@Suite("Failures")
struct FailureTests {
    private let stage: Stage

    init() throws {
        stage = try Stage()
    }

    // MARK: No connection

    @Test(
        "an address that is no http or https URL is refused, its password not quoted",
        arguments: [
            "", "vault:8200", "ftp://vault/", "http://", "https://user:hunter2@vault/", "http://vault:99999/",
            "http://a b/",
        ])
    func badURL(_ url: String) async throws {
        let failure = try #require(await stage.failure(of: HTTPRequest(.get, url)))
        #expect(failure.kind == .badURL)
        #expect(!failure.maybeSent)
        #expect(!failure.observed.contains("hunter2"))
    }

    @Test("a name that does not resolve")
    func nameNotResolved() async throws {
        // A label longer than 63 bytes: no name server is asked.
        let host = String(repeating: "a", count: 64) + ".invalid"
        let failure = try #require(await stage.failure(of: HTTPRequest(.get, "http://\(host):8200/")))
        #expect(failure == HTTPFailure(.nameNotResolved, "the name of \(host):8200 does not resolve", maybeSent: false))
    }

    @Test("a port where nobody listens")
    func connectionRefused() async throws {
        // Port 1 needs root, and nobody has used it for decades.
        let failure = try #require(await stage.failure(of: HTTPRequest(.get, "http://127.0.0.1:1/")))
        #expect(
            failure
                == HTTPFailure(
                    .connectionRefused, "no connection to 127.0.0.1:1: Connection refused", maybeSent: false))
    }

    @Test("a TLS handshake that is not answered ends with the connect time-out")
    func connectTimedOut() async throws {
        let server = try SocketServer { $0.waitForEnd() }
        let started = stage.loop.now
        let request = HTTPRequest(.get, "https://127.0.0.1:\(server.port)/", connectTimeout: .milliseconds(150))
        let failure = try #require(await stage.failure(of: request))
        #expect(failure.kind == .connectTimedOut)
        #expect(!failure.maybeSent)
        #expect(failure.observed.contains("127.0.0.1:\(server.port)"))
        #expect(stage.loop.now - started >= .milliseconds(150))
    }

    @Test("plain http where https is expected is named as such")
    func plainServer() async throws {
        let server = try SocketServer { $0.write("HTTP/1.1 400 Bad Request\r\n\r\n") }
        let failure = try #require(await stage.failure(of: HTTPRequest(.get, "https://127.0.0.1:\(server.port)/")))
        #expect(failure.kind == .tlsFailed)
        #expect(failure.observed == "127.0.0.1:\(server.port) does not answer in TLS; it may serve plain http")
    }

    @Test("a connection that ends during the TLS handshake")
    func handshakeLost() async throws {
        let server = try SocketServer { _ in }
        let failure = try #require(await stage.failure(of: HTTPRequest(.get, "https://127.0.0.1:\(server.port)/")))
        #expect(failure.kind == .connectionLost, "\(failure.observed)")
        #expect(!failure.maybeSent)
    }

    // MARK: No whole reply

    struct Misbehaviour: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let kind: HTTPFailure.Kind
        let serve: @Sendable (Peer) -> Void

        init(_ description: String, _ kind: HTTPFailure.Kind, _ serve: @escaping @Sendable (Peer) -> Void) {
            (testDescription, self.kind, self.serve) = (description, kind, serve)
        }
    }

    static let misbehaviours = [
        Misbehaviour("no answer", .replyTimedOut) { $0.waitForEnd() },
        Misbehaviour("a body that drips for ever", .replyTimedOut) { peer in
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while peer.write(".") { pause(milliseconds: 5) }
        },
        Misbehaviour("the connection closed", .connectionLost) { _ in },
        Misbehaviour("the connection reset", .connectionLost) { $0.resetOnClose() },
        Misbehaviour("half a head", .connectionLost) { $0.write("HTTP/1.1 200 OK\r\nContent-Le") },
        Misbehaviour("half a body", .connectionLost) {
            $0.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        },
        Misbehaviour("half a chunked body", .connectionLost) {
            $0.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        },
        Misbehaviour("another protocol", .replyMalformed) { $0.write("SSH-2.0-OpenSSH_9.2p1\r\n") },
        Misbehaviour("a header line without a colon", .replyMalformed) {
            $0.write("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n")
        },
        Misbehaviour("an unknown version", .replyMalformed) { $0.write("HTTP/7.3 200 OK\r\n\r\n") },
        Misbehaviour("chunks that are none", .replyMalformed) {
            $0.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzebra\r\n")
        },
        Misbehaviour("headers without end", .replyMalformed) { peer in
            peer.write("HTTP/1.1 200 OK\r\n")
            while peer.write("X-More: \(String(repeating: "x", count: 1_000))\r\n") {}
        },
        Misbehaviour("one header line without end", .replyMalformed) { peer in
            peer.write("HTTP/1.1 200 OK\r\nX-More: ")
            while peer.write(String(repeating: "x", count: 1_000)) {}
        },
        Misbehaviour("interim replies without end", .replyMalformed) { peer in
            while peer.write("HTTP/1.1 103 Early Hints\r\nLink: \(String(repeating: "x", count: 1_000))\r\n\r\n") {}
        },
        Misbehaviour("a longer body than allowed", .replyTooLong) { $0.reply(String(repeating: "x", count: 100_001)) },
        Misbehaviour("a body without end", .replyTooLong) { peer in
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while peer.write("3E8\r\n\(String(repeating: "x", count: 1_000))\r\n") {}
        },
    ]

    @Test("a server that misbehaves after the request", arguments: misbehaviours)
    func misbehaviour(_ misbehaviour: Misbehaviour) async throws {
        let server = try SocketServer { peer in
            if peer.request() != nil { misbehaviour.serve(peer) }
        }
        // Which of the two it was tells the kind of failure. The short one leaves a slow machine time to send the request.
        let timeout: Duration = misbehaviour.kind == .replyTimedOut ? .milliseconds(800) : .seconds(300)
        let started = stage.loop.now
        let request = HTTPRequest(.get, server.url + "/v1/x", totalTimeout: timeout, replyLimit: 100_000)
        let failure = try #require(await stage.failure(of: request))
        #expect(failure.kind == misbehaviour.kind)
        #expect(failure.maybeSent)
        #expect(failure.observed.contains("127.0.0.1:\(server.port)"))
        // libcurl counts whole milliseconds of a clock of its own.
        if misbehaviour.kind == .replyTimedOut { #expect(stage.loop.now - started > timeout - .milliseconds(2)) }
    }

    @Test("a reply as long as the limit is taken whole")
    func atTheLimit() async throws {
        let body = String(repeating: "0123456789", count: 10_000)
        let server = try SocketServer(answering: { peer, _ in peer.reply(body) })
        let reply = try await stage.send(HTTPRequest(.get, server.url, replyLimit: 100_000)).get()
        #expect(reply.body.text == body)
    }

    // MARK: Requests that are not sent

    @Test(
        "a header that would break out of its line is refused, its value not quoted",
        arguments: [
            ("X-A", "a\r\nX-B: c"), ("X-A", "a\nb"), ("X-A", "a\0b"), ("X-A: b\r\nX-B", "c"), ("", "secret"),
            ("X A", "secret"),
        ])
    func headerInjection(_ name: String, _ value: String) async throws {
        let server = try SocketServer(answering: { peer, _ in peer.reply("") })
        for header in [HTTPHeader(name, value), HTTPHeader(name, secret: Secret(text: value))] {
            let failure = try #require(await stage.failure(of: HTTPRequest(.get, server.url, headers: [header])))
            #expect(!failure.maybeSent)
            #expect(!failure.observed.contains(value))
        }
        #expect(server.connections == 0)
    }

    // MARK: Cancelled

    @Test("cancelling the task ends the request at once, from any thread")
    func cancelled() async throws {
        let server = try SocketServer { $0.waitForEnd() }
        let stage = self.stage
        let task = Task {
            try await stage.failure(of: HTTPRequest(.get, server.url, totalTimeout: .seconds(300)))
        }
        while server.connections == 0 { try await Task.sleep(for: .milliseconds(2)) }
        task.cancel()
        #expect(try await task.value?.kind == .cancelled)
    }

    @Test("a task cancelled before sends nothing")
    func cancelledBefore() async throws {
        let server = try SocketServer(answering: { peer, _ in peer.reply("") })
        let stage = self.stage
        let url = server.url
        let kind = try await stage.run {
            unsafe withUnsafeCurrentTask { task in unsafe task?.cancel() }
            do throws(HTTPFailure) {
                _ = try await stage.transport.send(HTTPRequest(.get, url))
                return nil as HTTPFailure.Kind?
            } catch {
                return error.kind
            }
        }
        #expect(kind == .cancelled)
        #expect(server.connections == 0)
    }

    @Test("100 requests cancelled at arbitrary moments leave the transport in order")
    func manyCancelled() async throws {
        let server = try SocketServer(answering: { peer, _ in
            pause(milliseconds: 1)
            peer.reply("ok")
        })
        let stage = self.stage
        for index in 0..<100 {
            let task = Task { try await stage.send(HTTPRequest(.get, server.url)) }
            try await Task.sleep(for: .microseconds(index * 40))
            task.cancel()
            _ = try await task.value
        }
        #expect(try await stage.send(HTTPRequest(.get, server.url)).get().body.text == "ok")
    }
}
