// AWSIdentity: the chain as the agent uses it: keeps what it was given while that is fresh, and signs with it.

package import Diagnosis
internal import HTTPClient
internal import Logging
internal import Timekeeping

/// A region, and who named it: "AWS_REGION", "region of profile dev", "IMDS".
package struct AWSRegion: Hashable, Sendable {
    package let name: String
    package let origin: String
}

/// One identity's way to AWS. Not Sendable: it lives on the agent's queue.
///
/// Files and environment are looked at afresh whenever credentials are needed and none are kept.
package final class CredentialChain {
    /// Credentials are renewed so long before they expire, or when half their life is over, whichever is later.
    private static let margin: Duration = .seconds(300)

    /// For so long what a `credential_process` gave without an end is not asked for again: many tokens begin at once.
    private static let endlessFor: Duration = .seconds(10)

    private struct Kept {
        let credentials: AWSCredentials
        let step: ChainStep
        var freshUntil: Instant
    }

    private let settings: AWSSettings
    package let surroundings: AWSSurroundings
    private let memory: IdentityMemory
    private var kept: Kept?
    private let flight = Flight<AWSCredentials>()
    /// Of the access keys that AWS is asked about just now.
    private var identityFlights: [String: Flight<Principal>] = [:]

    package init(settings: AWSSettings, surroundings: AWSSurroundings) {
        self.settings = settings
        self.surroundings = surroundings
        memory = IdentityMemory(surroundings: surroundings)
    }

    // MARK: Credentials

    /// Credentials that are not expired. Those that do expire are kept until 5 minutes before; the others are looked up each
    /// time, so that a file that was replaced counts at once. Who asks while a look-up is under way gets what it gives.
    package func credentials() async throws(AgentError) -> AWSCredentials {
        if let kept, surroundings.timekeeper.now < kept.freshUntil { return kept.credentials }
        return try await flight.share { () throws(AgentError) in
            do throws(AgentError) {
                let (step, credentials) = try await self.resolve()
                self.keep(credentials, of: step)
                return credentials
            } catch {
                return try self.standIn(for: error)
            }
        }
    }

    /// Has the next ``credentials()`` ask the sources again: after AWS or Vault refused these. Others that have taken their
    /// place meanwhile stay.
    package func forget(_ refused: AWSCredentials) {
        if kept?.credentials.accessKeyID == refused.accessKeyID { kept = nil }
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
        let now = surroundings.timekeeper.now
        guard let expiration = credentials.expiration else {
            kept =
                step == .credentialProcess
                ? Kept(credentials: credentials, step: step, freshUntil: now + Self.endlessFor) : nil
            return
        }
        let life = expiration - surroundings.signingTime.now
        kept = Kept(credentials: credentials, step: step, freshUntil: now + (life - min(Self.margin, life / 2)))
    }

    /// What was kept, where its source fails: for as long as it has not expired, whatever the failure; and an instance role's
    /// even then, while IMDS cannot be asked, since AWS honours those for longer when it cannot renew them.
    private func standIn(for error: AgentError) throws(AgentError) -> AWSCredentials {
        guard var kept, let expiration = kept.credentials.expiration, error.code != .cancelled else { throw error }
        let left = expiration - surroundings.signingTime.now
        if left > .zero {
            // Not asked again at once: whoever fails under load is not helped by haste.
            let pause = Self.pause(memory.jitter, error.retryAfter)
            kept.freshUntil = surroundings.timekeeper.now + min(pause, left)
            self.kept = kept
            surroundings.log.warning(
                "AWS credentials cannot be renewed just now; going on with those at hand",
                metadata: [
                    "origin": "\(kept.credentials.origin)", "expire_at": "\(expiration.rfc3339)", "reason": "\(error)",
                ])
            return kept.credentials
        }
        guard kept.step == .instance, [.awsMetadataUnavailable, .awsSTSUnavailable].contains(error.code) else {
            throw error
        }
        let extended = kept.credentials.extended(surroundings: surroundings, jitter: memory.jitter)
        keep(extended, of: .instance)
        return extended
    }

    /// 30 to 60 s, or as long as was asked for.
    private static func pause(_ jitter: Jitter, _ asked: Duration?) -> Duration {
        let usual = Duration.seconds(30) + .milliseconds(Int64(jitter.fraction() * 30_000))
        return max(usual, asked ?? .zero)
    }

    private func walk() throws(AgentError) -> CredentialWalk {
        try CredentialWalk(settings: settings, surroundings: surroundings, memory: memory)
    }

    // MARK: Region, identity, signature

    /// The region whose STS this machine asks.
    package func region() async throws(AgentError) -> AWSRegion {
        try await walk().route.region()
    }

    /// The region that the environment, the profile or the instance names; nil where none does.
    func machineRegion() async throws(AgentError) -> AWSRegion? {
        try await walk().route.machineRegion()
    }

    /// By what is at hand: a region's name, a role's; IMDS is asked only where it gave the credentials.
    func isOfCommercialPartition(_ credentials: AWSCredentials) async throws(AgentError) -> Bool {
        let route = try walk().route
        if let named = route.namedRegion { return STSEndpoint.isCommercial(named.name) }
        guard kept?.step == .instance, let region = try await route.machineRegion() else { return true }
        return STSEndpoint.isCommercial(region.name)
    }

    /// Begins a login: a `GetCallerIdentity` for Vault to send to STS in this identity's name, signed as often as it takes.
    /// - Parameters:
    ///   - server: Tells one Vault's mount from another in `regions`.
    ///   - regions: Where it is remembered which region worked.
    package func beginLogin(
        for audience: LoginAudience, at server: String, regions: any RegionMemory
    ) -> LoginCourse {
        LoginCourse(audience: audience, server: server, chain: self, regions: regions)
    }

    // MARK: Whose they are

    /// Refuses credentials that are not those of an expected identity. STS, or of an instance IMDS, is asked only where the
    /// source of the credentials tells too little.
    package func check(_ credentials: AWSCredentials, by policy: IdentityPolicy) async throws(AgentError) {
        var principal = credentials.principal
        if policy.allows(principal) == nil { principal = try await completed(credentials) }
        guard policy.allows(principal) == true else { throw policy.refusal(of: principal, from: credentials.origin) }
    }

    /// Whose the credentials are, with account and name as the instance or else STS tells them. Who asks about the same ones while
    /// AWS is asked gets what it says.
    package func completed(_ credentials: AWSCredentials) async throws(AgentError) -> Principal {
        let principal = credentials.principal
        let key = credentials.accessKeyID
        if let known = memory.completed[key] { return principal.completed(by: known) }
        let flight = identityFlights[key] ?? Flight()
        identityFlights[key] = flight
        defer { identityFlights[key] = nil }
        let more = try await flight.share { () throws(AgentError) in
            let more = try await self.askAbout(credentials)
            // A few keys at a time are in use; those of long ago are forgotten.
            if self.memory.completed.count >= 16 { self.memory.completed = [:] }
            self.memory.completed[key] = more
            return more
        }
        return principal.completed(by: more)
    }

    private func askAbout(_ credentials: AWSCredentials) async throws(AgentError) -> Principal {
        if kept?.step == .instance, credentials.principal.name != nil,
            let account = try await walk().instance().account()
        {
            return Principal(account: account)
        }
        let caller = try await callerIdentity(of: credentials)
        return Principal(arn: caller.arn) ?? Principal(account: caller.account)
    }

    /// Asks STS who these credentials are.
    package func callerIdentity() async throws(AgentError) -> CallerIdentity {
        try await callerIdentity(of: try await credentials())
    }

    private func callerIdentity(of credentials: AWSCredentials) async throws(AgentError) -> CallerIdentity {
        do {
            return try await walk().route.client().callerIdentity(of: credentials)
        } catch {
            if error.code == .awsCredentialsRefused { forget(credentials) }
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
            rows: rows, region: await result { () throws(AgentError) in try await walk.route.region() },
            stsEndpoint: await result { () throws(AgentError) in try await walk.route.endpoint().url.text })
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
