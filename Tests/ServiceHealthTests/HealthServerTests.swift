import Diagnosis
import Dispatch
import EventLoop
import Glibc
import ServiceHealth
import Testing
import Timekeeping
import TokenLifecycle

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
    let server: HealthServer

    init(_ address: ListenAddress = .ipv4(host: "127.0.0.1", port: 0), ready: Bool = true) throws {
        let loop = try EventLoop(label: "health server test")
        self.loop = loop
        server = try loop.queue.sync {
            try HealthServer(at: address, on: loop) { page in
                var token = fresh("app")
                if !ready { token.phase = .lost }
                return HealthAnswer(page, agent([token]), Metrics(), at: noon)
            }
        }
    }

    deinit {
        loop.queue.sync { server.stop() }
    }

    /// An open connection to the TCP port.
    func connection() -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
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

@Suite struct HealthServerTests {
    @Test func `metrics come as prometheus text`() throws {
        let reply = try RunningServer().exchange("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(reply.hasPrefix("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(reply.contains("\nvault_token_agent_ready 1\n"))
    }

    @Test func `readiness follows the tokens, liveness does not`() throws {
        let lost = try RunningServer(ready: false)
        #expect(lost.exchange("GET /readyz HTTP/1.0\r\n\r\n").hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
        #expect(lost.exchange("GET /readyz HTTP/1.0\r\n\r\n").contains("app: no valid token since"))
        #expect(lost.exchange("GET /healthz HTTP/1.0\r\n\r\n").hasSuffix("\r\n\r\nok\n"))
        #expect(try RunningServer().exchange("GET /readyz?verbose HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 200 OK"))
    }

    @Test func `HEAD has the length and no body`() throws {
        let reply = try RunningServer().exchange("HEAD /healthz HTTP/1.1\r\n\r\n")
        #expect(reply.contains("Content-Length: 3\r\n"))
        #expect(reply.hasSuffix("\r\n\r\n"))
    }

    @Test(arguments: [
        ("POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "405"), ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", "404"), ("\r\n\r\n", "400"), ("GET /metrics\r\n\r\n", "400"),
        ("GET  /metrics HTTP/1.1\r\n\r\n", "400"), ("GET /metrics HTTP/2\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", "400"),
    ])
    func `everything else gets its own refusal`(request: String, status: String) throws {
        #expect(try RunningServer().exchange(request).hasPrefix("HTTP/1.1 \(status) "))
    }

    @Test func `a header without end is cut off`() throws {
        let request = "GET /metrics HTTP/1.1\r\nX: " + String(repeating: "x", count: 9_000) + "\r\n\r\n"
        #expect(try RunningServer().exchange(request).hasPrefix("HTTP/1.1 431 "))
    }

    @Test func `a request may come in pieces`() throws {
        let server = try RunningServer()
        let descriptor = server.connection()
        defer { close(descriptor) }
        for piece in ["GET /hea", "lthz HTTP/1.1\r\n", "Host: x\r\n\r", "\n"] {
            say(piece, to: descriptor)
            usleep(10_000)
        }
        #expect(allThat(descriptor).hasSuffix("ok\n"))
    }

    @Test(.timeLimit(.minutes(10)))
    func `those who hold connections open are let go and the others served after them`() throws {
        let server = try RunningServer()
        let holders = (0..<HealthServer.mostConnections + 4).map { _ in server.connection() }
        defer { for holder in holders { close(holder) } }
        #expect(server.exchange("GET /healthz HTTP/1.1\r\n\r\n").hasSuffix("ok\n"))
        #expect(allThat(holders[0]).isEmpty)
    }

    @Test func `a server that is stopped twice closes nothing that others have opened meanwhile`() throws {
        let directory = TestDirectory()
        let path = directory.file("health.sock")
        for round in 0..<200 {
            let running = try RunningServer(
                round.isMultiple(of: 2) ? .unix(path: path) : .ipv4(host: "127.0.0.1", port: 0))
            let holder = round.isMultiple(of: 2) ? nil : running.connection()
            defer { if let holder { close(holder) } }
            running.loop.queue.sync { running.server.stop() }
            // They get the lowest numbers that are free, which the server and its connections have just given up.
            let files = (0..<8).map { _ in unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
            defer { for file in files { close(file) } }
            running.loop.queue.sync { running.server.stop() }
            #expect(files.allSatisfy { fcntl($0, F_GETFD) != -1 })
            #expect(directory.entries == ["health.sock"], "the second stop takes the name of another away")
            unsafe unlink(path)
        }
    }

    @Test func `a unix socket is taken over from a dead process, not from a living one`() throws {
        let directory = TestDirectory()
        let path = directory.file("health.sock")
        let left = try RunningServer(.unix(path: path))
        #expect(throws: AgentError.self) { try RunningServer(.unix(path: path)) }
        // A killed process leaves the name behind: take the name away from the living and bind an abandoned one.
        let abandoned = directory.file("abandoned.sock")
        unsafe rename(path, abandoned)
        left.loop.queue.sync { left.server.stop() }
        #expect(directory.entries == ["abandoned.sock"])
        let next = try RunningServer(.unix(path: abandoned))
        #expect(directory.entries == ["abandoned.sock"])
        withExtendedLifetime((left, next)) {}
    }

    @Test func `a file of the socket's name is not removed`() throws {
        let directory = TestDirectory()
        directory.write("precious", to: "health.sock")
        #expect(throws: AgentError.self) { try RunningServer(.unix(path: directory.file("health.sock"))) }
        #expect(directory.entries == ["health.sock"])
    }
}
