// AgentRuntime: a keeper's parts, made from its settings.

import AWSIdentity
import Configuration
import Crypto
import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

extension TokenKeeper {
    /// Makes the keeper of one token, and after it those of its children: one for each sink with policies of its own. Touches
    /// nothing outside the process. `serial` keeps the seeds of two tokens apart.
    static func make(
        _ settings: TokenSettings, in surroundings: AgentSurroundings, serial: UInt64
    ) throws(AgentError) -> [TokenKeeper] {
        var workshop = try Workshop(settings, surroundings, serial: serial)
        let parent = try workshop.keeper(
            settings.name, from: workshop.login, of: settings.sinks.filter(\.policies.isEmpty),
            takeovers: surroundings.takeovers)
        var keepers = [parent]
        for sink in settings.sinks where !sink.policies.isEmpty {
            let origin = ChildOrigin(
                of: parent, policies: sink.policies, vault: workshop.vault, metrics: surroundings.metrics,
                timekeeper: surroundings.loop)
            keepers.append(
                try workshop.keeper("\(settings.name)/\(keepers.count)", from: origin, of: [sink], takeovers: nil))
        }
        return keepers
    }

    /// What the keepers of one configured token share.
    private struct Workshop {
        let settings: TokenSettings
        let surroundings: AgentSurroundings
        let log: Logger
        let login: LoginOrigin
        let vault: VaultClient
        let onChange: (any ChangeListener)?
        var seeds: SeededGenerator

        init(_ settings: TokenSettings, _ surroundings: AgentSurroundings, serial: UInt64) throws(AgentError) {
            self.settings = settings
            self.surroundings = surroundings
            var log = surroundings.log
            log[metadataKey: "token"] = "\(settings.name)"
            self.log = log
            seeds = SeededGenerator(seed: surroundings.seed &+ serial &* 0x9E37_79B9_7F4A_7C15)
            (login, vault) = try LoginOrigin.make(
                settings, chain: surroundings.chains.chain(settings.aws, surroundings),
                stateDirectory: surroundings.stateDirectory, environment: surroundings.environment,
                transport: surroundings.transport, metrics: surroundings.metrics, timekeeper: surroundings.loop,
                log: log)
            onChange = settings.onChange.flatMap {
                surroundings.sinks.makeChangeListener(
                    $0, about: [ChangeVariable.name: settings.name], log: log)
            }
        }

        mutating func keeper(
            _ name: String, from origin: any TokenOrigin, of sinks: [SinkSettings], takeovers: (any TakeoverStore)?
        ) throws(AgentError) -> TokenKeeper {
            var log = log
            log[metadataKey: "token"] = "\(name)"
            var places: [SinkGroup.Place] = []
            for sink in sinks {
                let onChange = sink.onChange.flatMap {
                    surroundings.sinks.makeChangeListener(
                        $0, about: [ChangeVariable.name: settings.name, ChangeVariable.sink: sink.path], log: log)
                }
                places.append(
                    SinkGroup.Place(
                        sink: try surroundings.sinks.makeSink(sink, log: log), path: sink.path, wrapTTL: sink.wrapTTL,
                        onChange: onChange))
            }
            let group = SinkGroup(
                places, onChange: onChange, vault: vault, metrics: surroundings.metrics,
                timekeeper: surroundings.loop, seed: seeds.next(), log: log)
            return TokenKeeper(
                settings: settings, name: name, seed: seeds.next(), origin: origin, vault: vault, sinks: group,
                takeovers: takeovers, metrics: surroundings.metrics, timekeeper: surroundings.loop, log: log)
        }
    }
}

/// The variables by which a command of `on_change` knows what has changed.
private enum ChangeVariable {
    /// The token's name in the configuration.
    static let name = "VAULT_TOKEN_AGENT_NAME"
    /// The path of the sink, for an action of one sink.
    static let sink = "VAULT_TOKEN_AGENT_SINK"
}

extension SinkSettings {
    /// Where applications find it.
    var path: String {
        switch place {
        case .file(let file): file.path
        case .socket(let socket): socket.path
        }
    }
}

extension LoginOrigin {
    /// Where the tokens of these settings come from, and the server that they belong to.
    static func make(
        _ settings: TokenSettings, chain: CredentialChain, stateDirectory: String?, environment: [String: String],
        transport: any HTTPTransport, metrics: Metrics, timekeeper: any Timekeeper, log: Logger
    ) throws(AgentError) -> (LoginOrigin, VaultClient) {
        let vault = VaultClient(
            server: settings.vault, login: settings.login, transport: transport, timekeeper: timekeeper,
            environment: environment, log: log)
        let origin = try LoginOrigin(
            login: settings.login, tokenName: settings.name, stateDirectory: stateDirectory, chain: chain, vault: vault,
            metrics: metrics, timekeeper: timekeeper)
        return (origin, vault)
    }
}

extension TokenSettings {
    /// Tells this login from every other: a token of one is never taken for a token of another.
    var loginDigest: [UInt8] {
        let parts = [
            vault.addresses.joined(separator: " "), vault.namespace, login.namespace ?? "", login.mountPath,
            login.role ?? "", "\(login.method)", "\(aws.source.rawValue)", aws.profile ?? "", aws.region ?? "",
        ]
        return SHA256.digest(of: parts.map { "\($0.utf8.count):\($0)" }.joined())
    }
}
