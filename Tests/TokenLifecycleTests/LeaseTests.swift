// What is learned of a lease from what Vault says of it.

import Testing
import Timekeeping

@testable import TokenLifecycle

@Suite struct LeaseTests {
    private static let hour: Duration = .seconds(3_600)

    @Test func `a lookup that says the same in whole seconds is no reason to renew at another time`() throws {
        var random = SeededGenerator(seed: 1)
        let start = Instant(nanoseconds: 0)
        var lease = Lease(
            Grant(id: TokenID(number: 1), sentAt: start, duration: Self.hour, renewable: true), using: &random)
        let (due, expiry) = (try #require(lease.due), try #require(lease.expiry))
        // Vault has made the token 80 ms after it was asked to, and hears of each lookup after 1 to 100 ms.
        let end = start + .milliseconds(80) + Self.hour
        for number in 1...500 {
            let sentAt = start + .milliseconds(7_003 * number)
            let left = end - (sentAt + .milliseconds(Int64.random(in: 1...100, using: &random)))
            lease.learn(remaining: .seconds(left.components.seconds), sentAt: sentAt, using: &random)
            #expect(lease.due == due)
            let known = try #require(lease.expiry)
            #expect(known >= expiry && known <= end)
        }
    }

    @Test(arguments: [Duration.seconds(600), .seconds(-600), .seconds(-3)])
    func `a lookup that says otherwise is`(difference: Duration) {
        var random = SeededGenerator(seed: 1)
        let start = Instant(nanoseconds: 0)
        var lease = Lease(
            Grant(id: TokenID(number: 1), sentAt: start, duration: Self.hour, renewable: true), using: &random)
        let due = lease.due
        lease.learn(remaining: Self.hour + difference, sentAt: start, using: &random)
        #expect(lease.due != due && lease.expiry == start + Self.hour + difference)
    }
}
