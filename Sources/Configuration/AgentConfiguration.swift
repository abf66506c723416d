// Configuration: the configuration file, the environment and the flags become checked values; nothing else reads them.

package import AWSIdentity
package import ServiceHealth
package import TokenLifecycle
package import TokenSinks
package import VaultAPI

/// All that the agent is told to do.
package struct AgentConfiguration: Hashable, Sendable {
    /// At least one; names are unique.
    package var tokens: [TokenSettings]
    package var health: HealthSettings
    /// Absolute; holds nonces and what a restart needs to take a token over. Nil: nothing is kept.
    package var stateDirectory: String?
    /// Read the file anew when it holds something else.
    package var reloadOnChange = false

    package init(tokens: [TokenSettings], health: HealthSettings = HealthSettings(), stateDirectory: String? = nil) {
        self.tokens = tokens
        self.health = health
        self.stateDirectory = stateDirectory
    }
}

/// One token: from where, by which login, on what terms, to which sinks.
package struct TokenSettings: Hashable, Sendable {
    /// 1 to 64 of `a-z A-Z 0-9 . _ -`.
    package var name: String
    package var vault: VaultServer
    package var login: LoginSettings
    package var aws: AWSSettings
    /// For whose ears an iam login is signed.
    package var audience = LoginAudience()
    package var identity = IdentityPolicy()
    package var policy: LifecyclePolicy
    /// At least one.
    package var sinks: [SinkSettings]
    package var onChange: ChangeAction?

    package init(
        name: String, vault: VaultServer, login: LoginSettings, aws: AWSSettings = AWSSettings(),
        policy: LifecyclePolicy = LifecyclePolicy(), sinks: [SinkSettings], onChange: ChangeAction? = nil
    ) {
        self.name = name
        self.vault = vault
        self.login = login
        self.aws = aws
        self.policy = policy
        self.sinks = sinks
        self.onChange = onChange
    }
}
