// Diagnosis: what this program calls itself, to people and to servers.

package enum Product {
    package static let version = "0.1.0"
    /// The `User-Agent` of every request.
    package static let userAgent = "vault-token-agent/\(version)"
}
