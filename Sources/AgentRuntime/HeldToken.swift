// AgentRuntime: a token with all that is known of it: what the sinks and the log are told.

import Crypto
import Timekeeping
import TokenLifecycle
import VaultAPI

/// One token that is still of use.
struct HeldToken {
    let token: Secret
    private(set) var accessor = ""
    private(set) var policies: [String] = []
    private(set) var metadata: [String: String] = [:]
    /// As last granted; nil: does not expire.
    private(set) var leaseDuration: Duration?
    private(set) var renewable = false
    /// When the lease began.
    private(set) var sentAt: Instant

    /// As far as is known: a token found in a sink is taken to be good until Vault has been asked.
    func isValid(at now: Instant) -> Bool {
        leaseDuration.map { now < sentAt + $0 } ?? true
    }

    init(_ grant: TokenGrant) {
        token = grant.token
        accessor = grant.accessor
        policies = grant.policies
        metadata = grant.metadata
        leaseDuration = grant.leaseDuration
        renewable = grant.renewable
        sentAt = grant.sentAt
    }

    /// A token that an earlier run left in a sink: nothing is known of it but itself.
    init(found token: Secret, at now: Instant) {
        self.token = token
        sentAt = now
    }

    mutating func renewed(by renewal: Renewal) {
        leaseDuration = renewal.leaseDuration
        renewable = renewal.renewable
        sentAt = renewal.sentAt
    }

    mutating func learn(from facts: TokenFacts) {
        accessor = facts.accessor
        policies = facts.policies
        leaseDuration = facts.ttl
        renewable = facts.renewable
        sentAt = facts.sentAt
    }
}
