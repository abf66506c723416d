// AgentRuntime: where a token comes from: a login with Vault by an AWS identity.

import AWSIdentity
import Configuration
import Crypto
import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import Timekeeping
import VaultAPI

/// Logs in for one token: finds the AWS identity, proves it, asks Vault.
final class TokenOrigin {
    private let login: LoginSettings
    private let chain: CredentialChain
    private let vault: VaultClient
    private let metrics: Metrics
    private let timekeeper: any Timekeeper

    init(
        login: LoginSettings, chain: CredentialChain, vault: VaultClient, metrics: Metrics,
        timekeeper: any Timekeeper
    ) {
        self.login = login
        self.chain = chain
        self.vault = vault
        self.metrics = metrics
        self.timekeeper = timekeeper
    }

    /// A new token. `withNewCredentials`: those that are cached were refused. `limit` is for Vault's part; AWS has its own.
    func obtain(withNewCredentials: Bool, within limit: Duration) async throws(AgentError) -> TokenGrant {
        if withNewCredentials { chain.forgetCachedCredentials() }
        let proof = try await metrics.observing(.awsCredentials, by: timekeeper) { () throws(AgentError) in
            try await prove()
        }
        return try await metrics.observing(.login, by: timekeeper) { () throws(AgentError) in
            switch try await vault.logIn(proof, within: limit) {
            case .granted(let grant): grant
            case .wrapped(let wrapped): try await vault.unwrap(wrapped.token, within: limit)
            }
        }
    }

    private func prove() async throws(AgentError) -> LoginProof {
        switch login.method {
        case .iam(let iam):
            let signed = try await chain.signedIdentityRequest(serverID: iam.serverID)
            return .iam(method: signed.method, url: signed.url, headers: signed.headers, body: signed.body)
        case .ec2:
            throw AgentError(.configurationInvalid, "ec2 login is not ready")
        }
    }
}
