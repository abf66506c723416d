// AgentService: a login to see whether it works: as the service makes it, and revoked again.

import AWSIdentity
import AgentRuntime
import ChildProcess
package import Configuration
package import Crypto
package import Diagnosis
import EventLoop
import HTTPClient
package import Logging
import ServiceHealth
import StateDirectory
import VaultAPI

/// What a login gave that was made to be tried only.
package struct LoginTrial: Sendable {
    package let policies: [String]
    /// Nil: does not expire.
    package let leaseDuration: Duration?
    package let renewable: Bool
    /// The regions that it was signed for, in order; the last is the one that was taken.
    package let regions: [String]
    /// Why the token lives on; nil: it is revoked.
    package let revocationFailure: AgentError?
}

extension AgentProcess {
    /// Longest wait for Vault's part of it.
    private static let trialLimit: Duration = .seconds(30)

    /// Logs in once for one token and revokes what it got. Touches no sink and no state: not for an `ec2`
    /// login, whose first nonce binds the instance.
    package static func tryLogin(
        _ settings: TokenSettings, environment: [String: String], log: Logger
    ) throws(AgentError) -> LoginTrial {
        try onLoop { loop throws(AgentError) in
            let login = try makeLogin(settings, stateDirectory: nil, environment, loop, log)
            let grant = try await login.origin.obtainByAnySignature(within: trialLimit)
            let (vault, regions) = (login.vault, login.origin.regionsTried)
            var failure: AgentError?
            if grant.kind == .batch {
                failure = AgentError(.tokenNotRenewable, "batch tokens cannot be revoked")
            } else {
                // In a task of its own, which a stop does not cancel: a token of a trial is not to outlive it.
                failure = await Task(executorPreference: loop) { () -> AgentError? in
                    do throws(AgentError) {
                        try await vault.revokeSelf(grant.token, within: trialLimit)
                        return nil
                    } catch {
                        return error
                    }
                }.value
            }
            return LoginTrial(
                policies: grant.policies, leaseDuration: grant.leaseDuration, renewable: grant.renewable,
                regions: regions, revocationFailure: failure)
        }
    }

    /// The parameters of the request that a login would make, for people who make it by hand: secrets. Asks AWS as far as the
    /// credentials need it, and Vault nothing. Throws `configurationInvalid` for an `ec2` login.
    package static func loginParameters(
        _ settings: TokenSettings, stateDirectory: String?, environment: [String: String], log: Logger
    ) throws(AgentError) -> [(name: String, value: Secret)] {
        try onLoop { loop throws(AgentError) in
            let login = try makeLogin(settings, stateDirectory: stateDirectory, environment, loop, log)
            return try await login.origin.firstProof().parameters(role: settings.login.role)
        }
    }

    static func makeLogin(
        _ settings: TokenSettings, stateDirectory: String?, _ environment: [String: String], _ loop: EventLoop,
        _ log: Logger
    ) throws(AgentError) -> LoginPoint {
        let transport = CurlTransport(loop: loop, log: log)
        let chain = CredentialChain(
            settings: settings.aws,
            surroundings: AWSSurroundings(
                environment: environment, transport: transport, timekeeper: loop, log: log,
                processes: ChildLauncher(loop: loop)))
        let regions: any RegionMemory =
            stateDirectory.map { FileRegionMemory(StateFiles(directory: $0, timekeeper: loop), log: log) }
            ?? PassingRegionMemory()
        return try LoginPoint(
            settings, chain: chain, stateDirectory: nil, regions: regions, environment: environment,
            transport: transport, metrics: Metrics(), timekeeper: loop, log: log)
    }
}
