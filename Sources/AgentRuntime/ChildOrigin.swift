// AgentRuntime: a token that is made from another one: with fewer policies, and an end no later than its parent's.

import Crypto
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import VaultAPI

/// Has Vault make children of the token that another keeper holds.
final class ChildOrigin: TokenOrigin {
    private let parent: TokenKeeper
    private let policies: [String]
    private let vault: VaultClient
    private let metrics: Metrics
    private let timekeeper: any Timekeeper
    /// The parent's token that the newest child was made from.
    private var lineage: TokenID?

    init(
        of parent: TokenKeeper, policies: [String], vault: VaultClient, metrics: Metrics, timekeeper: any Timekeeper
    ) {
        self.parent = parent
        self.policies = policies
        self.vault = vault
        self.metrics = metrics
        self.timekeeper = timekeeper
    }

    var words: (made: Logger.Message, failed: Logger.Message) { ("Child token made", "Child token could not be made") }

    /// Whether the parent holds a token that the newest child does not come from.
    var isOutdated: Bool {
        guard let current = parent.currentToken else { return false }
        return current.id != lineage
    }

    func prepare() async throws(AgentError) {}

    func obtain(withNewCredentials: Bool, within limit: Duration) async throws(AgentError) -> TokenGrant {
        guard let current = parent.currentToken else {
            throw AgentError(
                .tokenDead, "\(parent.name) holds no valid token to make a child of",
                remedy: "See what its own line in the status says")
        }
        let grant = try await metrics.observing(.createChild, by: timekeeper) { () throws(AgentError) in
            try await vault.createChild(
                of: current.token.token, policies: policies, ttl: current.token.leaseDuration, within: limit)
        }
        lineage = current.id
        return grant
    }
}
