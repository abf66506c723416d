// AWSIdentity: the chain itself: asks the sources in order, keeps what it was given while that is fresh, signs with it.

internal import Crypto
package import Diagnosis
package import HTTPClient
internal import Logging
package import Timekeeping

/// A region, and who named it: "AWS_REGION", "profile dev", "IMDS".
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
package final class CredentialChain {
    private let settings: AWSSettings
    private let surroundings: AWSSurroundings
    private let clock: ReferenceClock
    private let jitter: Jitter
    private let metadata: InstanceMetadata
    private var cached: (credentials: AWSCredentials, freshUntil: Instant)?
    private var knownRegion: AWSRegion?

    package init(settings: AWSSettings, surroundings: AWSSurroundings) {
        self.settings = settings
        self.surroundings = surroundings
        clock = ReferenceClock(timekeeper: surroundings.timekeeper, log: surroundings.log)
        jitter = Jitter(seed: surroundings.jitterSeed)
        metadata = InstanceMetadata(surroundings: surroundings, jitter: jitter)
    }

    /// Takes note of the `Date` of an answer.
    package func noteServerDate(_ date: WallTime, from source: DateSource) {
        clock.note(date, from: source)
    }

    /// Has the next ``credentials()`` ask the sources again: after AWS or Vault refused what it was given.
    package func forgetCachedCredentials() {
        cached = nil
    }

    /// Credentials that are not expired.
    package func credentials() async throws(AgentError) -> AWSCredentials {
        let now = surroundings.timekeeper.now
        if let cached, now < cached.freshUntil { return cached.credentials }
        var reasons: [String] = []
        for outcome in [EnvironmentProvider(surroundings: surroundings).outcome(), await instance().outcome()] {
            switch outcome {
            case .found(let credentials):
                if let expiration = credentials.expiration {
                    let life = expiration - clock.now
                    guard life > .zero else {
                        throw AgentError(
                            .awsCredentialsBroken,
                            "credentials of \(credentials.origin) expired at \(expiration.rfc3339)")
                    }
                    cached = (credentials, now + (life - min(.seconds(300), life / 2)))
                }
                return credentials
            case .absent(let why): reasons.append(why)
            case .failed(let error): throw error
            }
        }
        throw AgentError(.awsCredentialsAbsent, "no AWS credentials: " + reasons.joined(separator: "; "))
    }

    private func instance() -> InstanceProvider {
        let configured = surroundings.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        // swift-format-ignore: NeverForceUnwrap
        let endpoint = EndpointURL(configured ?? MetadataOptions.defaultEndpoint)!
        var options = MetadataOptions(endpoint: endpoint)
        options.endpointIsConfigured = configured != nil
        options.allowVersion1 = settings.allowIMDSv1
        if surroundings.variable("AWS_EC2_METADATA_DISABLED")?.lowercased() == "true" {
            options.disabled = "AWS_EC2_METADATA_DISABLED is true"
        }
        return InstanceProvider(
            surroundings: surroundings, metadata: metadata, options: options, clock: clock, jitter: jitter)
    }

    /// The region whose STS is asked and for which requests are signed.
    package func region() async throws(AgentError) -> AWSRegion {
        if let name = settings.region { return AWSRegion(name: name, origin: "configuration") }
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let name = surroundings.variable(variable) { return AWSRegion(name: name, origin: variable) }
        }
        if let knownRegion { return knownRegion }
        do {
            let region = AWSRegion(name: try await instance().region(), origin: "IMDS")
            knownRegion = region
            return region
        } catch {
            if case .failed(let error) = error { throw error }
            return AWSRegion(name: STSEndpoint.globalRegion, origin: "nothing names one: the global endpoint")
        }
    }

    /// A `GetCallerIdentity` for Vault to send to STS in this identity's name.
    package func signedIdentityRequest(serverID: String?) async throws(AgentError) -> SignedRequest {
        let credentials = try await credentials()
        let endpoint = try STSEndpoint(
            region: try await region().name,
            preferences: STSEndpoint.Preferences(
                configuredURL: settings.stsEndpoint, configuredBy: "sts_endpoint"))
        let body = "Action=GetCallerIdentity&Version=2011-06-15"
        var headers = [HTTPHeader("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        if let serverID { headers.append(HTTPHeader("X-Vault-AWS-IAM-Server-ID", serverID)) }
        let request = UnsignedRequest(method: .post, url: endpoint.url, headers: headers, body: Secret(text: body))
        let signed = SignatureV4(region: endpoint.signingRegion, service: "sts")
            .sign(request, with: credentials, at: clock.now)
        return SignedRequest(method: .post, url: endpoint.url.text, headers: signed, body: body)
    }
}
