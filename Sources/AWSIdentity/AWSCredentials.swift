// AWSIdentity: who the agent is to AWS. Finds credentials, region and STS endpoint, and signs. Knows nothing of Vault.

package import Crypto
package import Timekeeping

/// One identity's keys, as a source gave them.
package struct AWSCredentials: Sendable {
    /// 16 to 128 characters; not a secret.
    package let accessKeyID: String
    package let secretAccessKey: Secret
    package let sessionToken: Secret?
    /// When AWS stops accepting them; nil for keys that do not expire.
    package let expiration: WallTime?
    /// Where they came from, for logs: "instance role web-server (IMDS)".
    package let origin: String
    /// Whose they are, as far as their source tells.
    package let principal: Principal

    /// - Parameter principal: Nil: the source tells no more than the key's id.
    package init(
        accessKeyID: String, secretAccessKey: Secret, sessionToken: Secret?, expiration: WallTime?, origin: String,
        principal: Principal? = nil
    ) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.expiration = expiration
        self.origin = origin
        // The keys of a role change with each session and would say nothing.
        let known = principal ?? Principal()
        self.principal = known.name == nil ? known.completed(by: Principal(accessKeyID: accessKeyID)) : known
    }
}
