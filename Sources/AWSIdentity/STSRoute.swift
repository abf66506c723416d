// AWSIdentity: how this machine reaches STS: region, endpoint, proxy, CA. For the agent's own calls: AssumeRole, web identity,
// GetCallerIdentity. What Vault will call is LoginAudience's.

internal import Diagnosis
internal import HTTPClient
internal import Timekeeping

/// The way to STS as the environment, the shared files and the instance describe it.
struct STSRoute {
    let settings: AWSSettings
    let surroundings: AWSSurroundings
    let memory: IdentityMemory
    let shared: SharedConfiguration

    // MARK: Region

    /// The region that the environment or the profile names; nil where neither does.
    var namedRegion: AWSRegion? {
        let setting =
            shared.setting("AWS_REGION", nil, surroundings)
            ?? shared.setting("AWS_DEFAULT_REGION", "region", surroundings)
        return setting.map { AWSRegion(name: $0.text, origin: $0.origin) }
    }

    /// The region that is named, or the instance's; nil on a machine that knows none.
    func machineRegion() async throws(AgentError) -> AWSRegion? {
        if let namedRegion { return namedRegion }
        if let region = memory.instanceRegion { return AWSRegion(name: region, origin: "IMDS") }
        let instance = InstanceProvider(
            surroundings: surroundings, memory: memory,
            options: try MetadataOptions(settings: settings, shared: shared, surroundings: surroundings))
        do {
            let region = try await instance.region()
            memory.instanceRegion = region
            return AWSRegion(name: region, origin: "IMDS")
        } catch {
            if case .failed(let error) = error { throw error }
            return nil
        }
    }

    /// Where nothing names a region it is the global endpoint's, as it is for the AWS CLI.
    func region() async throws(AgentError) -> AWSRegion {
        try await machineRegion() ?? AWSRegion(name: STSEndpoint.globalRegion, origin: "nothing names a region")
    }

    // MARK: Endpoint

    func endpoint() async throws(AgentError) -> STSEndpoint {
        let preferences = try preferences()
        let region = try await machineRegion()
        // There is no FIPS endpoint but a region's, and a guess would be a call to elsewhere.
        if region == nil, preferences.useFIPS, preferences.configuredURL == nil {
            throw AgentError(
                .configurationInvalid,
                "FIPS endpoints are asked for (AWS_USE_FIPS_ENDPOINT, use_fips_endpoint), and no region is known",
                remedy: "Set AWS_REGION, or region in the profile")
        }
        return try STSEndpoint(region: region?.name ?? STSEndpoint.globalRegion, preferences: preferences)
    }

    func preferences() throws(AgentError) -> STSEndpoint.Preferences {
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

    /// In the AWS CLI's order: for STS before for all services, environment before profile.
    private func configuredEndpoint() throws(AgentError) -> Setting? {
        let ignored = shared.setting(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls", surroundings)
        if ignored?.flag == true { return nil }
        for variable in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
            if let url = shared.setting(variable, nil, surroundings) { return url }
        }
        if let name = shared.profile.values["services"] {
            guard let services = shared.services[name] else {
                throw AgentError(
                    .configurationInvalid,
                    "profile \(printable(shared.profileName)) names the services section '\(printable(name))'",
                    remedy: "Write [services \(printable(name))] in \(shared.configFile.path), or take the setting out")
            }
            if let url = services.nested["sts"]?["endpoint_url"], !url.isEmpty {
                return Setting(text: url, origin: "endpoint_url of services \(printable(name))")
            }
        }
        return shared.setting(nil, "endpoint_url", surroundings)
    }

    func client() async throws(AgentError) -> STSClient {
        let endpoint = try await endpoint()
        var tls = TLSSettings()
        tls.caFile = shared.setting("AWS_CA_BUNDLE", "ca_bundle", surroundings)?.text
        let proxy = HTTPRoute.Proxy.fromEnvironment(surroundings.environment, for: endpoint.url.text)
        let attempts = try shared.setting("AWS_MAX_ATTEMPTS", "max_attempts", surroundings)?.number(in: 1...20)
        return STSClient(
            surroundings: surroundings, jitter: memory.jitter, endpoint: endpoint,
            route: HTTPRoute(proxy: proxy, tls: tls), attempts: attempts ?? STSClient.defaultAttempts)
    }
}
