// The command line, Vault: is its name known, does it take connections, is its certificate good, does it serve?

private import AgentService
internal import Configuration
internal import Diagnosis
private import EventLoop
private import HTTPClient
internal import Logging
private import Timekeeping
private import VaultAPI

enum VaultChecks {
    /// A certificate that ends sooner is worth a warning.
    private static let shortCertificate: Duration = .seconds(14 * 86_400)

    /// One round for each server that the tokens have, one step for each of its addresses.
    static func findings(
        _ tokens: [TokenSettings], environment: [String: String], log: Logger
    ) throws(AgentError) -> [Finding] {
        var findings: [Finding] = []
        var seen: Set<VaultServer> = []
        for token in tokens where seen.insert(token.vault).inserted {
            for address in token.vault.addresses {
                let proxy = token.vault.proxy(for: address, in: environment)
                if proxy == .direct, let host = HostAndPort(address) {
                    let (found, reached) = NetworkProbe.findings(host, limit: token.vault.connectTimeout)
                    findings += found
                    // What follows would say the same in other words.
                    if !reached { continue }
                }
                findings += try server(token, address, environment, log: log)
            }
        }
        return findings
    }

    private static func server(
        _ token: TokenSettings, _ address: String, _ environment: [String: String], log: Logger
    ) throws(AgentError) -> [Finding] {
        try AgentProcess.onLoop { loop throws(AgentError) in
            let transport = CurlTransport(loop: loop, log: log)
            let vault = VaultClient(
                server: token.vault, login: token.login, transport: transport, timekeeper: loop,
                environment: environment, log: log)
            let health: ServerHealth
            do throws(AgentError) {
                health = try await vault.health(of: address, within: token.vault.requestTimeout)
            } catch {
                return [.failed(error.code == .vaultTLS ? "TLS" : "Vault", error)]
            }
            var findings: [Finding] = []
            if address.hasPrefix("https://") {
                findings.append(certificate(health, address, skipped: token.vault.tls.skipVerify, at: loop.wallTime))
            }
            findings.append(state(health, address))
            return findings
        }
    }

    private static func certificate(
        _ health: ServerHealth, _ address: String, skipped: Bool, at now: WallTime
    ) -> Finding {
        guard let certificate = health.certificate else {
            return skipped ? .warning("TLS", "\(address): certificate not looked at") : .ok("TLS", address)
        }
        let facts = "\(address): for \(certificate.names), by \(certificate.issuer)"
        guard let end = certificate.notAfter else { return .ok("TLS", facts) }
        let left = end - now
        let words = "\(facts), until \(end.rfc3339)"
        return left < shortCertificate
            ? .warning("TLS", "\(words), which is in \(left.text): have it renewed") : .ok("TLS", words)
    }

    private static func state(_ health: ServerHealth, _ address: String) -> Finding {
        let version = health.version.isEmpty ? "" : ", version \(health.version)"
        if !health.initialized {
            return .failed(
                "Vault",
                AgentError(.vaultUnavailable, "\(address) is not initialised", remedy: "vault operator init"))
        }
        if health.sealed {
            return .failed(
                "Vault", AgentError(.vaultUnavailable, "\(address) is sealed", remedy: "vault operator unseal"))
        }
        return .ok("Vault", "\(address): \(health.standby ? "standby" : "active")\(version)")
    }
}
