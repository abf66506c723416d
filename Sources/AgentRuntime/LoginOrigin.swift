// AgentRuntime: a token that comes from a login with Vault by an AWS identity.

import AWSIdentity
import Configuration
import Crypto
package import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import Timekeeping
package import VaultAPI

/// Logs in for one token: finds the AWS identity, proves it, asks Vault.
package final class LoginOrigin {
    private let method: LoginSettings.Method
    private let audience: LoginAudience
    private let policy: IdentityPolicy
    private let nonces: NonceStore?
    private let chain: CredentialChain
    private let vault: VaultClient
    private let regions: any RegionMemory
    /// Tells this mount from others in `regions`.
    private let server: String
    private let metrics: Metrics
    private let timekeeper: any Timekeeper
    private let log: Logger
    /// Of the login that was refused and is to be signed again; nil: the next begins anew.
    private var course: LoginCourse?
    /// What the latest login was made with.
    private var used: AWSCredentials?
    /// The regions that the latest login was signed for, in order; none before it, and for ec2 logins.
    package private(set) var regionsTried: [String] = []
    /// Whose the latest token is, as source, Vault and STS told it; nil before the first login, and for ec2 logins.
    private(set) var principal: Principal?

    /// Throws `configurationInvalid` for an ec2 login that has no place for its nonce.
    init(
        _ settings: TokenSettings, stateDirectory: String?, chain: CredentialChain, vault: VaultClient,
        regions: any RegionMemory, metrics: Metrics, timekeeper: any Timekeeper, log: Logger
    ) throws(AgentError) {
        let login = settings.login
        method = login.method
        audience = settings.audience
        policy = settings.identity
        switch login.method {
        case .iam: nonces = nil
        case .ec2(let ec2): nonces = try NonceStore(ec2, tokenName: settings.name, stateDirectory: stateDirectory)
        }
        self.chain = chain
        self.vault = vault
        self.regions = regions
        server = settings.mountDigest
        self.metrics = metrics
        self.timekeeper = timekeeper
        self.log = log
    }

    /// The nonce of an ec2 login is on the disk before Vault hears of it.
    func prepare() async throws(AgentError) {
        _ = try await nonces?.nonce()
    }

    /// Asks Vault once for a new token; nil: it refused, and another signature may do better, at most
    /// ``LoginCourse/limit`` for one login. `withNewCredentials`: those that are cached were refused. `limit` is for Vault's
    /// part; AWS has its own.
    func obtain(withNewCredentials: Bool, within limit: Duration) async throws(AgentError) -> TokenGrant? {
        switch method {
        case .iam:
            if withNewCredentials, let used { chain.forget(used) }
            return try await logInByIdentity(within: limit)
        case .ec2(let ec2):
            let proof = try await metrics.observing(.awsCredentials, by: timekeeper) { () throws(AgentError) in
                try await prove(ec2)
            }
            return try await ask(proof, within: limit)
        }
    }

    /// A new token, signed for as often as that may do better. `limit` is for each time that Vault is asked.
    package func obtainByAnySignature(within limit: Duration) async throws(AgentError) -> TokenGrant {
        while true {
            if let grant = try await obtain(withNewCredentials: false, within: limit) { return grant }
        }
    }

    private func ask(_ proof: LoginProof, within limit: Duration) async throws(AgentError) -> TokenGrant {
        try await metrics.observing(.login, by: timekeeper) { () throws(AgentError) in
            switch try await vault.logIn(proof, within: limit) {
            case .granted(let grant): grant
            case .wrapped(let wrapped): try await vault.unwrap(wrapped.token, within: limit)
            }
        }
    }

    // MARK: By IAM

    private func logInByIdentity(within limit: Duration) async throws(AgentError) -> TokenGrant? {
        let credentials = try await metrics.observing(.awsCredentials, by: timekeeper) { () throws(AgentError) in
            let credentials = try await chain.credentials()
            try await chain.check(credentials, by: policy)
            return credentials
        }
        used = credentials
        let course = course ?? chain.beginLogin(for: audience, at: server, regions: regions)
        self.course = nil
        let signed = try await course.sign(with: credentials)
        do throws(AgentError) {
            let grant = try await ask(
                .iam(method: signed.method, url: signed.url, headers: signed.headers, body: signed.body), within: limit)
            course.succeeded()
            regionsTried = course.tried
            principal = credentials.principal.completed(by: grant.principal)
            return grant
        } catch {
            let words = vault.refusal
            guard await course.learn(from: error, saying: words) else { throw course.explained(error, saying: words) }
            log.notice(
                "Login refused, signing again", metadata: ["code": "\(error.code.rawValue)", "reason": "\(error)"])
            self.course = course
            return nil
        }
    }

    /// The first proof that a login would send.
    package func firstProof() async throws(AgentError) -> LoginProof {
        guard case .iam = method else {
            throw AgentError(
                .configurationInvalid, "an ec2 login signs no request", remedy: "Its parameters are pkcs7 and nonce")
        }
        let credentials = try await chain.credentials()
        try await chain.check(credentials, by: policy)
        let signed = try await chain.beginLogin(for: audience, at: server, regions: regions).sign(with: credentials)
        return .iam(method: signed.method, url: signed.url, headers: signed.headers, body: signed.body)
    }

    // MARK: Still the same?

    /// Identities are compared once for all tokens that have them from the same place.
    var identitySource: ObjectIdentifier? {
        guard case .iam = method, policy.onChange == .login || policy.reauthenticatesOnNewCredentials else {
            return nil
        }
        return ObjectIdentifier(chain)
    }

    var reauthenticatesOnNewCredentials: Bool { policy.reauthenticatesOnNewCredentials }

    func credentials() async throws(AgentError) -> AWSCredentials { try await chain.credentials() }

    /// Whether a token of `bound` should give way to one of these credentials' principal: they are another's, cannot be told
    /// to be the same's, or are merely others where the configuration asks for that.
    func mustLogIn(by credentials: AWSCredentials, insteadOf bound: Principal) async -> Bool {
        let before = used
        used = credentials
        if policy.reauthenticatesOnNewCredentials, let before, before.accessKeyID != credentials.accessKeyID {
            log.notice("AWS credentials are new; logging in anew", metadata: ["origin": "\(credentials.origin)"])
            return true
        }
        guard policy.onChange == .login else { return false }
        var (bound, found) = (bound, credentials.principal)
        if found.sameness(as: bound) == .undecided {
            // The keys of before still say whose they were.
            if let before, bound.accessKeyID == before.accessKeyID { bound = await completed(bound, by: before) }
            found = await completed(found, by: credentials)
            if found.sameness(as: bound) == .same { principal = found }
        }
        let sameness = found.sameness(as: bound)
        guard sameness != .same else { return false }
        log.notice(
            sameness == .different
                ? "AWS credentials are another identity's than the token's; logging in anew"
                : "AWS credentials cannot be told to be the token's identity's; logging in anew",
            metadata: ["token_of": "\(bound)", "credentials_of": "\(found)", "origin": "\(credentials.origin)"])
        return true
    }

    /// What is known where AWS does not answer.
    private func completed(_ principal: Principal, by credentials: AWSCredentials) async -> Principal {
        guard let more = try? await chain.completed(credentials) else { return principal }
        return principal.completed(by: more)
    }

    // MARK: By instance

    private func prove(_ ec2: EC2Login) async throws(AgentError) -> LoginProof {
        guard let nonces else { throw AgentError(.internalFault, "an ec2 login has no store for its nonce") }
        let nonce = try await nonces.nonce()
        switch try await chain.instanceIdentity(InstanceProof(ec2.proof)) {
        case .pkcs7(let signed): return .ec2PKCS7(signed, nonce: nonce)
        case .document(let document, let signature):
            return .ec2Identity(document: document, signature: signature, nonce: nonce)
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

extension TokenGrant {
    /// As far as the mount puts it into the token's metadata (`iam_metadata`): the account always, the ARN where asked to.
    fileprivate var principal: Principal {
        let arn = metadata["canonical_arn"] ?? metadata["client_arn"]
        return arn.flatMap { Principal(arn: $0) } ?? Principal(account: metadata["account_id"])
    }
}
