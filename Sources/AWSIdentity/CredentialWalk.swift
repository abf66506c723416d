// AWSIdentity: one walk through the sources, over the files and the environment as they are at its beginning.

internal import Diagnosis
internal import HTTPClient
internal import Timekeeping

/// What outlives a walk.
final class ChainMemory {
    let clock: ReferenceClock
    let jitter: Jitter
    let metadata: InstanceMetadata
    /// What IMDS said: an instance's region does not change.
    var instanceRegion: String?
    /// Files that were warned about.
    var warnedFiles: Set<String> = []

    init(surroundings: AWSSurroundings) {
        clock = ReferenceClock(timekeeper: surroundings.timekeeper, log: surroundings.log)
        jitter = Jitter(seed: surroundings.jitterSeed)
        metadata = InstanceMetadata(surroundings: surroundings, clock: clock, jitter: jitter)
    }
}

struct CredentialWalk {
    let settings: AWSSettings
    let surroundings: AWSSurroundings
    let memory: ChainMemory
    let shared: SharedConfiguration

    init(settings: AWSSettings, surroundings: AWSSurroundings, memory: ChainMemory) throws(AgentError) {
        self.settings = settings
        self.surroundings = surroundings
        self.memory = memory
        shared = try SharedConfiguration(
            settings: settings, surroundings: surroundings, warned: &memory.warnedFiles)
    }

    var profileText: String { "profile \(printable(shared.profileName))" }

    // MARK: Sources

    /// What a step of the chain has to say. Credentials that have expired are broken ones.
    func lookUp(_ step: ChainStep) async throws(AgentError) -> Lookup {
        let lookup: Lookup
        switch step {
        case .environment: lookup = try EnvironmentProvider(surroundings: surroundings).lookUp()
        case .assumeRole: lookup = try await assumeRole()
        case .webIdentity:
            lookup = try await webIdentity(
                profile: shared.profileName,
                environmentCounts: settings.profile == nil || settings.source == .webIdentity)
        case .container: lookup = try await ContainerProvider(surroundings: surroundings).lookUp()
        case .instance: lookup = try await instance().lookUp()
        default: lookup = try await lookUp(step, inSourceProfile: shared.profileName)
        }
        if case .found(let credentials) = lookup { return .found(try unexpired(credentials)) }
        return lookup
    }

    /// What a profile has by its own settings.
    func lookUp(_ step: ChainStep, inSourceProfile name: String) async throws(AgentError) -> Lookup {
        switch step {
        case .webIdentity: try await webIdentity(profile: name, environmentCounts: false)
        case .singleSignOn: try singleSignOn(profile: name)
        case .credentialsFile: try credentialsFile(profile: name)
        case .loginSession: try loginSession(profile: name)
        case .credentialProcess: try await credentialProcess(profile: name)
        case .configFile: try configFile(profile: name)
        case .environment, .assumeRole, .container, .instance: .absent("not a setting of profiles")
        }
    }

    /// Why a step is not asked at all; nil where it is.
    func reasonToPassOver(_ step: ChainStep) -> String? {
        if settings.source != .auto, settings.source != step.source {
            return "not asked: the configuration pins the source \(settings.source.rawValue)"
        }
        // As `aws --profile` has it.
        if step == .environment, settings.source == .auto, settings.profile != nil {
            return "not asked: the configuration names a profile"
        }
        return nil
    }

    func unexpired(_ credentials: AWSCredentials) throws(AgentError) -> AWSCredentials {
        guard let expiration = credentials.expiration, expiration <= memory.clock.now else { return credentials }
        throw AgentError(
            .awsCredentialsBroken,
            "the credentials of \(credentials.origin) expired at \(expiration.rfc3339); it is \(memory.clock.now.rfc3339)",
            remedy: "Renew them where they come from")
    }

    // MARK: Instance metadata

    func instance() throws(AgentError) -> InstanceProvider {
        InstanceProvider(
            surroundings: surroundings, metadata: memory.metadata, options: try metadataOptions(), clock: memory.clock,
            jitter: memory.jitter)
    }

    private func metadataOptions() throws(AgentError) -> MetadataOptions {
        func setting(_ variable: String, _ key: String) -> Setting? { shared.setting(variable, key, surroundings) }
        let mode = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode")
        if let mode, !["ipv4", "ipv6"].contains(mode.text.lowercased()) {
            throw AgentError(
                .configurationInvalid, "\(mode.origin) is '\(printable(mode.text))'", remedy: "Expected IPv4 or IPv6")
        }
        let isIPv6 = mode.map { $0.text.lowercased() == "ipv6" } ?? setting("AWS_IMDS_USE_IPV6", "imds_use_ipv6")?.flag
        let configured = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint")
        let usual = isIPv6 == true ? MetadataOptions.defaultEndpointIPv6 : MetadataOptions.defaultEndpoint
        let endpoint: WebAddress
        do {
            endpoint = try WebAddress(configured?.text ?? usual)
        } catch {
            throw AgentError(
                .configurationInvalid,
                "\(configured?.origin ?? "IMDS") is not a usable URL: "
                    + "'\(printable(url: configured?.text ?? usual))' \(error)",
                remedy: "Expected something like \(MetadataOptions.defaultEndpoint)")
        }
        var options = MetadataOptions(endpoint: endpoint, endpointIsConfigured: configured != nil)
        if surroundings.variable("AWS_EC2_METADATA_DISABLED")?.lowercased() == "true" {
            options.disabled = "AWS_EC2_METADATA_DISABLED is true"
        }
        let version1Disabled = setting("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled")?.flag ?? false
        options.allowVersion1 = settings.allowIMDSv1 && !version1Disabled
        if let timeout = setting("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout") {
            options.timeout = .seconds(try timeout.number(in: 1...60))
        }
        if let attempts = setting("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts") {
            options.attempts = try attempts.number(in: 1...20)
        }
        return options
    }

    // MARK: Region and STS

    /// Where nothing names a region it is the global endpoint's: the AWS CLI calls that one too, and Vault does by default.
    func region() async throws(AgentError) -> AWSRegion {
        if let name = settings.region { return AWSRegion(name: name, origin: "the configuration") }
        let named =
            shared.setting("AWS_REGION", nil, surroundings)
            ?? shared.setting("AWS_DEFAULT_REGION", "region", surroundings)
        if let named { return AWSRegion(name: named.text, origin: named.origin) }
        if let region = memory.instanceRegion { return AWSRegion(name: region, origin: "IMDS") }
        let instance = try instance()
        do {
            let region = try await instance.region()
            memory.instanceRegion = region
            return AWSRegion(name: region, origin: "IMDS")
        } catch {
            if case .failed(let error) = error { throw error }
            return AWSRegion(name: STSEndpoint.globalRegion, origin: "nothing names a region")
        }
    }

    func endpoint() async throws(AgentError) -> STSEndpoint {
        try STSEndpoint(region: try await region().name, preferences: try preferences())
    }

    private func preferences() throws(AgentError) -> STSEndpoint.Preferences {
        var preferences = STSEndpoint.Preferences()
        if let configured = try configuredEndpoint() {
            preferences.configuredURL = configured.text
            preferences.configuredBy = configured.origin
        }
        preferences.useFIPS = shared.setting("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", surroundings)?.flag ?? false
        preferences.useDualStack =
            shared.setting("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", surroundings)?.flag ?? false
        if let choice = shared.setting("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints", surroundings) {
            guard ["legacy", "regional"].contains(choice.text.lowercased()) else {
                throw AgentError(
                    .configurationInvalid, "\(choice.origin) is '\(printable(choice.text))'",
                    remedy: "Expected regional or legacy")
            }
            preferences.useLegacyGlobal = choice.text.lowercased() == "legacy"
        }
        return preferences
    }

    /// In the AWS CLI's order: for STS before for all services, environment before profile; the agent's own first.
    private func configuredEndpoint() throws(AgentError) -> Setting? {
        if let url = settings.stsEndpoint { return Setting(text: url, origin: "sts_endpoint") }
        let ignored = shared.setting(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls", surroundings)
        if ignored?.flag == true { return nil }
        for variable in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
            if let url = shared.setting(variable, nil, surroundings) { return url }
        }
        if let name = shared.profile.values["services"] {
            guard let services = shared.services[name] else {
                throw AgentError(
                    .configurationInvalid, "\(profileText) names the services section '\(printable(name))'",
                    remedy: "Write [services \(printable(name))] in \(shared.configFile.path), or take the setting out")
            }
            if let url = services.nested["sts"]?["endpoint_url"], !url.isEmpty {
                return Setting(text: url, origin: "endpoint_url of services \(printable(name))")
            }
        }
        return shared.setting(nil, "endpoint_url", surroundings)
    }

    func sts() async throws(AgentError) -> STSClient {
        let endpoint = try await endpoint()
        var tls = TLSSettings()
        tls.caFile = shared.setting("AWS_CA_BUNDLE", "ca_bundle", surroundings)?.text
        let proxy = HTTPRoute.Proxy.fromEnvironment(surroundings.environment, for: endpoint.url.text)
        let attempts = try shared.setting("AWS_MAX_ATTEMPTS", "max_attempts", surroundings)?.number(in: 1...20)
        return STSClient(
            surroundings: surroundings, clock: memory.clock, jitter: memory.jitter, endpoint: endpoint,
            route: HTTPRoute(proxy: proxy, tls: tls), attempts: attempts ?? STSClient.defaultAttempts)
    }
}
