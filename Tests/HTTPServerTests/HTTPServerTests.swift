import Diagnosis
import Dispatch
import EventLoop
import Glibc
import HTTPServer
import SystemCalls
import TestSupport
import Testing
import Timekeeping

@Suite struct ListenAddressTests {
    @Test func `loopback and unix addresses are understood`() throws {
        #expect(try ListenAddress("127.0.0.1:9112") == .ipv4(host: "127.0.0.1", port: 9112))
        #expect(try ListenAddress("[::1]:9112") == .ipv6(host: "::1", port: 9112))
        #expect(try ListenAddress("unix:///run/x.sock") == .unix(path: "/run/x.sock"))
    }

    @Test(arguments: [
        ("0.0.0.0:9112", true), ("10.0.0.1:9112", true), ("[::]:9112", true), ("[2001:db8::1]:9112", true),
        ("127.0.0.1:9112", false), ("127.255.0.9:1", false), ("[::1]:9112", false), ("unix:///run/x.sock", false),
    ])
    func `what is open to others is known as that`(text: String, isOpen: Bool) throws {
        #expect(try ListenAddress(text).isOpen == isOpen)
    }

    @Test(arguments: [
        "", ":", "9112", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "0.0.0:9112", "10.0.0.256:9112",
        "localhost:9112", "[::1]", "::1:9112", "[fe80::1%lo]:9112", "unix://", "unix://relative",
        "unix:///" + String(repeating: "x", count: 107), "http://127.0.0.1:9112",
    ])
    func `anything else is refused with the reason`(text: String) {
        let error = #expect(throws: AgentError.self) { try ListenAddress(text) }
        #expect(error?.code == .configurationInvalid)
        #expect(error?.observed.hasPrefix("cannot listen at \"\(text)\": ") == true || text.utf8.count > 100)
    }
}

/// A server on a loop of its own, and a client that speaks to it over a real socket.
final class RunningServer {
    let loop: EventLoop
    let listening: ListeningSocket
    let server: HTTPServer

    init(
        _ address: ListenAddress = .ipv4(host: "127.0.0.1", port: 0),
        answer: @escaping @Sendable (ServerRequest) -> ServerReply = {
            $0.path == "/page" ? ServerReply(.good, "ok\n") : ServerReply(.notFound)
        }
    ) throws {
        let loop = try EventLoop(label: "http server test")
        self.loop = loop
        let listening = try address.listen()
        self.listening = listening
        server = try loop.queue.sync { try HTTPServer(listening, on: loop, answer: answer) }
    }

    func stop() {
        loop.queue.sync { server.stop() }
        listening.giveUp()
    }

    deinit {
        stop()
    }

    /// An open connection to the TCP port.
    func connection() -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let port = loop.queue.sync { server.port ?? 0 }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = unsafe withUnsafeBytes(of: &address) { bytes in
            guard let base = unsafe bytes.assumingMemoryBound(to: sockaddr.self).baseAddress else { return false }
            return unsafe connect(descriptor, base, socklen_t(bytes.count)) == 0
        }
        precondition(connected)
        var limit = timeval(tv_sec: 120, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }

    func exchange(_ request: String) -> String {
        let descriptor = connection()
        defer { close(descriptor) }
        say(request, to: descriptor)
        return allThat(descriptor)
    }
}

func say(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    _ = unsafe send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
}

/// What arrives until the other side ends.
func allThat(_ descriptor: Int32) -> String {
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4_096)
    while case let count = unsafe recv(descriptor, &chunk, chunk.count, 0), count > 0 { text += chunk[..<count] }
    return String(decoding: text, as: UTF8.self)
}

@Suite struct HTTPServerTests {
    @Test func `a page comes with its type and length, and ends the connection`() throws {
        let reply = try RunningServer { _ in ServerReply(.good, "ä\n", type: "text/x") }
            .exchange("GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(
            reply == "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 3\r\nCache-Control: no-store\r\n"
                + "Connection: close\r\n\r\nä\n")
    }

    @Test func `the query and every field but Accept mean nothing`() throws {
        let server = try RunningServer { ServerReply(.good, "\($0.path) \($0.accept)") }
        let request = "GET /page?verbose HTTP/1.0\r\naccept: a/b\r\nX: y\r\nAccept:c/d;q=1\r\n\r\n"
        #expect(server.exchange(request).hasSuffix("\r\n\r\n/page  a/b,c/d;q=1"))
    }

    @Test(arguments: [
        ("", 0.0), ("a/b", 1), ("A/B;Q=0.5", 0.5), ("x/y, a/b ; q=0.25", 0.25), ("a/b;q=0.1,a/b;q=0.7", 0.7),
        ("a/b;q=none", 0), ("a/b;q=7", 1), ("a/b;version=1", 1), ("a/b;version=2", 0), ("a/b;version=\"1\";q=0.2", 0.2),
        ("a/b;q", 1), (",;,=", 0), ("*/*", 0),
    ])
    func `how much a type is wanted`(accept: String, weight: Double) {
        #expect(ServerRequest(path: "/", accept: accept).preference(for: "a/b", versions: ["1"]) == weight)
    }

    @Test func `HEAD has the length and no body`() throws {
        let reply = try RunningServer().exchange("HEAD /page HTTP/1.1\r\n\r\n")
        #expect(reply.contains("Content-Length: 3\r\n"))
        #expect(reply.hasSuffix("\r\n\r\n"))
    }

    @Test(arguments: [
        ("POST /page HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "405"), ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /page/../../etc/passwd HTTP/1.1\r\n\r\n", "404"), ("\r\n\r\n", "400"), ("GET /page\r\n\r\n", "400"),
        ("GET  /page HTTP/1.1\r\n\r\n", "400"), ("GET /page HTTP/2\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", "400"),
    ])
    func `everything else gets its own refusal`(request: String, status: String) throws {
        #expect(try RunningServer().exchange(request).hasPrefix("HTTP/1.1 \(status) "))
    }

    @Test func `a header without end is cut off`() throws {
        let request = "GET /page HTTP/1.1\r\nX: " + String(repeating: "x", count: 9_000) + "\r\n\r\n"
        #expect(try RunningServer().exchange(request).hasPrefix("HTTP/1.1 431 "))
    }

    @Test func `a request may come in pieces`() throws {
        let server = try RunningServer()
        let descriptor = server.connection()
        defer { close(descriptor) }
        for piece in ["GET /pa", "ge HTTP/1.1\r\n", "Host: x\r\n\r", "\n"] {
            say(piece, to: descriptor)
            usleep(10_000)
        }
        #expect(allThat(descriptor).hasSuffix("ok\n"))
    }

    /// Those who hold connections do so for longer than the server bears; whoever asks does not wait for that.
    @Test(arguments: ["", "GET /pa"])
    func `who asks is answered at once while others hold connections open`(held: String) throws {
        let server = try RunningServer()
        var holders: [Int32] = []
        defer { for holder in holders { close(holder) } }
        for _ in 0..<3 * HTTPServer.mostConnections {
            holders.append(server.connection())
            say(held, to: holders[holders.count - 1])
        }
        let began = ContinuousClock.now
        for _ in 0..<5 { #expect(server.exchange("GET /page HTTP/1.1\r\n\r\n").hasSuffix("ok\n")) }
        // They are still held: nobody's time was up.
        if ContinuousClock.now - began < HTTPServer.longestConnection {
            var byte: UInt8 = 0
            let count = unsafe recv(holders[holders.count - 1], &byte, 1, Int32(MSG_DONTWAIT))
            #expect(count == -1)
        }
        #expect(allThat(holders[0]).isEmpty)
    }

    @Test func `a reply that is being read does not give way to those who only come`() throws {
        let long = String(repeating: "x", count: 8 << 20)
        let server = try RunningServer { ServerReply(.good, $0.path == "/long" ? long : "ok\n") }
        let reader = server.connection()
        defer { close(reader) }
        let began = ContinuousClock.now
        say("GET /long HTTP/1.1\r\n\r\n", to: reader)
        var count = 0
        var chunk = [UInt8](repeating: 0, count: 256 << 10)
        var others: [Int32] = []
        defer { for other in others { close(other) } }
        while case let more = unsafe recv(reader, &chunk, chunk.count, 0), more > 0 {
            count += more
            others.append(server.connection())
            // The server has had its turn: what the kernel has room for again is on its way.
            _ = server.exchange("GET /page HTTP/1.1\r\n\r\n")
        }
        // Where the machine is so slow that the reader's time is up first, nothing is shown.
        guard ContinuousClock.now - began < HTTPServer.longestConnection else { return }
        #expect(count > long.utf8.count && others.count > 2 * HTTPServer.mostConnections)
    }

    @Test func `one who says nothing is let go`() throws {
        let server = try RunningServer()
        let holder = server.connection()
        defer { close(holder) }
        #expect(allThat(holder).isEmpty)
    }

    @Test func `a server that is stopped twice closes nothing that others have opened meanwhile`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("health.sock")
        for round in 0..<200 {
            let running = try RunningServer(
                round.isMultiple(of: 2) ? .unix(path: path) : .ipv4(host: "127.0.0.1", port: 0))
            let holder = round.isMultiple(of: 2) ? nil : running.connection()
            defer { if let holder { close(holder) } }
            running.stop()
            // They get the lowest numbers that are free, which the server and its connections have just given up.
            let files = (0..<8).map { _ in unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
            defer { for file in files { close(file) } }
            running.stop()
            #expect(files.allSatisfy { fcntl($0, F_GETFD) != -1 })
            #expect(directory.names == ["health.sock"], "the second stop takes the name of another away")
            unsafe unlink(path)
        }
    }

    @Test func `a unix socket is taken over from a dead process, not from a living one`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("health.sock")
        let left = try RunningServer(.unix(path: path))
        #expect(throws: AgentError.self) { try RunningServer(.unix(path: path)) }
        // A killed process leaves the name behind: take the name away from the living and bind an abandoned one.
        let abandoned = directory.file("abandoned.sock")
        unsafe rename(path, abandoned)
        left.stop()
        #expect(directory.names == ["abandoned.sock"])
        let next = try RunningServer(.unix(path: abandoned))
        #expect(directory.names == ["abandoned.sock"])
        withExtendedLifetime((left, next)) {}
    }

    @Test func `a file of the socket's name is not removed`() throws {
        let directory = TemporaryDirectory()
        directory.write("precious", to: "health.sock")
        #expect(throws: AgentError.self) { try RunningServer(.unix(path: directory.file("health.sock"))) }
        #expect(directory.names == ["health.sock"])
    }
}
