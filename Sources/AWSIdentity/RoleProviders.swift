// AWSIdentity: roles to assume: by a profile's `role_arn`, by a web identity token.

internal import Crypto
internal import Diagnosis

extension CredentialWalk {
    // MARK: Assume-role profiles

    /// A profile with `role_arn`, and without `web_identity_token_file`, which is the next source's.
    func assumeRole() async throws(AgentError) -> Lookup {
        guard isAssumeRole(shared.profile) else { return .absent("\(profileText) has no role_arn") }
        return .found(try await assumeRole(of: shared.profileName, visited: [shared.profileName]))
    }

    private func isAssumeRole(_ profile: SharedConfiguration.Profile) -> Bool {
        profile.values["role_arn"] != nil && profile.values["web_identity_token_file"] == nil
    }

    /// - Parameter visited: The profiles on the way here, this one last.
    private func assumeRole(of name: String, visited: [String]) async throws(AgentError) -> AWSCredentials {
        let values = shared.profiles[name]?.values ?? [:]
        let text = "profile \(printable(name))"
        if let serial = values["mfa_serial"] {
            throw AgentError(
                .awsCredentialsBroken, "\(text) asks for a code of the MFA device \(printable(serial))",
                remedy: "An agent has nobody to ask for it: use a role that can be assumed without mfa_serial")
        }
        let role = RoleRequest(
            arn: values["role_arn"] ?? "", sessionName: values["role_session_name"], externalID: values["external_id"],
            duration: try values["duration_seconds"].map { duration throws(AgentError) in
                // STS's limits: 15 minutes to 12 hours.
                try Setting(text: duration, origin: "duration_seconds of \(text)").number(in: 900...43_200)
            })
        let source: AWSCredentials
        switch (values["source_profile"], values["credential_source"]) {
        case (.some, .some):
            throw AgentError(
                .awsCredentialsBroken, "\(text) has both source_profile and credential_source", remedy: "Keep one")
        case (nil, nil):
            throw AgentError(
                .awsCredentialsBroken, "\(text) has role_arn, and neither source_profile nor credential_source",
                remedy: "Name where the credentials come from that may assume the role")
        case (nil, let named?): source = try await credentials(ofSource: named, text)
        case (let next?, nil): source = try await credentials(ofProfile: next, visited: visited)
        }
        return try await route.client().assumeRole(
            role, with: try unexpired(source), origin: "role \(printable(role.arn)) of \(text)")
    }

    private func credentials(ofSource name: String, _ text: String) async throws(AgentError) -> AWSCredentials {
        let step: ChainStep
        switch name {
        case "Environment": step = .environment
        case "EcsContainer": step = .container
        case "Ec2InstanceMetadata": step = .instance
        default:
            throw AgentError(
                .awsCredentialsBroken, "\(text) has the credential_source '\(printable(name))'",
                remedy: "Expected Environment, EcsContainer or Ec2InstanceMetadata")
        }
        switch try await lookUp(step) {
        case .found(let credentials): return credentials
        case .absent(let why):
            throw AgentError(
                .awsCredentialsBroken, "\(text) has the credential_source \(name), which has no credentials: \(why)",
                remedy: "Provide them there, or name another source")
        }
    }

    private func credentials(
        ofProfile name: String, visited: [String]
    ) async throws(AgentError) -> AWSCredentials {
        let way = (visited + [name]).map { printable($0) }.joined(separator: " → ")
        guard let profile = shared.profiles[name] else {
            throw AgentError(
                .awsCredentialsBroken, "the source_profile in \(way) does not exist",
                remedy: "Write it, or name another")
        }
        let hasKeys = profile.values["aws_access_key_id"] != nil || profile.values["aws_secret_access_key"] != nil
        // A profile may name itself: its keys are then the source of its role.
        if visited.contains(name), !(name == visited.last && hasKeys) {
            throw AgentError(
                .awsCredentialsBroken, "the source_profile settings go in a circle: \(way)",
                remedy: "End the chain at a profile with credentials of its own")
        }
        if isAssumeRole(profile), !hasKeys {
            return try await assumeRole(of: name, visited: visited + [name])
        }
        for step in ChainStep.ofSourceProfile {
            if case .found(let credentials) = try await lookUp(step, inSourceProfile: name) { return credentials }
        }
        throw AgentError(
            .awsCredentialsBroken, "the source_profile at the end of \(way) has no credentials",
            remedy: "Give it keys, a role, a web identity or a credential_process")
    }

    // MARK: Web identity

    /// The environment's settings count for more than the profile's, one by one; of a source profile only its own count.
    func webIdentity(profile name: String, environmentCounts: Bool) async throws(AgentError) -> Lookup {
        let values = shared.profiles[name]?.values ?? [:]
        func setting(_ variable: String, _ key: String) -> String? {
            let text = (environmentCounts ? surroundings.variable(variable) : nil) ?? values[key]
            return text.flatMap { $0.isEmpty ? nil : $0 }
        }
        guard let path = setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file") else {
            return .absent(
                environmentCounts
                    ? "AWS_WEB_IDENTITY_TOKEN_FILE is not set, and the profile has no web_identity_token_file"
                    : "profile \(printable(name)) has no web_identity_token_file")
        }
        guard let arn = setting("AWS_ROLE_ARN", "role_arn") else {
            throw AgentError(
                .awsCredentialsBroken, "there is a web identity token file, \(path), and no role to assume with it",
                remedy: "Set AWS_ROLE_ARN, or role_arn in the profile")
        }
        // A newline at the end belongs to the file, not to the token.
        let token = try surroundings.tokenFile(path, origin: "the web identity token file \(path)", limit: 65_536)
        let role = RoleRequest(arn: arn, sessionName: setting("AWS_ROLE_SESSION_NAME", "role_session_name"))
        return .found(
            try await route.client().assumeRoleWithWebIdentity(
                role, token: Secret(text: token.text.trimmed), origin: "role \(printable(arn)) by web identity"))
    }
}
