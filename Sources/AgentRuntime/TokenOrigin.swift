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
    /// Of an ec2 login; nil for others.
    private let nonces: NonceStore?
    private let chain: CredentialChain
    private let vault: VaultClient
    private let metrics: Metrics
    private let timekeeper: any Timekeeper

    init(
        login: LoginSettings, nonces: NonceStore?, chain: CredentialChain, vault: VaultClient, metrics: Metrics,
        timekeeper: any Timekeeper
    ) {
        self.login = login
        self.nonces = nonces
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
        case .ec2(let ec2):
            guard let nonces else { throw AgentError(.internalFault, "an ec2 login without a place for its nonce") }
            let identity = try await chain.instanceIdentity(InstanceProof(ec2.proof))
            let nonce = try await nonces.nonce()
            return switch identity {
            case .pkcs7(let pkcs7): .ec2PKCS7(pkcs7.text, nonce: nonce)
            case .document(let document, let signature):
                .ec2Identity(document: Array(document.text.utf8), signature: signature.text, nonce: nonce)
            }
        }
    }
}

extension InstanceProof {
    fileprivate init(_ proof: EC2Login.Proof) {
        self =
            switch proof {
            case .rsa2048: .rsa2048
            case .pkcs7: .pkcs7
            case .identity: .identity
            }
    }
}
