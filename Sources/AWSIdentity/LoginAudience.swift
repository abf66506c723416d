// AWSIdentity: for whose ears a login is signed: the STS that Vault will call with the agent's signature. What moves this
// machine's own way to STS (endpoint variables, FIPS, proxies) does not move it.

package import Diagnosis
internal import HTTPClient

/// What Vault calls, as far as the configuration says.
package struct LoginAudience: Hashable, Sendable {
    /// The region to sign for, never overridden; nil: found out, see ``LoginCourse``.
    package var region: String?
    /// URL of the STS that Vault calls; nil: the region's own.
    package var endpoint: String?
    /// Value of `X-Vault-AWS-IAM-Server-ID`, which is then signed; nil: no such header.
    package var serverID: String?

    package init(region: String? = nil, endpoint: String? = nil, serverID: String? = nil) {
        self.region = region
        self.endpoint = endpoint
        self.serverID = serverID
    }

    /// What of it cannot be: an endpoint of AWS's that belongs to one region, and another region to sign for.
    package var contradiction: AgentError? {
        guard let endpoint, let url = try? WebAddress(endpoint), let belonging = STSEndpoint.region(ofHost: url.host),
            let region, region != belonging,
            region != STSEndpoint.globalRegion || belonging != STSEndpoint.defaultRegion
        else { return nil }
        return AgentError(
            .configurationInvalid, "sts_endpoint is of the region \(belonging), and region is \(printable(region))",
            remedy: "Keep sts_endpoint alone, which names its region, or make both the same")
    }

    /// Where the signature is for, if `region` is the one.
    func endpoint(for region: String) throws(AgentError) -> STSEndpoint {
        var preferences = STSEndpoint.Preferences()
        preferences.configuredURL = endpoint
        preferences.configuredBy = "sts_endpoint"
        return try STSEndpoint(region: region, preferences: preferences)
    }

    /// The region that the endpoint's name tells; nil where there is none or it is not AWS's.
    var endpointRegion: String? {
        endpoint.flatMap { try? WebAddress($0) }.flatMap { STSEndpoint.region(ofHost: $0.host) }
    }
}

/// Remembers which region served a Vault's STS. May lose it: the region is then found again.
package protocol RegionMemory {
    func region(for server: String) async -> String?
    /// Does not wait for a disk.
    func remember(_ region: String, for server: String)
}

/// Remembers until the process ends.
package final class PassingRegionMemory: RegionMemory {
    private var regions: [String: String] = [:]

    package init() {}

    package func region(for server: String) -> String? { regions[server] }
    package func remember(_ region: String, for server: String) { regions[server] = region }
}
