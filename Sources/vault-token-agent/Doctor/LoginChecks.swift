// The command line, `doctor`: a login for each token, as the agent would make it, and its revocation.

private import AgentService
internal import Configuration
private import Diagnosis
internal import Logging
private import Timekeeping
private import VaultAPI

enum LoginChecks {
    static func findings(
        _ configuration: AgentConfiguration, environment: [String: String], log: Logger
    ) -> [Finding] {
        configuration.tokens.flatMap { token -> [Finding] in
            let subject = "login"
            if case .ec2 = token.login.method {
                // Vault ties the instance to the first nonce it sees; another user's doctor must not choose it.
                return [.skipped(subject, "\(token.name): an ec2 login binds this instance's nonce")]
            }
            do throws(AgentError) {
                let trial = try AgentProcess.tryLogin(token, environment: environment, log: log)
                let lease = trial.leaseDuration.map { "a lease of \($0.text)" } ?? "no end"
                let policies = trial.policies.joined(separator: ", ")
                var findings: [Finding] = [
                    .ok(
                        subject,
                        "\(token.name): \(lease), \(trial.renewable ? "" : "not ")renewable, policies \(policies)")
                ]
                if let taken = trial.regions.last, trial.regions.count > 1 {
                    let refused = trial.regions.dropLast().joined(separator: ", ")
                    findings.append(
                        .warning(
                            "audience",
                            "\(token.name): Vault's STS takes \(taken), not \(refused). Set auth.region to it, or keep a "
                                + "state_directory, in which the agent remembers it"))
                }
                if let error = trial.revocationFailure {
                    findings.append(
                        .warning(subject, "\(token.name): the token lives on until its lease ends: \(error)"))
                }
                return findings
            } catch {
                return [.failed(subject, error)]
            }
        }
    }
}
