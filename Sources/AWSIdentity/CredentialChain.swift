// AWSIdentity: the chain as the agent uses it: keeps what it was given while that is fresh, and signs with it.

internal import Crypto
package import Diagnosis
package import HTTPClient
internal import Logging
package import Timekeeping

/// A region, and who named it: "AWS_REGION", "region of profile dev", "IMDS".
package struct AWSRegion: Hashable, Sendable {
    package let name: String
    package let origin: String
}

/// A signed request that another party may send.
package struct SignedRequest: Sendable {
    package let method: HTTPMethod
    /// Without a query string.
    package let url: String
    /// All that was signed but `Host`, which is the URL's, and the signature.
    package let headers: [HTTPHeader]
    package let body: String
}

/// One identity's way to AWS. Not Sendable: it lives on the agent's queue.
///
/// Files and environment are looked at afresh whenever credentials are needed and none are kept.
package final class CredentialChain {
    /// Credentials are renewed so long before they expire, or when half their life is over, whichever is later.
    private static let margin: Duration = .seconds(300)

    private struct Kept {
        let credentials: AWSCredentials
        let step: ChainStep
        let expiration: WallTime
        let freshUntil: Instant
    }

    private let settings: AWSSettings
    private let surroundings: AWSSurroundings
    private let memory: ChainMemory
    private var kept: Kept?

    package init(settings: AWSSettings, surroundings: AWSSurroundings) {
        self.settings = settings
        self.surroundings = surroundings
        memory = ChainMemory(surroundings: surroundings)
    }

    // MARK: Credentials

    /// Credentials that are not expired. Those that do expire are kept until 5 minutes before; the others are looked up each
    /// time, so that a file that was replaced counts at once.
    package func credentials() async throws(AgentError) -> AWSCredentials {
        if let kept, surroundings.timekeeper.now < kept.freshUntil { return kept.credentials }
        do {
            let (step, credentials) = try await resolve()
            keep(credentials, of: step)
            return credentials
        } catch {
            return try standIn(for: error)
        }
    }

    /// Has the next ``credentials()`` ask the sources again: after AWS or Vault refused what it was given.
    package func forgetCachedCredentials() {
        kept = nil
    }

    private func resolve() async throws(AgentError) -> (ChainStep, AWSCredentials) {
        let walk = try walk()
        var rows: [ChainReport.Row] = []
        for step in ChainStep.allCases {
            if let reason = walk.reasonToPassOver(step) {
                if settings.source == .auto { rows.append(row(step, .absent(reason))) }
                continue
            }
            switch try await walk.lookUp(step) {
            case .found(let credentials): return (step, credentials)
            case .absent(let why): rows.append(row(step, .absent(why)))
            }
        }
        throw ChainReport.nothingFound(rows)
    }

    private func keep(_ credentials: AWSCredentials, of step: ChainStep) {
        guard let expiration = credentials.expiration else {
            kept = nil
            return
        }
        let life = expiration - memory.clock.now
        kept = Kept(
            credentials: credentials, step: step, expiration: expiration,
            freshUntil: surroundings.timekeeper.now + (life - min(Self.margin, life / 2)))
    }

    /// What was kept, where the sources cannot be asked just now: for as long as it has not expired, and an instance role's
    /// even then, since AWS honours those for longer when it cannot renew them.
    private func standIn(for error: AgentError) throws(AgentError) -> AWSCredentials {
        guard let kept, [.awsMetadataUnavailable, .awsSTSUnavailable].contains(error.code) else { throw error }
        if kept.expiration > memory.clock.now {
            surroundings.log.warning(
                "AWS credentials cannot be renewed just now; going on with those at hand",
                metadata: [
                    "origin": "\(kept.credentials.origin)", "expire_at": "\(kept.expiration.rfc3339)",
                    "reason": "\(error)",
                ])
            return kept.credentials
        }
        guard kept.step == .instance else { throw error }
        let extended = kept.credentials.extended(
            surroundings: surroundings, clock: memory.clock, jitter: memory.jitter)
        keep(extended, of: .instance)
        return extended
    }

    private func walk() throws(AgentError) -> CredentialWalk {
        try CredentialWalk(settings: settings, surroundings: surroundings, memory: memory)
    }

    // MARK: Region, identity, signature

    /// Takes note of the `Date` of an answer.
    package func noteServerDate(_ date: WallTime, from source: DateSource) {
        memory.clock.note(date, from: source)
    }

    /// The region whose STS is asked and for which requests are signed.
    package func region() async throws(AgentError) -> AWSRegion {
        try await walk().region()
    }

    /// A `GetCallerIdentity` for Vault to send to STS in this identity's name.
    /// - Parameter serverID: Value of `X-Vault-AWS-IAM-Server-ID`, which is then signed; nil: no such header.
    package func signedIdentityRequest(serverID: String?) async throws(AgentError) -> SignedRequest {
        let credentials = try await credentials()
        let endpoint = try await walk().endpoint()
        let body = "Action=GetCallerIdentity&Version=2011-06-15"
        var headers = [HTTPHeader("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        if let serverID { headers.append(HTTPHeader("X-Vault-AWS-IAM-Server-ID", serverID)) }
        let request = UnsignedRequest(method: .post, url: endpoint.url, headers: headers, body: Secret(text: body))
        let signed = SignatureV4(region: endpoint.signingRegion, service: "sts")
            .sign(request, with: credentials, at: memory.clock.now)
        return SignedRequest(method: .post, url: endpoint.url.text, headers: signed, body: body)
    }

    /// Asks STS who these credentials are.
    package func callerIdentity() async throws(AgentError) -> CallerIdentity {
        let credentials = try await credentials()
        do {
            return try await walk().sts().callerIdentity(of: credentials)
        } catch {
            if error.code == .awsCredentialsRefused { forgetCachedCredentials() }
            throw error
        }
    }

    /// The proof of this EC2 instance's identity, for Vault's ec2 login.
    package func instanceIdentity(_ proof: InstanceProof) async throws(AgentError) -> InstanceIdentity {
        try await walk().instance().identity(proof)
    }

    // MARK: Report

    /// Asks the sources anew, in order, and says what each said. What was found is then kept as by ``credentials()``.
    package func examine() async -> ChainReport {
        let walk: CredentialWalk
        do {
            walk = try self.walk()
        } catch {
            // Without its files the chain does not begin: whoever ignored them could find another identity.
            let files = ChainReport.Row(source: .profile, title: "shared files", finding: .failed(error))
            return ChainReport(
                rows: [files] + ChainStep.allCases.map { row($0, .neverReached) }, region: .failure(error),
                stsEndpoint: .failure(error))
        }
        var rows: [ChainReport.Row] = []
        var ended = false
        for step in ChainStep.allCases {
            let finding = ended ? .neverReached : await finding(of: step, walk)
            switch finding {
            case .found(let credentials):
                keep(credentials, of: step)
                ended = true
            case .failed: ended = true
            case .absent, .neverReached: break
            }
            rows.append(row(step, finding))
        }
        return ChainReport(
            rows: rows, region: await result { () throws(AgentError) in try await walk.region() },
            stsEndpoint: await result { () throws(AgentError) in try await walk.endpoint().url.text })
    }

    private func finding(of step: ChainStep, _ walk: CredentialWalk) async -> ChainReport.Finding {
        if let reason = walk.reasonToPassOver(step) { return .absent(reason) }
        do {
            switch try await walk.lookUp(step) {
            case .found(let credentials): return .found(credentials)
            case .absent(let why): return .absent(why)
            }
        } catch {
            return .failed(error)
        }
    }

    private func row(_ step: ChainStep, _ finding: ChainReport.Finding) -> ChainReport.Row {
        ChainReport.Row(source: step.source, title: step.title, finding: finding)
    }

    private func result<Value>(
        _ body: () async throws(AgentError) -> Value
    ) async -> Result<Value, AgentError> {
        do {
            return .success(try await body())
        } catch {
            return .failure(error)
        }
    }
}
