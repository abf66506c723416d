// TokenSinks: what a sink is given to hand on.

package import Crypto
package import Timekeeping

/// A token and what applications may want to know about it.
package struct TokenContent: Sendable {
    package var token: Secret
    package var accessor: String
    package var policies: [String]
    package var metadata: [String: String]
    /// As the last login or renewal granted it; nil: the token does not expire.
    package var leaseDuration: Duration?
    package var renewable: Bool
    package var issuedAt: WallTime
    /// Nil: the token does not expire.
    package var expiresAt: WallTime?
    package var vaultAddress: String
    /// Empty: the root namespace.
    package var vaultNamespace: String
    /// For sinks with `wrap_ttl`: they hand on this and never the token.
    package var wrapping: WrappedToken?

    package init(
        token: Secret, accessor: String = "", policies: [String] = [], metadata: [String: String] = [:],
        leaseDuration: Duration? = nil, renewable: Bool = false, issuedAt: WallTime, expiresAt: WallTime? = nil,
        vaultAddress: String, vaultNamespace: String = "", wrapping: WrappedToken? = nil
    ) {
        self.token = token
        self.accessor = accessor
        self.policies = policies
        self.metadata = metadata
        self.leaseDuration = leaseDuration
        self.renewable = renewable
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
        self.vaultAddress = vaultAddress
        self.vaultNamespace = vaultNamespace
        self.wrapping = wrapping
    }
}

/// A single-use token that `sys/wrapping/unwrap` exchanges for the real one: Vault's `wrap_info`.
package struct WrappedToken: Sendable {
    package var token: Secret
    package var accessor: String
    package var timeToLive: Duration
    package var createdAt: WallTime
    package var creationPath: String
    /// Accessor of the token inside; empty where Vault does not say.
    package var wrappedAccessor: String

    package init(
        token: Secret, accessor: String, timeToLive: Duration, createdAt: WallTime, creationPath: String,
        wrappedAccessor: String = ""
    ) {
        self.token = token
        self.accessor = accessor
        self.timeToLive = timeToLive
        self.createdAt = createdAt
        self.creationPath = creationPath
        self.wrappedAccessor = wrappedAccessor
    }
}
