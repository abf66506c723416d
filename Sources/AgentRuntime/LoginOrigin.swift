// AgentRuntime: a token that comes from a login with Vault by an AWS identity.

import AWSIdentity
import Crypto
import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import Timekeeping
import VaultAPI

/// Logs in for one token: finds the AWS identity, proves it, asks Vault.
final class LoginOrigin {
    private let method: LoginSettings.Method
    private let nonces: NonceStore?
    private let chain: CredentialChain
    private let vault: VaultClient
    private let metrics: Metrics
    private let timekeeper: any Timekeeper

    /// Throws `configurationInvalid` for an ec2 login that has no place for its nonce.
    init(
        login: LoginSettings, tokenName: String, stateDirectory: String?, chain: CredentialChain, vault: VaultClient,
        metrics: Metrics, timekeeper: any Timekeeper
    ) throws(AgentError) {
        method = login.method
        switch login.method {
        case .iam: nonces = nil
        case .ec2(let ec2): nonces = try NonceStore(ec2, tokenName: tokenName, stateDirectory: stateDirectory)
        }
        self.chain = chain
        self.vault = vault
        self.metrics = metrics
        self.timekeeper = timekeeper
    }

    /// The nonce of an ec2 login is on the disk before Vault hears of it.
    func prepare() async throws(AgentError) {
        _ = try await nonces?.nonce()
    }

    /// A new token. `withNewCredentials`: those that are cached were refused. `limit` is for Vault's part; AWS has its own.
    func obtain(withNewCredentials: Bool, within limit: Duration) async throws(AgentError) -> TokenGrant {
        if withNewCredentials { chain.forgetCachedCredentials() }
        let proof = try await metrics.observing(.awsCredentials, by: timekeeper) { () throws(AgentError) in
            try await prove()
        }
        // Whatever Vault answers tells its time, and a signature of the wrong time is refused.
        defer { vault.serverDate.map { chain.noteServerDate($0, from: .vault) } }
        return try await metrics.observing(.login, by: timekeeper) { () throws(AgentError) in
            switch try await vault.logIn(proof, within: limit) {
            case .granted(let grant): grant
            case .wrapped(let wrapped): try await vault.unwrap(wrapped.token, within: limit)
            }
        }
    }

    private func prove() async throws(AgentError) -> LoginProof {
        switch method {
        case .iam(let iam):
            let signed = try await chain.signedIdentityRequest(serverID: iam.serverID)
            return .iam(method: signed.method, url: signed.url, headers: signed.headers, body: signed.body)
        case .ec2(let ec2):
            guard let nonces else { throw AgentError(.internalFault, "an ec2 login has no store for its nonce") }
            let nonce = try await nonces.nonce()
            switch try await chain.instanceIdentity(InstanceProof(ec2.proof)) {
            case .pkcs7(let signed): return .ec2PKCS7(signed, nonce: nonce)
            case .document(let document, let signature):
                return .ec2Identity(document: document, signature: signature, nonce: nonce)
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
