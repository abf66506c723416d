// AgentRuntime: what a person who logs in is told of the token.

package import Crypto

/// One token that `login` has put into its sinks.
package struct LoginSummary: Sendable {
    package let name: String
    package let token: Secret
    /// Empty for batch tokens.
    package let accessor: String
    package let policies: [String]
    package let metadata: [String: String]
    /// Nil: does not expire.
    package let leaseDuration: Duration?
    package let renewable: Bool
}
