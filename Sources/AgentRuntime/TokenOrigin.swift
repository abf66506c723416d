// AgentRuntime: where a token comes from: a login with Vault by an AWS identity.

import AWSIdentity
import Configuration
import Crypto
import Diagnosis
import HTTPClient
import Logging
import VaultAPI

/// Logs in for one token: finds the AWS identity, proves it, asks Vault.
final class TokenOrigin {
    private let login: LoginSettings
    private let chain: CredentialChain
    private let vault: VaultClient

    init(login: LoginSettings, chain: CredentialChain, vault: VaultClient) {
        self.login = login
        self.chain = chain
        self.vault = vault
    }

    /// A new token. `withNewCredentials`: those that are cached were refused. `limit` is for Vault's part; AWS has its own.
    func obtain(withNewCredentials: Bool, within limit: Duration) async throws(AgentError) -> TokenGrant {
        if withNewCredentials { chain.forgetCachedCredentials() }
        let proof = try await prove()
        switch try await vault.logIn(proof, within: limit) {
        case .granted(let grant): return grant
        case .wrapped(let wrapped): return try await vault.unwrap(wrapped.token, within: limit)
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
