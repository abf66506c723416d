// AWSIdentity: what a profile holds by itself: keys, a `credential_process`; and what an agent cannot use.

internal import ChildProcess
internal import Crypto
internal import Diagnosis
internal import SecretJSON

extension CredentialWalk {
    // MARK: Keys in files

    func credentialsFile(profile name: String) throws(AgentError) -> Lookup {
        try keys(in: shared.credentialsFile, shared.credentialsFile.document?.sections[name], name)
    }

    func configFile(profile name: String) throws(AgentError) -> Lookup {
        try keys(in: shared.configFile, shared.configProfiles[name], name)
    }

    private func keys(
        in file: SharedConfiguration.File, _ profile: SharedConfiguration.Profile?, _ name: String
    ) throws(AgentError) -> Lookup {
        if let absence = file.absence { return .absent(absence) }
        guard let profile else { return .absent("\(file.path) has no profile \(printable(name))") }
        guard let accessKeyID = profile.values["aws_access_key_id"] else {
            return .absent("profile \(printable(name)) in \(file.path) has no aws_access_key_id")
        }
        let text = "profile \(printable(name)) in \(file.path)"
        guard let secretAccessKey = profile.values["aws_secret_access_key"], !secretAccessKey.isEmpty,
            !accessKeyID.isEmpty
        else {
            throw AgentError(
                .awsCredentialsBroken, "\(text) has not both aws_access_key_id and aws_secret_access_key",
                remedy: "Write both, or neither so that the next source is asked")
        }
        // The older name counts first, as it does for the AWS CLI.
        let token = (profile.values["aws_security_token"] ?? profile.values["aws_session_token"])
            .flatMap { $0.isEmpty ? nil : Secret(text: $0) }
        return .found(
            try AWSCredentials(
                checking: accessKeyID, Secret(text: secretAccessKey), token, expiration: nil, origin: text,
                principal: profile.values["aws_account_id"].flatMap { Principal(accountID: $0) }))
    }

    // MARK: What needs a person

    func singleSignOn(profile name: String) throws(AgentError) -> Lookup {
        let values = shared.profiles[name]?.values ?? [:]
        guard values["sso_role_name"] != nil || values["sso_account_id"] != nil else {
            return .absent("profile \(printable(name)) has no sso_role_name and sso_account_id")
        }
        throw needsPerson("profile \(printable(name)) signs on by IAM Identity Center (sso_…)")
    }

    func loginSession(profile name: String) throws(AgentError) -> Lookup {
        guard shared.profiles[name]?.values["login_session"] != nil else {
            return .absent("profile \(printable(name)) has no login_session")
        }
        throw needsPerson("profile \(printable(name)) signs on by aws login (login_session)")
    }

    private func needsPerson(_ observed: String) -> AgentError {
        AgentError(
            .awsCredentialsBroken, observed,
            remedy: "That needs a person at a browser: give the agent another profile, or pin another source")
    }

    // MARK: A process

    /// After this a process is stopped. Source: the AWS SDK for Java's default.
    private static let processTimeout: Duration = .seconds(60)
    /// Bytes of output taken. Source: the AWS SDK for Java's default, 64,000.
    private static let processOutputLimit = 64_000
    /// The same of its words to people: enough for the last of them.
    private static let processErrorLimit = 8_192
    /// Tells the child that it is one, and of which profile: an agent below an agent would go on without end.
    private static let chainVariable = "VAULT_TOKEN_AGENT_CREDENTIAL_PROCESS"
    /// What belongs to this process alone, and its token.
    private static let withheldVariables: Set = [
        "VAULT_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
        "VAULT_TOKEN_AGENT_BOOT_ID",
    ]

    /// Gets the agent's environment, as it does under the AWS CLI: it may need `HOME`, `PATH` or AWS's own variables.
    func credentialProcess(profile name: String) async throws(AgentError) -> Lookup {
        guard let line = shared.profiles[name]?.values["credential_process"] else {
            return .absent("profile \(printable(name)) has no credential_process")
        }
        var text = "the credential_process of profile \(printable(name))"
        if let outer = surroundings.variable(Self.chainVariable) {
            throw AgentError(
                .awsCredentialsBroken,
                "\(text) is not run: this is itself the credential_process of profile \(printable(outer))",
                remedy:
                    "A credential_process that asks the agent must not lead to another: give it --config with a source, "
                    + "or AWS_PROFILE of a profile that has keys or a role")
        }
        var words: [String]
        do {
            words = try CommandWords.split(line)
        } catch {
            throw AgentError(.awsCredentialsBroken, "\(text) is no command: \(error.complaint)")
        }
        guard !words.isEmpty else { throw AgentError(.awsCredentialsBroken, "\(text) is empty") }
        if CommandWords.needsShell(line) {
            words = ["/bin/sh", "-c", line]
            text += ", by /bin/sh"
        }
        var environment = surroundings.environment.filter { !Self.withheldVariables.contains($0.key) }
        environment[Self.chainVariable] = name
        let command = ChildCommand(
            arguments: words, environment: environment, timeout: Self.processTimeout,
            outputLimit: Self.processOutputLimit, errorLimit: Self.processErrorLimit, diesWithAgent: true)
        let outcome: ChildOutcome
        do {
            outcome = try await surroundings.processes.run(command)
        } catch {
            throw error.code == .cancelled
                ? error : AgentError(.awsCredentialsBroken, "\(text): \(error.observed)", remedy: error.remedy)
        }
        return .found(try credentials(from: outcome, text, profile: name))
    }

    private func credentials(
        from outcome: ChildOutcome, _ text: String, profile name: String
    ) throws(AgentError) -> AWSCredentials {
        guard outcome.hasSucceeded else {
            let how =
                switch outcome.end {
                case .exited(let status): "exited with status \(status)"
                case .signalled(let signal): "was ended by signal \(signal)"
                }
            let secrets = ProcessSecrets(
                of: outcome, environment: surroundings.environment, profile: shared.profiles[name]?.values ?? [:])
            throw AgentError(
                .awsCredentialsBroken,
                "\(text) \(how): \(outcome.standardError.logLine(without: secrets.all, limit: 300))",
                remedy: "Run it by hand as the agent's user")
        }
        guard !outcome.isCut else {
            throw AgentError(
                .awsCredentialsBroken, "\(text) printed more than \(Self.processOutputLimit) bytes",
                remedy: "Expected one JSON object with credentials")
        }
        let json = try JSONValue(body: outcome.standardOutput, from: text, failure: .awsCredentialsBroken)
        guard json["Version"]?.integer == 1 else {
            throw AgentError(
                .awsCredentialsBroken, "\(text) printed a document whose Version is not 1",
                remedy: "Expected {\"Version\": 1, \"AccessKeyId\": …, \"SecretAccessKey\": …}")
        }
        let document = try CredentialDocument(json, tokenField: "SessionToken", required: false, sender: text)
        return try document.credentials(origin: text)
    }
}
