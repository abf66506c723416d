// The signer against botocore's, on a few thousand generated requests.

import Crypto
import Diagnosis
import HTTPClient
import SecretJSON
import Testing
import Timekeeping

@testable import AWSIdentity

@Suite("Signature Version 4")
struct SignatureV4Tests {
    @Test("Signs a request of AWS's published example as published")
    func publishedExample() throws {
        // "get-vanilla" of AWS's Signature Version 4 test suite.
        let credentials = AWSCredentials(
            accessKeyID: "AKIDEXAMPLE", secretAccessKey: Secret(text: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            sessionToken: nil, expiration: nil, origin: "test")
        let request = UnsignedRequest(
            method: .get, url: try WebAddress("https://example.amazonaws.com/"), headers: [],
            body: Secret([]))
        let headers = SignatureV4(region: "us-east-1", service: "service")
            .sign(request, with: credentials, at: try #require(WallTime(rfc3339: "2015-08-30T12:36:00Z")))
        #expect(
            headers.last?.text == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                + "SignedHeaders=host;x-amz-date, "
                + "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
    }

    @Test("Signs 3,000 generated requests as botocore does")
    func agreesWithBotocore() async throws {
        let cases = try await Reference.ask("signatures", "3000")
        #expect(cases.count == 3_000)
        for generated in cases {
            let authorization = try signature(of: generated)
            try #require(
                authorization == generated["authorization"]?.string?.text,
                "\(generated["method"]?.string?.text ?? "") \(generated["url"]?.string?.text ?? "")")
        }
    }

    private func signature(of generated: JSONValue) throws -> String? {
        func text(_ name: String) throws -> String { try #require(generated[name]?.string).text }
        let credentials = AWSCredentials(
            accessKeyID: try text("access_key_id"), secretAccessKey: Secret(text: try text("secret_access_key")),
            sessionToken: generated["session_token"]?.string?.secret, expiration: nil, origin: "generated")
        let request = UnsignedRequest(
            method: try #require(HTTPMethod(rawValue: try text("method"))),
            url: try WebAddress(try text("url")),
            headers: generated["headers"]?.object?.map { HTTPHeader($0, $1.string?.text ?? "") } ?? [],
            body: Secret(text: try text("body")))
        let headers = SignatureV4(region: try text("region"), service: try text("service"))
            .sign(request, with: credentials, at: try #require(WallTime(rfc3339: try text("time"))))
        return headers.last?.text
    }
}

extension HTTPHeader {
    /// What would be sent, secret or not.
    var text: String {
        switch value {
        case .plain(let text): text
        case .secret(let secret): secret.text
        }
    }
}
