// AgentRuntime: a keeper's parts, made from its settings.

import AWSIdentity
import Configuration
import Crypto
import Diagnosis
import HTTPClient
import Logging
import ServiceHealth
import TokenSinks
import VaultAPI

extension TokenKeeper {
    /// Makes the keeper of one token; touches nothing outside the process. `serial` keeps the seeds of two keepers apart.
    convenience init(
        _ settings: TokenSettings, in surroundings: AgentSurroundings, serial: UInt64
    ) throws(AgentError) {
        var log = surroundings.log
        log[metadataKey: "token"] = "\(settings.name)"
        let seed = surroundings.seed &+ serial &* 0x9E37_79B9_7F4A_7C15
        let (origin, vault) = try LoginOrigin.make(
            settings, stateDirectory: surroundings.stateDirectory,
            in: AWSSurroundings(
                environment: surroundings.environment, transport: surroundings.transport,
                timekeeper: surroundings.loop, log: log, processes: surroundings.processes, jitterSeed: seed,
                files: surroundings.files),
            metrics: surroundings.metrics)
        var sinks: [any TokenSink] = []
        for sink in settings.sinks {
            sinks.append(try surroundings.sinks.makeSink(sink, log: log))
        }
        self.init(
            settings: settings, seed: seed, origin: origin, vault: vault,
            sinks: SinkGroup(sinks: sinks, log: log), takeovers: surroundings.takeovers,
            metrics: surroundings.metrics, timekeeper: surroundings.loop, log: log)
    }
}

extension LoginOrigin {
    /// Where the tokens of these settings come from, and the server that they belong to.
    static func make(
        _ settings: TokenSettings, stateDirectory: String?, in surroundings: AWSSurroundings, metrics: Metrics
    ) throws(AgentError) -> (LoginOrigin, VaultClient) {
        // Addresses of one cluster have one scheme in practice; sockets use no proxy.
        let proxy = HTTPRoute.Proxy.fromEnvironment(
            surroundings.environment, for: settings.vault.addresses.first ?? "")
        let vault = VaultClient(
            server: settings.vault, login: settings.login, transport: surroundings.transport,
            timekeeper: surroundings.timekeeper, environmentProxy: proxy, log: surroundings.log)
        let chain = CredentialChain(settings: settings.aws, surroundings: surroundings)
        let origin = try LoginOrigin(
            login: settings.login, tokenName: settings.name, stateDirectory: stateDirectory, chain: chain, vault: vault,
            metrics: metrics, timekeeper: surroundings.timekeeper)
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
