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
            try self.init(host: "sts.amazonaws.com", region: "us-east-1")
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
        signingRegion = region == Self.globalRegion ? "us-east-1" : region
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
