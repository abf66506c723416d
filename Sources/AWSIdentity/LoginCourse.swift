// AWSIdentity: the signatures of one login: for which region, how many, what a refusal teaches.

internal import Crypto
package import Diagnosis
package import HTTPClient
internal import Logging
internal import Timekeeping

/// A signed request that another party may send.
package struct SignedRequest: Sendable {
    package let method: HTTPMethod
    /// Without a query string.
    package let url: String
    /// All that was signed but `Host`, which is the URL's, and the signature.
    package let headers: [HTTPHeader]
    package let body: String
}

/// One login's signatures, made one after another until Vault's STS takes one.
///
/// Where the configuration names no region they are for: the one that worked last; the one that Vault's own clients begin
/// with, us-east-1 by the global endpoint, or in another partition than the commercial one this machine's; this machine's,
/// which is asked for only then; the one that STS names. Never more than ``limit``.
package final class LoginCourse {
    /// Most signatures for one login.
    package static let limit = 3

    private enum RegionChoice: Hashable {
        case region(String, why: String)
        case machine
    }

    private let audience: LoginAudience
    private let server: String
    private let chain: CredentialChain
    private let regions: any RegionMemory
    private var candidates: [RegionChoice] = []
    private var begun = false
    /// Regions that were signed for, in order. us-east-1 by the global endpoint is called "aws-global".
    package private(set) var tried: [String] = []
    private var signatures = 0
    private var signedAt: WallTime?
    private var sameAgain: String?

    /// - Parameter server: Tells one Vault's mount from another in `regions`.
    init(audience: LoginAudience, server: String, chain: CredentialChain, regions: any RegionMemory) {
        self.audience = audience
        self.server = server
        self.chain = chain
        self.regions = regions
    }

    /// What the first signature is made for.
    package struct Beginning: Hashable, Sendable {
        package let region: String
        /// "it worked last".
        package let reason: String
        /// URL of the STS that Vault has to call for it.
        package let endpoint: String
    }

    /// What the first signature would be made for. Makes none.
    package func beginning(with credentials: AWSCredentials) async throws(AgentError) -> Beginning {
        for candidate in try await beginnings(credentials) {
            guard let (region, reason) = try await resolved(candidate) else { continue }
            let endpoint = try audience.endpoint(for: region)
            return Beginning(region: endpoint.signingRegion, reason: reason, endpoint: endpoint.url.text)
        }
        throw AgentError(.internalFault, "there is no region to sign a login for")
    }

    // MARK: Signing

    /// The next signature. The first is always made; after it only where ``learn(from:saying:)`` says that there is one.
    package func sign(with credentials: AWSCredentials) async throws(AgentError) -> SignedRequest {
        if !begun {
            begun = true
            candidates = try await beginnings(credentials)
        }
        guard let region = try await nextRegion() else {
            throw AgentError(.internalFault, "a login was to be signed for one region more than there are")
        }
        let endpoint = try audience.endpoint(for: region)
        let now = chain.surroundings.signingTime.now
        signatures += 1
        signedAt = now
        if tried.last != region { tried.append(region) }
        return Self.request(audience, endpoint, credentials, at: now)
    }

    private func nextRegion() async throws(AgentError) -> String? {
        if let region = sameAgain {
            sameAgain = nil
            return region
        }
        while !candidates.isEmpty {
            guard let (region, why) = try await resolved(candidates.removeFirst()), !isTried(region) else { continue }
            note(region, why)
            return region
        }
        return nil
    }

    /// The candidate's region and why it is one; nil where this machine has none.
    private func resolved(_ candidate: RegionChoice) async throws(AgentError) -> (region: String, why: String)? {
        switch candidate {
        case .region(let name, let why): return (name, why)
        case .machine:
            return try await chain.machineRegion().map { ($0.name, "this machine's, by \($0.origin)") }
        }
    }

    /// us-east-1's own endpoint and the global one sign for the same region.
    private func isTried(_ region: String) -> Bool {
        tried.contains(region) || region == STSEndpoint.defaultRegion && tried.contains(STSEndpoint.globalRegion)
    }

    private func note(_ region: String, _ why: String) {
        let first = tried.isEmpty
        chain.surroundings.log.log(
            level: first ? .debug : .notice, first ? "Signing the login" : "Signing the login for another region",
            metadata: ["region": "\(printable(region))", "because": "\(why)"])
    }

    private func beginnings(_ credentials: AWSCredentials) async throws(AgentError) -> [RegionChoice] {
        if let region = audience.region { return [.region(region, why: "the configuration names it")] }
        var candidates: [RegionChoice] = []
        if let region = await regions.region(for: server) { candidates.append(.region(region, why: "it worked last")) }
        if let region = audience.endpointRegion {
            candidates.append(.region(region, why: "sts_endpoint is of it"))
        }
        // Keys of another partition mean nothing to the commercial one.
        if try await !chain.isOfCommercialPartition(credentials) { candidates.append(.machine) }
        let start = audience.endpoint == nil ? STSEndpoint.globalRegion : STSEndpoint.defaultRegion
        candidates.append(.region(start, why: "Vault's own clients begin with it"))
        return candidates + [.machine]
    }

    private static func request(
        _ audience: LoginAudience, _ endpoint: STSEndpoint, _ credentials: AWSCredentials, at time: WallTime
    ) -> SignedRequest {
        let body = "Action=GetCallerIdentity&Version=2011-06-15"
        var headers = [HTTPHeader("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        if let serverID = audience.serverID { headers.append(HTTPHeader("X-Vault-AWS-IAM-Server-ID", serverID)) }
        let request = UnsignedRequest(method: .post, url: endpoint.url, headers: headers, body: Secret(text: body))
        let signed = SignatureV4(region: endpoint.signingRegion, service: "sts")
            .sign(request, with: credentials, at: time)
        return SignedRequest(method: .post, url: endpoint.url.text, headers: signed, body: body)
    }

    // MARK: Learning

    /// Whether another signature may do better after `error`; `words` is all that the answer said.
    package func learn(from error: AgentError, saying words: String) async -> Bool {
        guard [.clockSkew, .awsRegionWrong].contains(error.code) else { return false }
        let words = STSWords(text: words)
        if error.code == .clockSkew {
            guard let time = words.time, let signedAt,
                chain.surroundings.signingTime.correct(to: time, afterSigningFor: signedAt), signatures < Self.limit
            else { return false }
            sameAgain = tried.last
            return true
        }
        guard audience.region == nil, signatures < Self.limit else { return false }
        if let named = words.region, !isTried(named) {
            candidates.append(.region(named, why: "STS names it"))
        }
        return await hasAnother()
    }

    /// Looks whether the machine's region is one more, so that nobody is promised a signature that does not come.
    private func hasAnother() async -> Bool {
        while let first = candidates.first {
            switch first {
            case .region(let name, _):
                if !isTried(name) { return true }
            case .machine:
                if let region = try? await chain.machineRegion(), !isTried(region.name) { return true }
            }
            candidates.removeFirst()
        }
        return false
    }

    /// Vault took the login.
    package func succeeded() {
        guard audience.region == nil, let region = tried.last else { return }
        if tried.count > 1 {
            chain.surroundings.log.notice(
                "Found the region that Vault's STS takes", metadata: ["region": "\(printable(region))"])
        }
        regions.remember(region, for: server)
    }

    /// The refusal of a region with what would work.
    package func explained(_ error: AgentError, saying words: String) -> AgentError {
        guard error.code == .awsRegionWrong else { return error }
        let named = STSWords(text: words).region
        if let region = audience.region {
            return AgentError(
                error.code, error.observed,
                remedy: "The login is signed for \(printable(region)), as auth.region says. "
                    + (named.map { "STS names \($0): set auth.region to it, or to \"auto\"" }
                        ?? "Set auth.region to the region of Vault's STS endpoint, or to \"auto\": the agent then finds it"),
                retryAfter: error.retryAfter)
        }
        let regions = tried.map { printable($0) }.joined(separator: ", ")
        return AgentError(
            error.code, error.observed,
            remedy: "None of the regions tried is the one: \(regions). Set auth.region to that of Vault's STS endpoint "
                + "(sts_endpoint and sts_region at config/client of the mount), or have use_sts_region_from_client set there",
            retryAfter: error.retryAfter)
    }
}
