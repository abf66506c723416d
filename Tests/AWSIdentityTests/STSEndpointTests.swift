// STS's hosts against those that botocore's own rules give.

import Diagnosis
import HTTPClient
import SecretJSON
import Testing

@testable import AWSIdentity

@Suite("STS's endpoint")
struct STSEndpointTests {
    @Test("Is botocore's for every region, FIPS, dual-stack, legacy and regional")
    func agreesWithBotocore() async throws {
        let cases = try await Reference.ask("endpoints")
        #expect(cases.count > 200)
        for reference in cases {
            var preferences = STSEndpoint.Preferences()
            preferences.useFIPS = reference["fips"]?.boolean == true
            preferences.useDualStack = reference["dual_stack"]?.boolean == true
            preferences.useLegacyGlobal = reference["legacy"]?.boolean == true
            let region = try #require(reference["region"]?.string).text
            let endpoint = try STSEndpoint(region: region, preferences: preferences)
            #expect(endpoint.url.text == reference["url"]?.string?.text, "\(region) \(preferences)")
            #expect(endpoint.signingRegion == reference["signing_region"]?.string?.text, "\(region) \(preferences)")
        }
    }

    @Test("A configured URL is used as it is, and signed for the region")
    func configured() throws {
        let preferences = STSEndpoint.Preferences(
            configuredURL: "http://localhost:5000", configuredBy: "AWS_ENDPOINT_URL")
        let endpoint = try STSEndpoint(region: "eu-west-1", preferences: preferences)
        #expect(endpoint.url.text == "http://localhost:5000/")
        #expect(endpoint.signingRegion == "eu-west-1")
    }

    @Test(
        "A configured URL that cannot be used, or goes against FIPS or dual-stack, is refused with its origin",
        arguments: [
            STSEndpoint.Preferences(configuredURL: "sts.example.com", configuredBy: "AWS_ENDPOINT_URL"),
            STSEndpoint.Preferences(configuredURL: "https://user@sts.example.com", configuredBy: "AWS_ENDPOINT_URL"),
            STSEndpoint.Preferences(
                configuredURL: "https://sts.example.com", configuredBy: "AWS_ENDPOINT_URL", useFIPS: true),
            STSEndpoint.Preferences(
                configuredURL: "https://sts.example.com", configuredBy: "AWS_ENDPOINT_URL", useDualStack: true),
        ])
    func refused(preferences: STSEndpoint.Preferences) throws {
        let error = try #require(throws: AgentError.self) {
            try STSEndpoint(region: "us-east-1", preferences: preferences)
        }
        #expect(error.code == .configurationInvalid)
        #expect(error.observed.contains("AWS_ENDPOINT_URL"))
    }

    @Test("What cannot be a region is refused", arguments: ["", "-", "us east", "a/b", "12", "x.y", "us-east-1\n"])
    func noRegion(name: String) throws {
        let error = try #require(throws: AgentError.self) {
            try STSEndpoint(region: name, preferences: STSEndpoint.Preferences())
        }
        #expect(error.code == .awsRegionWrong)
    }
}
