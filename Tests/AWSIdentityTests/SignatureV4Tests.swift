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
            method: .get, url: try #require(EndpointURL("https://example.amazonaws.com/")), headers: [],
            body: Secret([]))
        let headers = SignatureV4(region: "us-east-1", service: "service")
            .sign(request, with: credentials, at: try #require(WallTime(rfc3339: "2015-08-30T12:36:00Z")))
        guard case .secret(let authorization)? = headers.last?.value else {
            Issue.record("the last header is not the signature")
            return
        }
        #expect(
            authorization.text == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                + "SignedHeaders=host;x-amz-date, "
                + "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
    }
}
