// AWSIdentity: where EC2's instance metadata service is and how patient to be, from environment, profile and configuration.

internal import Diagnosis
internal import HTTPClient
internal import Timekeeping

struct MetadataOptions: Hashable, Sendable {
    /// The service's own address for IPv4.
    static let defaultEndpoint = "http://169.254.169.254"
    /// Its address for IPv6, on instances of the Nitro system.
    static let defaultEndpointIPv6 = "http://[fd00:ec2::254]"

    var endpoint: WebAddress
    /// Somebody named the endpoint: that nothing answers there is then a failure, not the sign of a machine outside EC2.
    var endpointIsConfigured = false
    /// Why the service must not be asked: "AWS_EC2_METADATA_DISABLED is true".
    var disabled: String?
    /// Ask without a session where version 2 is not to be had.
    var allowVersion1 = false
    /// The instance profile's role, where it is named and need not be asked for.
    var roleName: String?
    /// For each request; the AWS CLI's default.
    var timeout: Duration = .seconds(1)
    /// Requests before giving up on a read; the AWS CLI's default.
    var attempts = 1
}

extension MetadataOptions {
    init(
        settings: AWSSettings, shared: SharedConfiguration, surroundings: AWSSurroundings
    ) throws(AgentError) {
        func setting(_ variable: String?, _ key: String?) -> Setting? { shared.setting(variable, key, surroundings) }
        let mode = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode")
        if let mode, !["ipv4", "ipv6"].contains(mode.text.lowercased()) {
            throw AgentError(
                .configurationInvalid, "\(mode.origin) is '\(printable(mode.text))'", remedy: "Expected IPv4 or IPv6")
        }
        let isIPv6 = mode.map { $0.text.lowercased() == "ipv6" } ?? setting("AWS_IMDS_USE_IPV6", "imds_use_ipv6")?.flag
        let configured = setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint")
        let usual = isIPv6 == true ? Self.defaultEndpointIPv6 : Self.defaultEndpoint
        let endpoint: WebAddress
        do {
            endpoint = try WebAddress(configured?.text ?? usual)
        } catch {
            throw AgentError(
                .configurationInvalid,
                "\(configured?.origin ?? "IMDS") is not a usable URL: "
                    + "'\(printable(url: configured?.text ?? usual))' \(error)",
                remedy: "Expected something like \(Self.defaultEndpoint)")
        }
        self.init(endpoint: endpoint, endpointIsConfigured: configured != nil)
        let switches = [
            setting("AWS_EC2_METADATA_DISABLED", nil), setting(nil, "disable_ec2_metadata"),
        ].compactMap { $0 }
        disabled = switches.first(where: \.flag).map { "\($0.origin) is true" }
        let version1Disabled = setting("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled")?.flag ?? false
        allowVersion1 = settings.allowIMDSv1 && !version1Disabled
        if let name = setting("AWS_EC2_INSTANCE_PROFILE_NAME", "ec2_instance_profile_name") {
            guard (1...128).contains(name.text.count), !name.text.contains("/") else {
                throw AgentError(
                    .configurationInvalid, "\(name.origin) is '\(printable(name.text))'",
                    remedy: "Expected the name of an instance profile's role, without a path")
            }
            roleName = name.text
        }
        if let timeout = setting("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout") {
            self.timeout = .seconds(try timeout.number(in: 1...60))
        }
        if let attempts = setting("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts") {
            self.attempts = try attempts.number(in: 1...20)
        }
    }
}
