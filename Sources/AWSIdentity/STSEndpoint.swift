// AWSIdentity: which host is STS for a region. Pure.
// Source: STS's endpoint rules and the partitions as botocore 1.43 ships them; compared with it in the tests.

internal import Diagnosis
internal import HTTPClient

/// Where STS is called, and for which region the call is signed.
struct STSEndpoint: Hashable, Sendable {
    let url: WebAddress
    let signingRegion: String
}

extension STSEndpoint {
    /// What bears on the choice besides the region.
    struct Preferences: Hashable, Sendable {
        /// A URL to use instead.
        var configuredURL: String?
        /// Where that URL was found, for errors.
        var configuredBy = ""
        var useFIPS = false
        var useDualStack = false
        /// `AWS_STS_REGIONAL_ENDPOINTS=legacy`: the regions of before 2019 go to the global endpoint.
        var useLegacyGlobal = false
    }

    /// The name of the global endpoint where a region's is asked for; it signs for us-east-1.
    static let globalRegion = "aws-global"
    /// What the global endpoint signs for.
    static let defaultRegion = "us-east-1"

    private static let legacyGlobalRegions: Set = [
        "ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "aws-global", "ca-central-1",
        "eu-central-1",
        "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1",
        "us-west-2",
    ]

    /// A region begins with its partition's prefix; what no prefix claims belongs to the commercial partition.
    private static let partitions: [(prefix: String, suffix: String, dualStackSuffix: String)] = [
        ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("us-gov-", "amazonaws.com", "api.aws"),
        ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
        ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
        ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ("", "amazonaws.com", "api.aws"),
    ]

    /// Whether a region belongs to the commercial partition, whose global endpoint is Vault's default.
    static func isCommercial(_ region: String) -> Bool {
        partitions.first { region.hasPrefix($0.prefix) }?.prefix == ""
    }

    /// The region in the name of one of AWS's own STS hosts, private endpoints (`vpce-….sts.REGION.vpce.amazonaws.com`) among
    /// them; nil for other hosts.
    static func region(ofHost host: String) -> String? {
        if host == "sts.amazonaws.com" { return defaultRegion }
        let suffixes = partitions.flatMap { [$0.suffix, $0.dualStackSuffix] }.flatMap { ["vpce.\($0)", $0] }
        guard let suffix = suffixes.filter({ host.hasSuffix(".\($0)") }).max(by: { $0.count < $1.count }) else {
            return nil
        }
        let labels = host.dropLast(suffix.utf8.count + 1).split(separator: ".", omittingEmptySubsequences: false)
        guard labels.count >= 2, ["sts", "sts-fips"].contains(labels[labels.count - 2]),
            labels.count == 2 || suffix.hasPrefix("vpce.")
        else { return nil }
        return String(labels[labels.count - 1])
    }

    init(region: String, preferences: Preferences) throws(AgentError) {
        if let configured = preferences.configuredURL {
            try self.init(configured, region: region, preferences: preferences)
            return
        }
        guard Self.isHostLabel(region) else {
            throw AgentError(
                .awsRegionWrong, "'\(printable(region))' cannot be a region's name",
                remedy: "Expected something like us-east-1")
        }
        let plain = !preferences.useFIPS && !preferences.useDualStack
        if plain,
            region == Self.globalRegion || preferences.useLegacyGlobal && Self.legacyGlobalRegions.contains(region)
        {
            try self.init(host: "sts.amazonaws.com", region: Self.defaultRegion)
            return
        }
        // GovCloud's ordinary endpoints are the FIPS ones.
        let isGovCloud = region.hasPrefix("us-gov-")
        let service = preferences.useFIPS && !(isGovCloud && !preferences.useDualStack) ? "sts-fips" : "sts"
        let partition = Self.partitions.first { region.hasPrefix($0.prefix) }
        let suffix = (preferences.useDualStack ? partition?.dualStackSuffix : partition?.suffix) ?? "amazonaws.com"
        try self.init(host: "\(service).\(region).\(suffix)", region: region)
    }

    private init(_ configured: String, region: String, preferences: Preferences) throws(AgentError) {
        if preferences.useFIPS || preferences.useDualStack {
            throw AgentError(
                .configurationInvalid,
                "\(preferences.configuredBy) names an endpoint for STS while "
                    + "\(preferences.useFIPS ? "FIPS" : "dual-stack") endpoints are asked for",
                remedy: "Keep one of the two")
        }
        do {
            url = try WebAddress(configured)
        } catch {
            throw AgentError(
                .configurationInvalid,
                "\(preferences.configuredBy) is not a usable URL: '\(printable(url: configured))' \(error)",
                remedy: "Expected something like https://sts.us-east-1.amazonaws.com")
        }
        signingRegion = region == Self.globalRegion ? Self.defaultRegion : region
    }

    private init(host: String, region: String) throws(AgentError) {
        guard let url = try? WebAddress("https://\(host)") else {
            throw AgentError(.internalFault, "no URL can be made of the host name '\(host)'")
        }
        self.url = url
        signingRegion = region
    }

    /// Letters, digits and hyphens, at most 63, no hyphen at either end, not digits alone.
    static func isHostLabel(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
            && !text.hasPrefix("-") && !text.hasSuffix("-") && !text.allSatisfy(\.isNumber)
    }
}
