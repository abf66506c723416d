// Configuration: the configuration file, the environment and the flags become checked values; nothing else reads them.

package import AWSIdentity
package import Diagnosis
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
    /// Directories, absolute, below which alone the process may write; empty: anywhere.
    package var confineTo: [String] = []
    /// Paths of what else the agent reads or writes, as the configuration calls it, that end in a sink's last name: by a linked
    /// directory they may be that sink.
    package var namesakes: [String: String] = [:]

    package init(tokens: [TokenSettings], health: HealthSettings = HealthSettings(), stateDirectory: String? = nil) {
        self.tokens = tokens
        self.health = health
        self.stateDirectory = stateDirectory
    }
}

extension AgentConfiguration {
    /// The first path that the agent writes to and that is not below one of the directories.
    package func firstWrite(outside directories: [String]) -> String? {
        if let stateDirectory, !Self.mayWrite(in: stateDirectory, directories) { return stateDirectory }
        let listeners = [health.metricsListen, health.probesListen].compactMap { $0.flatMap(Self.socketPath) }
        let files = [health.statusFile, health.metricsTextfile].compactMap(\.self) + listeners
        return (files + tokens.flatMap(\.sinks).map(\.path)).first { !Self.mayWrite($0, directories) }
    }

    /// Throws `configurationInvalid` where a process that can write nowhere but below the directories cannot put it in force.
    package func requireWrites(only directories: [String]) throws(AgentError) {
        guard let path = firstWrite(outside: directories) else { return }
        throw AgentError(
            .configurationInvalid,
            "\(path) is outside of what this process has confined itself to (\(directories.joined(separator: ", ")))",
            remedy: "Restart the agent: what it gave up at its start only another process has")
    }

    /// Whether a file is below one of the directories, by their names alone: links are the kernel's to follow.
    static func mayWrite(_ file: String, _ directories: [String]) -> Bool {
        directories.contains { file.hasPrefix($0 + "/") }
    }

    /// The same for whatever is in a directory.
    static func mayWrite(in directory: String, _ directories: [String]) -> Bool {
        mayWrite(directory + "/", directories)
    }

    /// Of a listening address in the file system.
    static func socketPath(_ address: String) -> String? {
        address.hasPrefix("unix://") ? String(address.dropFirst("unix://".count)) : nil
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

    /// The namespace that readers of the token work in: `vault.namespace`, where that is the token's own or one below it; else
    /// the token's own, for in no other does it count. Empty for the root namespace.
    package var readersNamespace: String {
        guard let own = login.namespace, !own.isEmpty else { return vault.namespace }
        return "\(vault.namespace)/".hasPrefix("\(own)/") ? vault.namespace : own
    }
}
