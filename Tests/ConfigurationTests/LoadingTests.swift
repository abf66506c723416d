// What a configuration means: the example, the defaults, who speaks before whom.

import AWSIdentity
import Diagnosis
import HTTPClient
import ServiceHealth
import Testing
import TokenLifecycle
import TokenSinks
import VaultAPI

@testable import Configuration

@Suite("A configuration that can work")
struct LoadingTests {
    @Test("The example loads as it stands")
    func example() throws {
        let loaded = try ConfigurationLoader.load(
            .file(projectDirectory + "/config.example.json"), environment: [:])
        let token = try #require(loaded.configuration.tokens.first)
        #expect(token.name == "app")
        #expect(token.vault.addresses == ["https://vault.example.com:8200"])
        #expect(token.vault.tls.caFile == nil, "a new user has no such file")
        #expect(token.login.method == .iam)
        #expect(token.audience.serverID == "vault.example.com")
        #expect(token.login.role == "app")
        var place = FilePlace(path: "/run/vault-token-agent/token")
        place.group = "vault-token-readers"
        #expect(token.sinks == [SinkSettings(place: .file(place))])
        #expect(loaded.warnings.isEmpty)
    }

    @Test("The configurations that are shipped or shown load as they stand")
    func shipped() throws {
        for file in ["README.md", "docs/configuration.md", "docs/migrating-from-vault-agent.md"] {
            let lines = try projectText(file).split(separator: "\n", omittingEmptySubsequences: false)
            let blocks = lines.split { $0.hasPrefix("```") && $0 != "```json" }
                .compactMap { block in block.lastIndex(of: "```json").map { block[block.index(after: $0)...] } }
            #expect(!blocks.isEmpty, "\(file)")
            for block in blocks { _ = try examine(block.joined(separator: "\n")).usable }
        }
    }

    @Test("Five keys are enough, and the table's defaults are those of the rooms")
    func defaults() throws {
        let loaded = try examine(minimal()).usable
        #expect(
            loaded.configuration
                == AgentConfiguration(tokens: [
                    TokenSettings(
                        name: "app", vault: VaultServer(addresses: ["https://vault.example.com:8200"]),
                        login: LoginSettings(method: .iam),
                        sinks: [SinkSettings(place: .file(FilePlace(path: "/run/app/token")))])
                ]))
        let other = try examine(
            minimal(root: #", "state_directory": "/var/lib/agent""#, type: "ec2", sinkType: "socket")
        ).usable.configuration.tokens[0]
        #expect(other.login == LoginSettings(method: .ec2(EC2Login())))
        #expect(other.sinks == [SinkSettings(place: .socket(SocketPlace(path: "/run/app/token")))])
    }

    @Test("A comment may stand in every object, and changes nothing")
    func comments() throws {
        let comment = #", "$comment": "for the reader""#
        let commented = examine(
            minimal(root: comment, vault: comment, token: comment, auth: comment, sink: comment))
        #expect(try commented.usable.configuration == examine(minimal()).usable.configuration)
        #expect(!commented.effective.contains { $0.path.contains("comment") })
    }

    @Test("Every key reaches its setting")
    func everyKey() throws {
        let text = """
            {
              "vault": { "address": ["https://a:8200/", "https://b"], "namespace": "/team/app/", "connect_timeout": "2s",
                "request_timeout": "1m", "tls": { "ca_cert": "/ca.pem", "ca_path": "/cas", "client_cert": "/c.pem",
                  "client_key": "/k.pem", "client_key_passphrase_file": "$CREDENTIALS_DIRECTORY/phrase",
                  "server_name": "vault", "skip_verify": true } },
              "tokens": [
                { "name": "one", "vault": { "address": "unix:///run/bao.sock", "tls": { "skip_verify": false } },
                  "auth": { "type": "iam", "mount_path": "/auth/aws/eu/", "namespace": "other", "role": "r",
                    "header_value": "id", "region": "eu-central-1", "sts_endpoint": "https://sts.example.com/",
                    "wrap_ttl": "5m", "credentials": { "source": "profile", "profile": "p", "imds_v1": true } },
                  "renewal": { "increment": "1h", "expired_token": "remove", "replaced_token": "revoke",
                    "revoke_grace": "2m", "max_backoff": "5m", "lookup_interval": "20m" },
                  "revoke_on_stop": true, "on_change": { "command": ["/bin/true", "x"], "timeout": "1s" },
                  "sinks": [ { "type": "file", "path": "/run//one/", "mode": "600", "owner": "0", "group": "app",
                    "format": "env", "newline": true, "wrap_ttl": "1m", "dh_type": "curve25519", "dh_path": "/dh.json",
                    "aad": "x", "derive_key": true, "policies": ["reader"],
                    "on_change": { "signal": "HUP", "pid_file": "/run/app.pid" } } ] },
                { "name": "two", "auth": { "type": "ec2", "identity_document": "identity", "nonce_file": "/state/nonce" },
                  "sinks": [ { "type": "socket", "path": "/run/two", "mode": "0600", "owner": "app", "group": "app",
                    "allow_users": ["app"], "allow_groups": ["1000"], "dh_type": "curve25519", "dh_path": "/dh.json",
                    "aad_env_var": "AAD" } ] }
              ],
              "state_directory": "/state", "confine_to": ["/run/", "/state", "/metrics"], "status_file": null, "log": { "level": "debug", "format": "json" },
              "metrics": { "textfile": "/metrics/agent.prom", "listen": "localhost:9112" }
            }
            """
        let configuration = try examine(
            text, environment: ["CREDENTIALS_DIRECTORY": "/run/credentials/agent", "AAD": "y"]
        ).usable.configuration

        var server = VaultServer(addresses: ["https://a:8200", "https://b"])
        server.namespace = "team/app"
        server.connectTimeout = .seconds(2)
        server.requestTimeout = .seconds(60)
        server.tls.caFile = "/ca.pem"
        server.tls.caDirectory = "/cas"
        server.tls.clientCertificateFile = "/c.pem"
        server.tls.clientKeyFile = "/k.pem"
        server.tls.clientKeyPassphraseFile = "/run/credentials/agent/phrase"
        server.tls.serverName = "vault"
        server.tls.skipVerify = true

        var one = TokenSettings(
            name: "one", vault: server, login: LoginSettings(method: .iam), sinks: [])
        one.vault.addresses = ["unix:///run/bao.sock"]
        one.vault.tls.skipVerify = false
        one.login.mountPath = "auth/aws/eu"
        one.login.namespace = "other"
        one.login.role = "r"
        one.login.wrapTTL = .seconds(300)
        one.audience.region = "eu-central-1"
        one.audience.endpoint = "https://sts.example.com"
        one.audience.serverID = "id"
        one.aws.source = .profile
        one.aws.profile = "p"
        one.aws.allowIMDSv1 = true
        one.policy.increment = .seconds(3_600)
        one.policy.expired = .remove
        one.policy.replaced = .revoke(after: .seconds(120))
        one.policy.revokeOnStop = true
        one.policy.maxBackoff = .seconds(300)
        one.policy.lookupInterval = .seconds(1_200)
        one.onChange = .command(["/bin/true", "x"], timeout: .seconds(1))
        var file = FilePlace(path: "/run/one")
        file.mode = 0o600
        file.owner = "0"
        file.group = "app"
        var sink = SinkSettings(place: .file(file))
        sink.format = .env
        sink.newline = true
        sink.wrapTTL = .seconds(60)
        sink.encryption = EncryptionSettings(publicKeyPath: "/dh.json")
        sink.encryption?.additionalData = "x"
        sink.encryption?.deriveKey = true
        sink.policies = ["reader"]
        sink.onChange = .signal(1, pidFile: "/run/app.pid")
        one.sinks = [sink]
        #expect(configuration.tokens[0] == one)

        var ec2 = EC2Login()
        ec2.proof = .identity
        ec2.nonceFile = "/state/nonce"
        var two = TokenSettings(name: "two", vault: server, login: LoginSettings(method: .ec2(ec2)), sinks: [])
        var socket = SocketPlace(path: "/run/two")
        socket.mode = 0o600
        socket.owner = "app"
        socket.group = "app"
        socket.allowUsers = ["app"]
        socket.allowGroups = ["1000"]
        var second = SinkSettings(place: .socket(socket))
        second.encryption = EncryptionSettings(publicKeyPath: "/dh.json")
        second.encryption?.additionalData = "y"
        two.sinks = [second]
        #expect(configuration.tokens[1] == two)

        #expect(configuration.stateDirectory == "/state")
        #expect(configuration.confineTo == ["/run", "/state", "/metrics"])
        #expect(configuration.health.statusFile == nil)
        #expect(configuration.health.logLevel == .debug)
        #expect(configuration.health.logFormat == .json)
        #expect(configuration.health.metricsTextfile == "/metrics/agent.prom")
        #expect(configuration.health.metricsListen == "127.0.0.1:9112")
    }

    @Test("A flag stands above the environment, the environment above the file, the file above the default")
    func precedence() throws {
        let text = minimal(vault: #", "namespace": "file", "tls": { "skip_verify": false }"#)
        let environment = [
            "VAULT_ADDR": "https://environment", "VAULT_NAMESPACE": "environment", "VAULT_SKIP_VERIFY": "1",
            "VAULT_CACERT": "",
        ]
        var overrides = ConfigurationOverrides()
        overrides.set("vault.address", "https://flag")
        let examined = examine(text, environment: environment, overrides: overrides)
        let vault = try examined.usable.configuration.tokens[0].vault
        #expect(vault.addresses == ["https://flag"])
        #expect(vault.namespace == "environment")
        #expect(vault.tls.skipVerify)
        #expect(vault.tls.caFile == nil, "an empty variable counts as unset")
        let origins = Dictionary(uniqueKeysWithValues: examined.effective.map { ($0.path, $0) })
        #expect(origins["vault.address"]?.origin == .flag("--vault-addr"))
        #expect(origins["vault.namespace"]?.origin == .environment("VAULT_NAMESPACE"))
        #expect(origins["vault.connect_timeout"]?.origin == .fallback)
        #expect(origins["vault.connect_timeout"]?.value == "5s")
        #expect(origins["tokens[0].name"]?.origin == .file(line: 3))
        #expect(origins["tokens[0].sinks[0].mode"]?.value == "0640")
    }

    @Test("Every variable of Vault's tools reaches its setting")
    func variables() throws {
        let vault = try examine(
            minimal(),
            environment: [
                "VAULT_ADDR": "https://e", "VAULT_NAMESPACE": "n", "VAULT_CACERT": "/ca", "VAULT_CAPATH": "/cas",
                "VAULT_CLIENT_CERT": "/c", "VAULT_CLIENT_KEY": "/k", "VAULT_TLS_SERVER_NAME": "s",
                "VAULT_SKIP_VERIFY": "true", "VAULT_CLIENT_TIMEOUT": "3", "VAULT_PROXY_ADDR": "http://p:1",
                "VAULT_HTTP_PROXY": "http://q:1", "VAULT_CACERT_BYTES": pem,
            ]
        ).usable.configuration.tokens[0].vault
        var expected = VaultServer(addresses: ["https://e"])
        expected.namespace = "n"
        expected.tls.caFile = "/ca"
        expected.tls.caDirectory = "/cas"
        expected.tls.clientCertificateFile = "/c"
        expected.tls.clientKeyFile = "/k"
        expected.tls.serverName = "s"
        expected.tls.skipVerify = true
        expected.tls.caCertificates = pem
        expected.proxy = "http://p:1"
        expected.requestTimeout = .seconds(3)
        // Its default would be longer than the whole request.
        expected.connectTimeout = .seconds(3)
        #expect(vault == expected)
    }

    @Test("OpenBao's name of a variable stands above Vault's, of two names for one thing the first counts")
    func openBaoVariables() throws {
        let environment = [
            "VAULT_ADDR": "https://vault", "BAO_ADDR": "https://bao", "BAO_NAMESPACE": "", "VAULT_NAMESPACE": "n",
            "BAO_HTTP_PROXY": "http://second:1", "VAULT_PROXY_ADDR": "http://first:1",
        ]
        let vault = try examine(minimal(), environment: environment).usable.configuration.tokens[0].vault
        #expect(vault.addresses == ["https://bao"])
        #expect(vault.namespace == "n")
        #expect(vault.proxy == "http://first:1")
    }

    @Test("Variables of Vault's tools that have no effect here are named")
    func ignoredVariables() throws {
        let loaded = try examine(
            minimal(), environment: ["VAULT_MAX_RETRIES": "2", "BAO_RATE_LIMIT": "9", "VAULT_SRV_LOOKUP": ""]
        ).usable
        #expect(loaded.warnings.count == 2)
        #expect(loaded.warnings.contains { $0.hasPrefix("VAULT_MAX_RETRIES is set and has no effect") })
        #expect(loaded.warnings.contains { $0.hasPrefix("BAO_RATE_LIMIT is set and has no effect") })
    }

    @Test("A login at a proxy is not shown, nor is a text of certificates")
    func hiddenValues() throws {
        let environment = ["VAULT_PROXY_ADDR": "http://user:hunter2@proxy:3128", "VAULT_CACERT_BYTES": pem]
        let examined = examine(minimal(), environment: environment)
        #expect(try examined.usable.configuration.tokens[0].vault.proxy == "http://user:hunter2@proxy:3128")
        let shown = Dictionary(uniqueKeysWithValues: examined.effective.map { ($0.path, $0.value) })
        #expect(shown["vault.proxy"] == "http://(secret)@proxy:3128")
        #expect(shown["vault.tls.ca_cert_bytes"] == "(\(pem.utf8.count) bytes)")
    }

    @Test("Hosts of redirects are names, addresses and blocks")
    func redirectHosts() throws {
        let text = minimal(
            vault: ##", "redirect_hosts": ["node.example.net", ".example.org", "10.0.0.0/8", "fd00::1"]"##)
        let vault = try examine(text).usable.configuration.tokens[0].vault
        #expect(vault.redirectHosts == ["node.example.net", ".example.org", "10.0.0.0/8", "fd00::1"])
        for wrong in ["https://a", "a/b", "10.0.0.0/33", "*", "a b", "a:8200", "user@a"] {
            #expect(!examine(minimal(vault: ", \"redirect_hosts\": [\"\(wrong)\"]")).complaints.isEmpty, "\(wrong)")
        }
    }

    @Test("No password of a URL is shown, wherever it was written")
    func passwords() {
        for address in ["https://user:hunter2@vault:8200", "user:hunter2@vault:8200", "ftp://user:hunter2/3@vault"] {
            let text = minimal().replacing("https://vault", with: address)
            let complaints = examine(text, environment: ["VAULT_PROXY_ADDR": "nonsense://u:hunter2@p"]).complaints
            #expect(!complaints.isEmpty && !complaints.joined().contains("hunter2"), "\(complaints)")
            let outside = examine(minimal(), environment: ["VAULT_ADDR": address]).complaints
            #expect(!outside.isEmpty && !outside.joined().contains("hunter2"), "\(outside)")
        }
    }

    private let pem = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"

    @Test("A token's own vault section stands above flags and environment, which speak for the top level")
    func ownVault() throws {
        let text = minimal(token: #", "vault": { "address": "https://other:8200" }"#)
        let vault = try examine(text, environment: ["VAULT_ADDR": "https://environment", "VAULT_NAMESPACE": "n"])
            .usable.configuration.tokens[0].vault
        #expect(vault.addresses == ["https://other:8200"])
        #expect(vault.namespace == "n")
    }

    @Test("systemd's directories are the defaults of state and status")
    func systemdDirectories() throws {
        let examined = examine(
            minimal(), environment: ["STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "RUNTIME_DIRECTORY": "/run/a"])
        let configuration = try examined.usable.configuration
        #expect(configuration.stateDirectory == "/var/lib/a")
        #expect(configuration.health.statusFile == "/run/a/status.json")
        #expect(
            examined.effective.contains(
                EffectiveValue(
                    path: "status_file", value: "/run/a/status.json", origin: .environment("RUNTIME_DIRECTORY"))))
    }

    @Test("The status file is found in a configuration that this process could not load")
    func statusFileOnly() throws {
        let path = "/dev/shm/vta-config-status-\(UInt64.random(in: 0 ... .max)).json"
        try write(
            minimal(
                root: #", "status_file": "/run/x.json""#, vault: #", "tls": {"ca_cert": "$CREDENTIALS_DIRECTORY/c"}"#),
            to: path)
        defer { remove(path) }
        #expect(throws: AgentError.self) { try ConfigurationLoader.load(.file(path), environment: [:]) }
        #expect(
            try ConfigurationLoader.statusFile(of: SourceText(readingFrom: path), environment: [:]) == "/run/x.json")
        #expect(
            try ConfigurationLoader.statusFile(of: nil, environment: [:]) == "/run/vault-token-agent/status.json")
        #expect(
            try ConfigurationLoader.statusFile(of: nil, environment: ["RUNTIME_DIRECTORY": "/run/a"])
                == "/run/a/status.json")
    }

    @Test("What is written outside of confine_to is found, by whole names of directories")
    func confinement() throws {
        let own = #", "confine_to": ["/run/app"], "state_directory": "/run/app", "status_file": "/run/app/s""#
        let configuration = try examine(minimal(root: own)).usable.configuration
        #expect(configuration.firstWrite(outside: ["/run/app"]) == nil)
        #expect(configuration.firstWrite(outside: ["/run/ap", "/run/app/token"]) == "/run/app")
        #expect(configuration.firstWrite(outside: ["/run"]) == nil)
        #expect(configuration.firstWrite(outside: []) == "/run/app")
        var listening = configuration
        listening.health.metricsListen = "unix:///srv/metrics"
        #expect(listening.firstWrite(outside: ["/run/app"]) == "/srv/metrics")
        listening.health.metricsListen = "127.0.0.1:9112"
        listening.stateDirectory = "/run"
        #expect(listening.firstWrite(outside: ["/run/app"]) == "/run")
    }

    @Test("What is allowed and unwise is said")
    func warnings() throws {
        let loaded = try examine(
            minimal(
                vault: #", "tls": { "skip_verify": true }"#,
                token: #", "vault": { "address": ["http://vault:8200", "http://127.0.0.1:8200"] }"#,
                sink: #", "mode": "0644""#)
        ).usable
        #expect(loaded.warnings.count == 3)
        #expect(loaded.warnings.contains { $0.contains("skip_verify") })
        #expect(loaded.warnings.contains { $0.hasPrefix("http://vault:8200 is not encrypted") })
        #expect(loaded.warnings.contains { $0.contains("every user of this machine may read") })
    }

    @Test("A byte order mark is skipped")
    func byteOrderMark() throws {
        _ = try examine("\u{FEFF}" + minimal()).usable
    }
}
