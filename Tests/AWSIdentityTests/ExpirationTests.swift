// When credentials end, as programs of all kinds write it: the AWS CLI is the measure.

import SecretJSON
import Testing
import Timekeeping

@testable import AWSIdentity

@Suite("An expiration")
struct ExpirationTests {
    @Test("3,000 generated times are read as botocore reads them, or not at all")
    func agreesWithBotocore() async throws {
        let cases = try await Reference.ask("expirations", "3000")
        #expect(cases.count == 3_000)
        var taken = 0
        for generated in cases {
            let text = try #require(generated["text"]?.string).text
            guard let time = WallTime(loose: text) else { continue }
            taken += 1
            try #require(time.secondsSince1970 == generated["seconds"]?.integer, "\(text)")
        }
        let theirs = cases.count { $0["seconds"] != nil }
        // What botocore takes and the agent does not runs date and time together without a sign between them.
        #expect(taken * 100 >= theirs * 90, "\(taken) of \(theirs)")
    }

    @Test(
        "Every form that programs print is taken",
        arguments: [
            "2026-11-21T09:10:00Z", "2026-11-21T09:10:00+0000", "2026-11-21T09:10:00+00", "2026-11-21T09:10:00UTC",
            "2026-11-21T09:10:00 UTC", "20261121T091000Z", "20261121T101000+0100", "2026-11-21 09:10:00Z",
            "2026-11-21 10:10:00+01:00", "2026-11-21 09:10:00.123456+00:00", "2026-11-21T09:10Z", "20261121T0910Z",
            "20261121091000Z", "2026-11-21T09:10:00,5Z", "2026-11-21t09:10:00z", " 2026-11-21T09:10:00Z ",
            "Sat, 21 Nov 2026 09:10:00 GMT", "Sat, 21 Nov 2026 09:10:00 +0000 (UTC)", "Sat Nov 21 09:10:00 UTC 2026",
            "Saturday, 21-Nov-26 09:10:00 UTC", "21 Nov 2026 05:40:00 -0330", "November 21, 2026 9:10 AM UTC",
            "11/21/2026 09:10:00 UTC", "2026/11/21 09:10:00 +0000", "2026-11-21T10:10:00+1",
        ])
    func forms(text: String) {
        #expect(WallTime(loose: text)?.rfc3339 == "2026-11-21T09:10:00Z")
    }

    @Test(
        "What has two readings or none is refused",
        arguments: [
            "", "Z", "2026-11-21", "2026-11-21T09:10:00", "2026-11-21T09:10:00 EST", "2026-11-21T09:10:00GMT+1",
            "2026-11-21T09:10:00+00:00Z", "1795252200", "2026-02-30T09:10:00Z", "2026-11-21T25:10:00Z",
            "2026-11-21T09:60:00Z", "21/11/2026 09:10:00Z", "2026-11-21T09:10:00+24:00", "2026-11-21T09:10:00Z Z",
            "٢٠٢٦-11-21T09:10:00Z", "2026-11-21T09:10:00.Z", String(repeating: "2", count: 200),
            "99999999999999999999T000000Z", "2026-11-21T09:10:00Z2026", "13 PM 2026-11-21 UTC",
            "2026-11-21 13:00 PM UTC",
        ])
    func refused(text: String) {
        #expect(WallTime(loose: text) == nil)
    }

    @Test("SigV4's own form is read back")
    func amzDate() {
        #expect(WallTime(amzDate: "20261121T091000Z")?.rfc3339 == "2026-11-21T09:10:00Z")
        for text in ["20261121T091000", "20261121 091000Z", "2026112aT091000Z", "20261321T091000Z", ""] {
            #expect(WallTime(amzDate: text) == nil)
        }
    }
}
