// AgentRuntime: whether the machine's AWS credentials are still those of the principals that the tokens were logged in for.

import AWSIdentity
import Diagnosis
import Timekeeping
import TokenLifecycle

extension Agent {
    /// After a start, so that a token of an earlier run has been looked up.
    private static let firstLook: Duration = .seconds(5)
    /// Between two looks. Credentials at hand are looked at; their source is asked no more often than their life asks for.
    private static let betweenLooks: Duration = .seconds(300)
    /// The same where new credentials of the same principal count too. Vault Agent's default `credential_poll_interval`.
    private static let betweenLooksForNewCredentials: Duration = .seconds(60)

    /// Looks from now on.
    func watchIdentities() {
        planLook(in: Self.firstLook)
    }

    private func planLook(in pause: Duration) {
        _ = loop.schedule(at: loop.now + pause) { [weak self] in
            self?.assumeIsolated { agent in
                let loop = agent.loop
                Task(executorPreference: loop) { [weak agent] in await agent?.lookAtIdentities() }
            }
        }
    }

    private func lookAtIdentities() async {
        guard !isStopping else { return }
        var found: [ObjectIdentifier: Result<AWSCredentials, AgentError>] = [:]
        for (id, keeper) in keepersOnDuty {
            guard let (origin, bound) = keeper.boundLogin, let source = origin.identitySource else { continue }
            let credentials: Result<AWSCredentials, AgentError>
            if let known = found[source] {
                credentials = known
            } else {
                do throws(AgentError) {
                    credentials = .success(try await origin.credentials())
                } catch {
                    // Whose they would be is not known; the tokens go on.
                    credentials = .failure(error)
                }
                found[source] = credentials
            }
            guard case .success(let credentials) = credentials else { continue }
            if await origin.mustLogIn(by: credentials, insteadOf: bound) { logInAnew(id) }
        }
        let isHurried = keepersOnDuty.contains { $1.boundLogin?.0.reauthenticatesOnNewCredentials == true }
        planLook(in: isHurried ? Self.betweenLooksForNewCredentials : Self.betweenLooks)
    }
}

extension TokenKeeper {
    /// The login of the newest token, and whose that is; nil where there is none, or nobody knows.
    fileprivate var boundLogin: (LoginOrigin, Principal)? {
        guard let token = lifecycle.current().flatMap({ held[$0] }), let bound = token.identity else { return nil }
        return (token.login.origin, bound)
    }
}
