// VaultAPI: what Vault gives and says of a token, as values.

package import Crypto
package import HTTPClient
package import Timekeeping

/// What the agent shows Vault to prove who it is.
package enum LoginProof: Sendable {
    /// A signed `sts:GetCallerIdentity` request, which Vault sends on. Headers that hold a session token are secrets.
    case iam(method: HTTPMethod, url: String, headers: [HTTPHeader], body: String)
    /// The instance identity document as PKCS#7, base64 on one line.
    case ec2PKCS7(Secret, nonce: Secret)
    /// The instance identity document as it was served, and its base64 signature on one line.
    case ec2Identity(document: Secret, signature: Secret, nonce: Secret)
}

package enum TokenKind: String, Hashable, Sendable {
    /// Stored by Vault: can be renewed and revoked.
    case service
    /// Carries its rights within itself: can be neither renewed nor revoked.
    case batch
}

/// A new token.
package struct TokenGrant: Sendable {
    package let token: Secret
    /// Names the token to operators without being it; empty for batch tokens.
    package let accessor: String
    package let policies: [String]
    /// What the auth method says of the principal: `account_id`, `auth_type`… Never the ec2 nonce.
    package let metadata: [String: String]
    /// Counted from ``sentAt``; nil: never expires.
    package let leaseDuration: Duration?
    package let renewable: Bool
    package let kind: TokenKind
    /// Requests that may be made with it; 0: no limit.
    package let numUses: Int64
    package let entityID: String
    /// Lives on when its parent is revoked.
    package let orphan: Bool
    /// When the request for it was sent.
    package let sentAt: Instant
}

/// A single-use token that stands for what Vault keeps under it.
package struct WrappedToken: Sendable {
    package let token: Secret
    package let accessor: String
    /// Counted from ``sentAt``; Vault forgets what it keeps then.
    package let ttl: Duration
    /// RFC 3339, as Vault wrote it.
    package let creationTime: String
    /// The API path whose reply is wrapped: `auth/aws/login`. Who unwraps can check it by `sys/wrapping/lookup`.
    package let creationPath: String
    /// Accessor of the token inside; empty where something else is inside.
    package let wrappedAccessor: String
    package let sentAt: Instant
}

package enum LoginReply: Sendable {
    case granted(TokenGrant)
    /// As ``LoginSettings/wrapTTL`` asked.
    case wrapped(WrappedToken)
}

/// A renewed lease.
package struct Renewal: Hashable, Sendable {
    /// Counted from ``sentAt``; at least a second.
    package let leaseDuration: Duration
    package let renewable: Bool
    package let sentAt: Instant
}

/// What Vault knows of a token.
package struct TokenFacts: Hashable, Sendable {
    /// What is left of the lease at ``sentAt``; nil: never expires.
    package let ttl: Duration?
    /// The lease it was made with; zero: none.
    package let creationTTL: Duration
    /// Nil: no maximum of its own. That of its mount or role is not told.
    package let explicitMaxTTL: Duration?
    /// Nil: not periodic.
    package let period: Duration?
    package let renewable: Bool
    package let kind: TokenKind
    /// Uses left; 0: no limit; negative: this was the last one.
    package let numUses: Int64
    package let accessor: String
    package let policies: [String]
    /// What the auth method said of the principal; empty for child tokens.
    package let metadata: [String: String]
    /// Where it was made: `auth/aws/login`.
    package let path: String
    /// Without slashes at the ends; empty for the root namespace, and where Vault does not say.
    package let namespace: String
    package let orphan: Bool
    package let createdAt: WallTime
    package let sentAt: Instant
}

/// What one server says of itself at `sys/health`.
package struct ServerHealth: Hashable, Sendable {
    /// 200 active, 429 standby, 472 and 473 secondaries and performance standbys, 501 not initialised, 503 sealed.
    package let status: Int
    package let initialized: Bool
    package let sealed: Bool
    package let standby: Bool
    package let version: String
    package let clusterName: String
    /// The server's clock, whole seconds; nil where it does not say.
    package let serverTime: WallTime?
    /// Nil without TLS, where it was not checked, and over a connection that was there before.
    package let certificate: CertificateFacts?
}
