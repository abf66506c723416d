// AgentRuntime: the server and the login that a token's settings name. A reload that changes them makes another.

package import AWSIdentity
package import Configuration
import Crypto
package import Diagnosis
package import HTTPClient
package import Logging
package import ServiceHealth
import StateDirectory
package import Timekeeping
package import VaultAPI

/// Where tokens come from, and the server that they belong to. All tokens of one login share it.
package final class LoginPoint {
    package let origin: LoginOrigin
    package let vault: VaultClient
    /// Tells this login from every other: a token of one is never taken for a token of another.
    let digest: [UInt8]
    /// The same, told by every setting of it: where that differs, a reload has the agent log in anew.
    let identity: LoginIdentity
    /// For those who read a sink.
    let address: String
    let namespace: String

    /// Throws `configurationInvalid` for an ec2 login that has no place for its nonce.
    package init(
        _ settings: TokenSettings, chain: CredentialChain, stateDirectory: String?, regions: any RegionMemory,
        servers: VaultServers = VaultServers(), environment: [String: String], transport: any HTTPTransport,
        metrics: Metrics, timekeeper: any Timekeeper, log: Logger
    ) throws(AgentError) {
        vault = VaultClient(
            server: settings.vault, login: settings.login, servers: servers, transport: transport,
            timekeeper: timekeeper, environment: environment, log: log)
        origin = try LoginOrigin(
            settings, stateDirectory: stateDirectory, chain: chain, vault: vault, regions: regions, metrics: metrics,
            timekeeper: timekeeper, log: log)
        digest = settings.loginDigest
        identity = LoginIdentity(settings)
        (address, namespace) = (settings.vault.addresses[0], settings.readersNamespace)
    }

    convenience init(_ settings: TokenSettings, in surroundings: AgentSurroundings, log: Logger) throws(AgentError) {
        try self.init(
            settings, chain: surroundings.chains.chain(settings.aws, surroundings),
            stateDirectory: surroundings.stateDirectory, regions: surroundings.regions, servers: surroundings.servers,
            environment: surroundings.environment, transport: surroundings.transport, metrics: surroundings.metrics,
            timekeeper: surroundings.loop, log: log)
    }

    /// The same for a child with these policies; nil: the login's own.
    func digest(ofChild policies: [String]?) -> [UInt8] {
        guard let policies else { return digest }
        return SHA256.digest(of: digest.map { "\($0) " }.joined() + policies.sorted().joined(separator: "\n"))
    }
}

extension TokenSettings {
    /// The signatures of one login, as the agent would begin them now; `chain` is that of ``aws``.
    package func loginCourse(by chain: CredentialChain, stateDirectory: String?, log: Logger) -> LoginCourse {
        let regions: any RegionMemory =
            stateDirectory.map {
                FileRegionMemory(StateFiles(directory: $0, timekeeper: chain.surroundings.timekeeper), log: log)
            } ?? PassingRegionMemory()
        return chain.beginLogin(for: audience, at: mountDigest, regions: regions)
    }

    fileprivate var loginDigest: [UInt8] {
        let parts = [
            vault.addresses.joined(separator: " "), vault.namespace, login.namespace ?? "", login.mountPath,
            login.role ?? "", "\(login.method)", "\(aws.source.rawValue)", aws.profile ?? "", audience.region ?? "",
        ]
        return SHA256.digest(of: parts.map { "\($0.utf8.count):\($0)" }.joined())
    }

    /// Tells one Vault's mount from another; 16 hexadecimal digits.
    var mountDigest: String {
        let parts = [vault.addresses.joined(separator: " "), login.namespace ?? vault.namespace, login.mountPath]
        let digest = SHA256.digest(of: parts.map { "\($0.utf8.count):\($0)" }.joined())
        return Array(digest.prefix(8)).hexadecimal
    }
}
