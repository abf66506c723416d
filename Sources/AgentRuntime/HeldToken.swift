// AgentRuntime: a token with all that is known of it: what the sinks and the log are told, and the server it belongs to.

import AWSIdentity
import Crypto
import Timekeeping
import TokenLifecycle
import VaultAPI

/// One token that is still of use.
struct HeldToken {
    let token: Secret
    /// The server that gave it, and no other, is asked about it.
    var login: LoginPoint
    /// Tells where it comes from; see ``TakeoverRecord``.
    let origin: [UInt8]
    private(set) var accessor = ""
    private(set) var policies: [String] = []
    private(set) var metadata: [String: String] = [:]
    /// Who logged in, as Vault's metadata says; empty where they do not.
    private(set) var principal = ""
    /// Whose it is, as the source of the credentials and Vault told it; nil for children, and where nobody knows.
    private(set) var identity: Principal?
    /// As last granted; nil: does not expire.
    private(set) var leaseDuration: Duration?
    private(set) var renewable = false
    /// When the lease began.
    private(set) var sentAt: Instant

    init(_ grant: TokenGrant, login: LoginPoint, origin: [UInt8]) {
        identity = origin == login.digest ? login.origin.principal : nil
        (token, self.login, self.origin) = (grant.token, login, origin)
        accessor = grant.accessor
        policies = grant.policies
        metadata = grant.metadata
        principal = Self.principal(in: grant.metadata)
        leaseDuration = grant.leaseDuration
        renewable = grant.renewable
        sentAt = grant.sentAt
    }

    /// A token that an earlier run left in a sink. `left`: of its lease, where that is known.
    init(
        found token: Secret, login: LoginPoint, origin: [UInt8], principal: String, identity: Principal?,
        left: Duration?, renewable: Bool, at now: Instant
    ) {
        self.identity = identity
        (self.token, self.login, self.origin, self.principal) = (token, login, origin, principal)
        (leaseDuration, self.renewable, sentAt) = (left, renewable, now)
    }

    mutating func renewed(by renewal: Renewal) {
        leaseDuration = renewal.leaseDuration
        renewable = renewal.renewable
        sentAt = renewal.sentAt
    }

    mutating func learn(from facts: TokenFacts) {
        accessor = facts.accessor
        policies = facts.policies
        if metadata.isEmpty { metadata = facts.metadata }
        leaseDuration = facts.ttl
        renewable = facts.renewable
        sentAt = facts.sentAt
    }

    /// The ARN of an iam login, the instance of an ec2 login.
    static func principal(in metadata: [String: String]) -> String {
        metadata["canonical_arn"] ?? metadata["client_arn"] ?? metadata["instance_id"] ?? ""
    }
}
