// Configuration: checked sections become the settings of the rooms; what contradicts itself is found here.

private import AWSIdentity
private import Diagnosis
private import HTTPClient
private import HTTPServer
private import ServiceHealth
private import Timekeeping
private import TokenLifecycle
private import TokenSinks
private import VaultAPI

/// Builds the configuration from a file without problems of its own.
struct Assembler {
    let environment: [String: String]
    var problems: Problems
    private(set) var warnings: [String] = []
    private var uses: PathUses
    /// Where the agent may write; empty: anywhere.
    private var confineTo: [String] = []

    init(environment: [String: String], workingDirectory: String, problems: Problems) {
        self.environment = environment
        self.problems = problems
        uses = PathUses(workingDirectory: workingDirectory)
    }

    mutating func assemble(_ root: CheckedSection) -> AgentConfiguration {
        confineTo = root.texts("confine_to")
        uses.note(problems.source.path, by: "this configuration", writes: false)
        for variable in Self.filesOfAWS {
            if let path = environment[variable] { uses.note(path, by: variable, writes: false) }
        }
        let state =
            root.isSet("state_directory")
            ? root.text("state_directory") : Self.firstDirectory("STATE_DIRECTORY", environment)
        if let state {
            uses.keepState(in: state)
            if !confineTo.isEmpty, !AgentConfiguration.mayWrite(in: state, confineTo) {
                complainOfConfinement(state, root, "state_directory")
            }
        }
        let health = health(root)
        var names: [String: String] = [:]
        var tokens: [TokenSettings] = []
        for section in root.subsections("tokens") {
            let settings = token(section, stateDirectory: state)
            if let first = names[settings.name] {
                problems.add(
                    section.offset(of: "name"), section.path(of: "name"),
                    "\(quoted(settings.name)) is the name of \(first) too", "Give each token its own")
            }
            names[settings.name] = section.path
            tokens.append(settings)
        }
        var configuration = AgentConfiguration(tokens: tokens, health: health, stateDirectory: state)
        configuration.reloadOnChange = root.flag("reload_on_change")
        configuration.confineTo = confineTo
        configuration.namesakes = uses.namesakes(of: tokens.flatMap(\.sinks).map(\.path))
        return configuration
    }

    private static let filesOfAWS = [
        "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ]

    // MARK: The file's own keys

    /// The first of the directories in a variable of systemd's.
    private static func firstDirectory(_ variable: String, _ environment: [String: String]) -> String? {
        let first = environment[variable, default: ""].prefix { $0 != ":" }
        return first.hasPrefix("/") ? String(first) : nil
    }

    static func defaultStatusFile(_ environment: [String: String]) -> String? {
        firstDirectory("RUNTIME_DIRECTORY", environment).map { $0 + "/status.json" } ?? HealthSettings().statusFile
    }

    private mutating func health(_ root: CheckedSection) -> HealthSettings {
        var settings = HealthSettings()
        if let log = root.subsection("log") {
            settings.logLevel = log.choice("level") ?? settings.logLevel
            settings.logFormat = log.choice("format") ?? settings.logFormat
        }
        settings.statusFile =
            root.isSet("status_file") ? root.text("status_file") : Self.defaultStatusFile(environment)
        claim(settings.statusFile, root, "status_file")
        for path in AgentLock.paths(nil, settings.statusFile) {
            uses.note(path, by: "the lock of status_file", writes: true)
        }
        if let metrics = root.subsection("metrics") {
            settings.metricsTextfile = metrics.text("textfile")
            settings.metricsListen = metrics.text("listen")
            if let textfile = settings.metricsTextfile, !textfile.hasSuffix(".prom") {
                problems.add(
                    metrics.offset(of: "textfile"), metrics.path(of: "textfile"),
                    "\(quoted(textfile)) does not end in .prom", "node_exporter reads only files that do")
            }
            claim(settings.metricsTextfile, metrics, "textfile")
            listen(at: settings.metricsListen, metrics)
        }
        if let probes = root.subsection("probes") {
            settings.probesListen = probes.text("listen")
            if settings.probesListen != settings.metricsListen { listen(at: settings.probesListen, probes) }
        }
        return settings
    }

    private mutating func listen(at address: String?, _ section: CheckedSection) {
        guard let address else { return }
        if let path = AgentConfiguration.socketPath(address) {
            claim(path, section, "listen")
        } else if (try? ListenAddress(address))?.isOpen == true {
            let key = section.path(of: "listen")
            warn("\(key): whoever reaches \(address) may read which tokens and sinks there are")
        }
    }

    /// The agent writes there, or only reads; complains where that may not be.
    private mutating func claim(_ path: String?, _ section: CheckedSection, _ key: String, writes: Bool = true) {
        guard let path else { return }
        let here = section.path(of: key)
        if let first = uses.note(path, by: here, writes: writes) {
            problems.add(
                section.offset(of: key), here, "\(quoted(path)) is the path of \(first) too", "Give each its own path")
        }
        if writes { confine(path, section, key) }
    }

    private mutating func confine(_ path: String, _ section: CheckedSection, _ key: String) {
        if !confineTo.isEmpty, !AgentConfiguration.mayWrite(path, confineTo) {
            complainOfConfinement(path, section, key)
        }
    }

    private mutating func complainOfConfinement(_ path: String, _ section: CheckedSection, _ key: String) {
        problems.add(
            section.offset(of: key), section.path(of: key),
            "\(quoted(path)) is not below \(confineTo.joined(separator: " or ")), where confine_to lets the agent write",
            "List its directory, or one above it, in confine_to")
    }

    // MARK: A token

    private mutating func token(_ section: CheckedSection, stateDirectory: String?) -> TokenSettings {
        var settings = TokenSettings(
            name: section.text("name") ?? "", vault: vault(section),
            login: LoginSettings(method: .iam), sinks: [])
        if let auth = section.subsection("auth") {
            settings.login = login(auth, stateDirectory: stateDirectory)
            settings.aws = aws(auth)
            settings.audience = audience(auth)
            settings.identity = identity(auth)
        }
        if let renewal = section.subsection("renewal") {
            settings.policy.increment = renewal.duration("increment")
            settings.policy.expired = renewal.choice("expired_token") ?? .keep
            settings.policy.replaced = renewal.duration("revoke_grace").map { .revoke(after: $0) } ?? .expire
            settings.policy.lookupInterval = renewal.duration("lookup_interval")
            settings.policy.maxBackoff = renewal.duration("max_backoff") ?? settings.policy.maxBackoff
        }
        settings.policy.revokeOnStop = section.flag("revoke_on_stop")
        settings.sinks = section.subsections("sinks").map { sink($0) }
        settings.onChange = section.subsection("on_change").flatMap { action($0) }
        return settings
    }

    private mutating func vault(_ token: CheckedSection) -> VaultServer {
        guard let section = token.subsection("vault") else { return VaultServer(addresses: []) }
        var server = VaultServer(addresses: section.texts("address"))
        if server.addresses.isEmpty {
            problems.add(
                nil, "vault.address", "missing, expected \(TextRule.address.expectation)",
                "Set it here, by VAULT_ADDR or by --vault-addr")
        }
        server.namespace = section.text("namespace") ?? ""
        server.connectTimeout = section.duration("connect_timeout") ?? server.connectTimeout
        server.requestTimeout = section.duration("request_timeout") ?? server.requestTimeout
        if !section.isSet("connect_timeout") {
            server.connectTimeout = min(server.connectTimeout, server.requestTimeout)
        } else if server.connectTimeout > server.requestTimeout {
            problems.add(
                section.offset(of: "connect_timeout"), section.path(of: "connect_timeout"),
                "\(server.connectTimeout.text) is longer than request_timeout, \(server.requestTimeout.text)",
                "The whole request includes connecting: raise request_timeout")
        }
        server.proxy = section.text("proxy")
        server.redirectHosts = section.texts("redirect_hosts")
        if let tls = section.subsection("tls") { server.tls = self.tls(tls) }
        for warning in VaultVariables.warnings(environment) { warn(warning) }
        for address in server.addresses where VaultServer.isPlainBeyondLoopback(address) {
            warn("\(address) is not encrypted: login and token can be read on the way")
        }
        return server
    }

    private mutating func tls(_ section: CheckedSection) -> TLSSettings {
        var tls = TLSSettings()
        tls.caFile = section.text("ca_cert")
        tls.caCertificates = section.text("ca_cert_bytes")
        tls.caDirectory = section.text("ca_path")
        tls.clientCertificateFile = section.text("client_cert")
        tls.clientKeyFile = section.text("client_key")
        tls.clientKeyPassphraseFile = section.text("client_key_passphrase_file")
        tls.serverName = section.text("server_name")
        tls.skipVerify = section.flag("skip_verify")
        for key in ["ca_cert", "client_cert", "client_key", "client_key_passphrase_file"] {
            claim(section.text(key), section, key, writes: false)
        }
        func needs(_ key: String, _ other: String, _ missing: Bool) {
            guard missing else { return }
            problems.add(
                section.offset(of: key), section.path(of: key), "given without \(quoted(other))",
                "Give both; one PEM file may hold certificate and key")
        }
        needs("client_cert", "client_key", tls.clientCertificateFile != nil && tls.clientKeyFile == nil)
        needs("client_key", "client_cert", tls.clientKeyFile != nil && tls.clientCertificateFile == nil)
        needs(
            "client_key_passphrase_file", "client_key", tls.clientKeyPassphraseFile != nil && tls.clientKeyFile == nil)
        if tls.skipVerify {
            warn(
                "TLS VERIFICATION IS OFF, vault.tls.skip_verify is on: whoever is between agent and Vault gets the login and "
                    + "the token")
        }
        return tls
    }

    private mutating func login(_ auth: CheckedSection, stateDirectory: String?) -> LoginSettings {
        var login = LoginSettings(method: .iam)
        if auth.text("type") == "ec2" {
            var ec2 = EC2Login()
            ec2.proof = auth.choice("identity_document") ?? ec2.proof
            ec2.nonceFile = auth.text("nonce_file")
            claim(ec2.nonceFile, auth, "nonce_file", writes: false)
            if let path = ec2.nonceFile { confine(path, auth, "nonce_file") }
            login.method = .ec2(ec2)
            if ec2.nonceFile == nil && stateDirectory == nil {
                problems.add(
                    auth.offset(of: "type"), auth.path(of: "type"),
                    "an ec2 login has no place for its nonce",
                    "Set state_directory (or StateDirectory= in the unit) or nonce_file: without its nonce this "
                        + "instance can log in once only")
            }
        }
        login.mountPath = auth.text("mount_path") ?? login.mountPath
        login.namespace = auth.text("namespace")
        login.role = auth.text("role")
        login.wrapTTL = auth.duration("wrap_ttl")
        return login
    }

    private mutating func aws(_ auth: CheckedSection) -> AWSSettings {
        var aws = AWSSettings()
        guard let credentials = auth.subsection("credentials") else { return aws }
        if auth.text("type") == "ec2" {
            for key in ["source", "profile"] where credentials.isSet(key) {
                problems.add(
                    credentials.offset(of: key), credentials.path(of: key),
                    "counts only with \"type\" \"iam\", which is \"ec2\"", "Take one of them out")
            }
        }
        aws.source = credentials.choice("source") ?? aws.source
        aws.profile = credentials.text("profile")
        aws.allowIMDSv1 = credentials.flag("imds_v1")
        return aws
    }

    private mutating func audience(_ auth: CheckedSection) -> LoginAudience {
        let region = auth.text("region")
        let audience = LoginAudience(
            region: region == "auto" ? nil : region, endpoint: auth.text("sts_endpoint"),
            serverID: auth.text("header_value"))
        if Self.wantsFIPSWithoutRegion(environment) {
            problems.add(
                auth.offset(of: "type"), auth.path(of: "type"),
                "AWS_USE_FIPS_ENDPOINT is true, and nothing can name a region to the agent's own calls to STS",
                "Set AWS_REGION: FIPS endpoints are a region's")
        }
        if let error = audience.contradiction {
            problems.add(auth.offset(of: "region"), auth.path(of: "region"), error.observed, error.remedy)
        }
        return audience
    }

    /// Only where that is sure without asking: no variable, no file that could name one, no instance metadata.
    private static func wantsFIPSWithoutRegion(_ environment: [String: String]) -> Bool {
        func isTrue(_ name: String) -> Bool { environment[name]?.lowercased() == "true" }
        let sources = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]
        let endpoints = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"]
        return isTrue("AWS_USE_FIPS_ENDPOINT") && isTrue("AWS_EC2_METADATA_DISABLED")
            && (sources + endpoints).allSatisfy { environment[$0, default: ""].isEmpty }
            && ["config", "credentials"].allSatisfy { file in
                (try? LocalFiles().read("\(environment["HOME", default: ""])/.aws/\(file)", limit: 1 << 20)) == nil
            }
    }

    private func identity(_ auth: CheckedSection) -> IdentityPolicy {
        var policy = IdentityPolicy()
        policy.onChange = auth.choice("on_identity_change") ?? policy.onChange
        policy.expected = auth.texts("expect").compactMap { IdentityPattern($0) }
        policy.reauthenticatesOnNewCredentials = auth.flag("enable_reauth_on_new_credentials")
        return policy
    }

    // MARK: A sink

    private mutating func sink(_ section: CheckedSection) -> SinkSettings {
        let path = section.text("path") ?? ""
        let place: SinkSettings.Place
        if section.text("type") == "socket" {
            var socket = SocketPlace(path: path)
            socket.mode = section.mode("mode") ?? socket.mode
            socket.owner = section.text("owner")
            socket.group = section.text("group")
            socket.allowUsers = section.texts("allow_users")
            socket.allowGroups = section.texts("allow_groups")
            place = .socket(socket)
            if path.utf8.count > 107 {
                problems.add(
                    section.offset(of: "path"), section.path(of: "path"),
                    "\(quoted(path)) names a socket by more than 107 bytes", "Use a shorter path")
            }
        } else {
            var file = FilePlace(path: path)
            file.mode = section.mode("mode") ?? file.mode
            file.owner = section.text("owner")
            file.group = section.text("group")
            place = .file(file)
            if file.mode & 0o004 != 0 {
                warn("\(section.path(of: "mode")): every user of this machine may read the token in \(path)")
            }
        }
        claim(path, section, "path")
        var sink = SinkSettings(place: place)
        sink.format = section.choice("format") ?? sink.format
        sink.newline = section.flag("newline")
        sink.wrapTTL = section.duration("wrap_ttl")
        sink.encryption = encryption(section)
        sink.policies = section.texts("policies")
        sink.onChange = section.subsection("on_change").flatMap { action($0) }
        return sink
    }

    private mutating func encryption(_ section: CheckedSection) -> EncryptionSettings? {
        guard section.isSet("dh_type") else { return nil }
        guard let publicKey = section.text("dh_path") else {
            problems.add(
                section.offset(of: "dh_type"), section.path(of: "dh_path"), "missing, expected an absolute path",
                "\"dh_type\" wants the file with the reader's public key")
            return nil
        }
        claim(publicKey, section, "dh_path", writes: false)
        var encryption = EncryptionSettings(publicKeyPath: publicKey)
        encryption.deriveKey = section.flag("derive_key")
        encryption.additionalData = section.text("aad") ?? ""
        if let variable = section.text("aad_env_var") {
            if section.isSet("aad") {
                problems.add(
                    section.offset(of: "aad_env_var"), section.path(of: "aad_env_var"),
                    "given along with \"aad\"", "Take one of them out")
            }
            if let value = environment[variable], !value.isEmpty {
                encryption.additionalData = value
            } else {
                problems.add(
                    section.offset(of: "aad_env_var"), section.path(of: "aad_env_var"),
                    "the environment variable \(variable) is not set", "Set it in the agent's environment")
            }
        }
        return encryption
    }

    private mutating func action(_ section: CheckedSection) -> ChangeAction? {
        let command = section.texts("command")
        func complain(_ key: String, _ observed: String, _ remedy: String) {
            problems.add(section.offset(of: key), section.path.isEmpty ? key : section.path(of: key), observed, remedy)
        }
        switch (command.first, section.text("signal"), section.text("pid_file")) {
        case (let program?, nil, nil):
            if !program.hasPrefix("/") {
                complain("command", "\(quoted(program)) is not an absolute path", "Name the program by its whole path")
            }
            return section.duration("timeout").map { .command(command, timeout: $0) }
        case (nil, let signal?, let pidFile?):
            if section.isSet("timeout") {
                complain("timeout", "counts only with \"command\", which is not set", "Take it out")
            }
            return SignalName.number(of: signal).map { .signal($0, pidFile: pidFile) }
        case (nil, _?, nil):
            complain(
                "pid_file", "missing, expected an absolute path", "\"signal\" wants the file with the process's number")
        case (nil, nil, _?):
            complain("pid_file", "counts only with \"signal\", which is not set", "Say which signal to send")
        case (nil, nil, nil):
            complain(
                "command", "missing, expected a list of strings", "Give \"command\", or \"signal\" and \"pid_file\"")
        case (_?, _, _):
            complain(
                "command", "given along with \"signal\" or \"pid_file\"", "Run a command or send a signal, not both")
        }
        return nil
    }

    // MARK: Warnings

    private mutating func warn(_ text: String) {
        if !warnings.contains(text) { warnings.append(text) }
    }
}

extension CheckedSection {
    /// The case whose raw value stands under `key`.
    fileprivate func choice<Choice: RawRepresentable<String>>(_ key: String) -> Choice? {
        text(key).flatMap { Choice(rawValue: $0) }
    }
}
