import Crypto
import HTTPClient
import TestSupport
import Testing

@Suite("TLS, against servers of Python's ssl module with certificates of our own CAs")
struct TLSTests {
    private let servers: TLSServers
    private let stage: Stage

    init() throws {
        servers = try TLSServers.shared.get()
        stage = try Stage()
    }

    private func request(_ name: String, _ tls: TLSSettings) -> HTTPRequest {
        HTTPRequest(.get, servers.url(name) + "/x", route: HTTPRoute(tls: tls))
    }

    private func seen(_ name: String, _ tls: TLSSettings) async throws -> Seen {
        Seen(try await stage.send(request(name, tls)).get())
    }

    @Test("a server of a trusted CA is accepted, in TLS 1.3")
    func accepted() async throws {
        let seen = try await seen("good", servers.trusting)
        #expect(seen.request == "GET /x")
        #expect(seen.version == "TLSv1.3")
    }

    @Test("a directory of CAs is trusted, hashed or not, a README in it or not")
    func directory() async throws {
        var settings = TLSSettings()
        settings.caDirectory = servers.path("authorities")
        #expect(try await seen("good", settings).request == "GET /x")
        #expect(try await seen("stranger", settings).request == "GET /x")
    }

    struct Refused: CustomTestStringConvertible {
        let server: String
        let observed: [String]
        var testDescription: String { server }
    }

    @Test(
        "a certificate that does not hold is refused, and the message says what it says",
        arguments: [
            Refused(
                server: "stranger",
                observed: ["for 127.0.0.1, issued by CN=Test CA other", "main.pem", "unable to get local issuer"]),
            Refused(server: "elsewhere", observed: ["is for a.example, b.example, 192.0.2.1, not for 127.0.0.1"]),
            Refused(
                server: "past",
                observed: ["for 127.0.0.1, issued by CN=Test CA main", "expired at 2020-01-02T00:00:00"]),
            Refused(server: "future", observed: ["is not valid before 2048-12-31T23:59:59"]),
        ])
    func refused(_ refused: Refused) async throws {
        let failure = try #require(await stage.failure(of: request(refused.server, servers.trusting)))
        #expect(failure.kind == .certificateRefused)
        #expect(!failure.maybeSent)
        #expect(failure.observed.contains("certificate of 127.0.0.1:\(servers.port(refused.server))"))
        for part in refused.observed { #expect(failure.observed.contains(part)) }
    }

    @Test("the system's CAs do not count beside a CA file, nor our CA without it")
    func onlyTheGiven() async throws {
        let failure = try #require(await stage.failure(of: request("good", TLSSettings())))
        #expect(failure.kind == .certificateRefused)
        #expect(failure.observed.contains("the system's CAs"))
    }

    @Test("skip-verify accepts any certificate", arguments: ["stranger", "elsewhere", "past"])
    func skipVerify(_ name: String) async throws {
        var settings = TLSSettings()
        settings.skipVerify = true
        #expect(try await seen(name, settings).request == "GET /x")
    }

    @Test("a server that offers TLS 1.1 only is refused, even by skip-verify")
    func oldVersion() async throws {
        for settings in [servers.trusting, servers.trusting { $0.skipVerify = true }] {
            let failure = try #require(await stage.failure(of: request("old", settings)))
            #expect(failure.kind == .tlsFailed)
            #expect(failure.observed == "127.0.0.1:\(servers.port("old")) offers no TLS 1.2 or newer")
        }
    }

    // MARK: Server name

    @Test("a server name changes SNI and the name expected, and nothing else")
    func serverName() async throws {
        let seen = try await seen("good", servers.trusting { $0.serverName = "vault.test" })
        #expect(seen.serverName == "vault.test")
        #expect(seen.host == "127.0.0.1:\(servers.port("good"))")
        #expect(seen.request == "GET /x")
    }

    @Test("a server name that the certificate does not have is refused")
    func wrongServerName() async throws {
        let settings = servers.trusting { $0.serverName = "other.test" }
        let failure = try #require(await stage.failure(of: request("good", settings)))
        #expect(failure.kind == .certificateRefused)
        #expect(failure.observed.contains("is for vault.test, 127.0.0.1, not for other.test"))
    }

    @Test("a server name makes a certificate for another host acceptable")
    func otherHostsCertificate() async throws {
        let settings = servers.trusting { $0.serverName = "a.example" }
        #expect(try await seen("elsewhere", settings).serverName == "a.example")
    }

    // MARK: Client certificates

    private func client(_ certificate: String, _ key: String?, passphrase: String? = nil) -> TLSSettings {
        servers.trusting {
            $0.clientCertificateFile = servers.path(certificate)
            $0.clientKeyFile = key.map(servers.path)
            $0.clientKeyPassphraseFile = passphrase.map(servers.path)
        }
    }

    @Test(
        "a client certificate is sent, its key plain, encrypted or in the same file", arguments: ["mutual", "mutual12"])
    func clientCertificate(_ server: String) async throws {
        for settings in [
            client("client.pem", "client.key"), client("client.pem", "client-encrypted.key", passphrase: "passphrase"),
            client("both.pem", nil),
        ] {
            #expect(try await seen(server, settings).clientName == "client")
        }
    }

    @Test("a missing client certificate is named as what is missing", arguments: ["mutual", "mutual12"])
    func noClientCertificate(_ server: String) async throws {
        let failure = try #require(await stage.failure(of: request(server, servers.trusting)))
        #expect(failure.kind == .tlsFailed)
        #expect(
            failure.observed.contains(
                "127.0.0.1:\(servers.port(server)) asks for a client certificate, none is configured"))
    }

    @Test("a client certificate of an unknown CA: the server's alert and our file", arguments: ["mutual", "mutual12"])
    func strangeClientCertificate(_ server: String) async throws {
        let settings = client("client-of-other.pem", "client-of-other.key")
        let failure = try #require(await stage.failure(of: request(server, settings)))
        #expect(failure.kind == .tlsFailed)
        #expect(
            failure.observed.contains(
                "refuses the client certificate \(servers.path("client-of-other.pem")): 'unknown CA'"))
    }

    @Test("a refusal has one kind, whether its alert arrives or is lost to a reset", arguments: ["curt", "curt12"])
    func lostAlert(_ server: String) async throws {
        for _ in 0..<15 {
            for certificate in ["client-of-other", nil] {
                let settings = servers.trusting {
                    $0.clientCertificateFile = certificate.map { servers.path("\($0).pem") }
                    $0.clientKeyFile = certificate.map { servers.path("\($0).key") }
                }
                let failure = try #require(await stage.failure(of: request(server, settings)))
                #expect(failure.kind == .tlsFailed, "\(failure.observed)")
                #expect(
                    failure.observed.contains(
                        certificate.map { "refuses the client certificate \(servers.path("\($0).pem"))" }
                            ?? "asks for a client certificate, none is configured"))
            }
        }
    }

    @Test("a replaced client certificate counts from the next request, a kept one keeps the connection")
    func swappedFiles() async throws {
        let directory = TemporaryDirectory()
        let (certificate, key) = (directory.file("client.pem"), directory.file("client.key"))
        let settings = servers.trusting {
            $0.clientCertificateFile = certificate
            $0.clientKeyFile = key
        }
        try replace(certificate, byCopyOf: servers.path("client.pem"))
        try replace(key, byCopyOf: servers.path("client.key"))
        let first = try await seen("mutual", settings)
        let second = try await seen("mutual", settings)
        #expect([first.clientName, second.clientName] == ["client", "client"])
        #expect(first.connection == second.connection)
        try replace(certificate, byCopyOf: servers.path("client2.pem"))
        try replace(key, byCopyOf: servers.path("client2.key"))
        #expect(try await seen("mutual", settings).clientName == "client2")
        withExtendedLifetime(directory) {}
    }

    @Test("a replaced CA file counts from the next request: no kept connection hides it")
    func swappedAuthority() async throws {
        let directory = TemporaryDirectory()
        let path = directory.file("ca.pem")
        let settings = servers.trusting { $0.caFile = path }
        try replace(path, byCopyOf: servers.path("main.pem"))
        #expect(try await seen("good", settings).request == "GET /x")
        try replace(path, byCopyOf: servers.path("other.pem"))
        #expect(try await stage.failure(of: request("good", settings))?.kind == .certificateRefused)
        withExtendedLifetime(directory) {}
    }

    // MARK: Files of ours

    struct Broken: CustomTestStringConvertible, Sendable {
        let file: String
        let why: String
        let change: @Sendable (inout TLSSettings, TLSServers) -> Void
        var testDescription: String { "\(file): \(why)" }
    }

    static let broken: [Broken] = [
        Broken(file: "absent.pem", why: "No such file or directory") { $0.caFile = $1.path("absent.pem") },
        Broken(file: "empty", why: "it is empty") { $0.caFile = $1.path("empty") },
        Broken(file: "text.pem", why: "holds no usable PEM certificate") { $0.caFile = $1.path("text.pem") },
        Broken(file: "absent", why: "No such file or directory") { $0.caDirectory = $1.path("absent") },
        Broken(file: "no-authorities", why: "no file in it holds a PEM certificate") {
            $0.caFile = nil
            $0.caDirectory = $1.path("no-authorities")
        },
        Broken(file: "authorities", why: "Is a directory") { $0.caFile = $1.path("authorities") },
        Broken(file: "client.key", why: "no client certificate is configured") {
            $0.clientKeyFile = $1.path("client.key")
        },
        Broken(file: "client.pem", why: "it holds no PEM private key") {
            $0.clientCertificateFile = $1.path("client.pem")
        },
        Broken(file: "text.pem", why: "it does not begin with a PEM certificate") {
            $0.clientCertificateFile = $1.path("text.pem")
            $0.clientKeyFile = $1.path("client.key")
        },
        Broken(file: "client2.key", why: "it does not belong to the certificate") {
            $0.clientCertificateFile = $1.path("client.pem")
            $0.clientKeyFile = $1.path("client2.key")
        },
        Broken(file: "client-encrypted.key", why: "it is encrypted, and no passphrase file is configured") {
            $0.clientCertificateFile = $1.path("client.pem")
            $0.clientKeyFile = $1.path("client-encrypted.key")
        },
        Broken(file: "wrong-passphrase", why: "does not open it") {
            $0.clientCertificateFile = $1.path("client.pem")
            $0.clientKeyFile = $1.path("client-encrypted.key")
            $0.clientKeyPassphraseFile = $1.path("wrong-passphrase")
        },
        Broken(file: "absent-passphrase", why: "No such file or directory") {
            $0.clientCertificateFile = $1.path("client.pem")
            $0.clientKeyFile = $1.path("client-encrypted.key")
            $0.clientKeyPassphraseFile = $1.path("absent-passphrase")
        },
    ]

    @Test("a file of ours that cannot be used is named, with the reason", arguments: broken)
    func brokenFile(_ broken: Broken) async throws {
        let settings = servers.trusting { broken.change(&$0, servers) }
        let failure = try #require(await stage.failure(of: request("good", settings)))
        #expect(failure.kind == .tlsFailed)
        #expect(!failure.maybeSent)
        #expect(failure.observed.contains(servers.path(broken.file)))
        #expect(failure.observed.contains(broken.why))
        #expect(!failure.observed.contains("open barley"))
    }
}
