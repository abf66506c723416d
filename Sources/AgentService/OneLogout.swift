// AgentService: `logout` where no agent runs: what an earlier one left in the sinks is revoked and taken away.

import AgentRuntime
package import Configuration
import Crypto
package import Diagnosis
import EventLoop
import FileSystem
package import Logging
package import ServiceHealth
import StateDirectory
import TokenSinks
import VaultAPI

/// What has become of one token.
package struct LogoutOutcome: Sendable {
    package let token: String
    /// `revoked, its sinks are empty`
    package let words: String
    /// Nil: it went well.
    package let failureStatus: Int32?

    package init(_ report: StatusDocument.Logout.Token) {
        token = report.token
        words =
            report.failure.map { "its sinks are empty, but it is not revoked: \(printable($0.observed, limit: 1_000))" }
            ?? Self.done
        failureStatus = report.failure.map {
            (AgentError.Code(rawValue: $0.code) ?? .internalFault).exitStatus
        }
    }

    fileprivate init(_ token: String, _ words: String, failure: AgentError? = nil) {
        self.token = token
        self.words = words
        failureStatus = failure?.code.exitStatus
    }

    fileprivate static let done = "revoked, its sinks are empty"
}

extension AgentProcess {
    /// Revokes what stands in the sinks' files and removes it. A file whose token could not be revoked stays, so that it can
    /// be tried again. Throws where an agent runs by this state directory or status file.
    package static func logOut(
        _ loaded: LoadedConfiguration, environment: [String: String], log: Logger
    ) throws(AgentError) -> [LogoutOutcome] {
        let configuration = loaded.configuration
        // Looked at only: a lock file of root's own would keep the agent's user from it.
        if let held = AgentLock.paths(configuration.stateDirectory, configuration.health.statusFile).first(where: {
            FileLock.isHeld(path: $0) == true
        }) {
            throw AgentError(
                .commandFailed, "an agent runs: it holds \(held)", remedy: "Give --pid, or stop it first")
        }
        return try onLoop { loop throws(AgentError) in
            let sinks = SinkFactory(loop: loop, log: log)
            let takeovers = configuration.stateDirectory.map {
                FileTakeoverStore(StateFiles(directory: $0, timekeeper: loop), log: log)
            }
            var outcomes: [LogoutOutcome] = []
            for settings in configuration.tokens {
                let vault = try makeLogin(
                    settings, stateDirectory: configuration.stateDirectory, environment, loop, log
                ).vault
                let outcome = await empty(settings, sinks, vault, log)
                if outcome.failureStatus == nil { await takeovers?.keep(nil, for: settings.name) }
                outcomes.append(outcome)
            }
            return outcomes
        }
    }

    private static func empty(
        _ settings: TokenSettings, _ factory: SinkFactory, _ vault: VaultClient, _ log: Logger
    ) async -> LogoutOutcome {
        var failure: AgentError?
        var isRevoked = false
        for each in settings.sinks {
            do throws(AgentError) {
                let sink = try factory.makeSink(each, log: log)
                if let token = await sink.heldToken() {
                    do throws(AgentError) {
                        try await vault.revokeSelf(token, within: settings.vault.requestTimeout)
                    } catch  where error.code == .tokenDead {
                        // Gone already: with its parent, or by somebody else.
                    }
                    isRevoked = true
                }
                try await sink.withdraw()
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { return LogoutOutcome(settings.name, "not done: \(failure)", failure: failure) }
        return LogoutOutcome(
            settings.name,
            isRevoked ? LogoutOutcome.done : "its sinks are empty, and held nothing that could be revoked")
    }
}
