// AgentRuntime: where a token comes from.

import Diagnosis
import Logging
import VaultAPI

/// Makes the tokens of one keeper.
protocol TokenOrigin: AnyObject {
    /// What the log says of a token made, and of one that could not be.
    var words: (made: Logger.Message, failed: Logger.Message) { get }

    /// Sees to what must be safe before the first token is asked for. Throws what makes the start impossible.
    func prepare() async throws(AgentError)

    /// A new token. `withNewCredentials`: those that are cached were refused. `limit` is for Vault's part; AWS has its own.
    func obtain(withNewCredentials: Bool, within limit: Duration) async throws(AgentError) -> TokenGrant
}
