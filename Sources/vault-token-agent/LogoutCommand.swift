// The command line: `logout`: no token any more: revoked at Vault, and taken out of the sinks.

private import AgentService
internal import ArgumentParser
internal import Configuration
private import Crypto
internal import Diagnosis
private import Glibc
internal import ServiceHealth
private import Timekeeping

struct LogoutCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout", abstract: "Revoke every token of the configuration and empty its sinks.",
        discussion: """
            A running agent is told to do it (SIGUSR2): it revokes its tokens, empties the sinks, and keeps none until it \
            is told to reload, or is started anew. It runs on meanwhile, alive and not ready. Sinks are emptied at once, \
            also while Vault is away; then the tokens live out their leases, which is said, and the exit status is that of \
            the failure.

            Where no agent runs, the tokens are read from the sinks' files, revoked, and the files removed. A file whose \
            token could not be revoked stays: nobody could revoke it without. Prints a line for each token.
            """)

    @OptionGroup var options: ConfigurationOptions

    @OptionGroup var agent: RunningAgent

    func run() throws {
        let loaded = try options.load()
        let outcomes: [LogoutOutcome]
        if let statusFile = loaded.configuration.health.statusFile, let before = Self.runningAgent(statusFile) {
            try Self.refuseAnother(before, loaded, statusFile)
            outcomes = try outcome(of: before, at: statusFile)
        } else {
            let log = LogOutput(loaded.configuration.health).logger(label: "vault-token-agent")
            outcomes = try AgentProcess.logOut(loaded, environment: processEnvironment, log: log)
        }
        for outcome in outcomes { output("\(outcome.token): \(outcome.words)\n") }
        if let status = outcomes.compactMap(\.failureStatus).first { throw ExitCode(status) }
    }

    /// Nil: none runs that anybody can tell.
    private static func runningAgent(_ statusFile: String) -> StatusDocument? {
        guard let reading = try? StatusReading(path: statusFile), reading.reasonsAgainstLiveness(at: wallTime).isEmpty
        else { return nil }
        return reading.document
    }

    /// The default of `status_file` depends on the unit, whose environment a shell does not have.
    private static func refuseAnother(
        _ agent: StatusDocument, _ loaded: LoadedConfiguration, _ statusFile: String
    ) throws(AgentError) {
        try CryptoLibrary.check()
        guard let running = agent.configuration, running.name != loaded.path,
            running.digest != loaded.digest.hexadecimal
        else { return }
        throw AgentError(
            .commandFailed, "the agent that writes \(statusFile) runs by \(running.name), not by \(loaded.path)",
            remedy: "Name the status_file of your agent in \(loaded.path)")
    }

    private func outcome(of before: StatusDocument, at path: String) throws(AgentError) -> [LogoutOutcome] {
        var pending: [String] = []
        let outcomes = try agent.outcome(of: SIGUSR2, before, at: path) { now -> [LogoutOutcome]? in
            guard let logout = now.lastLogout, logout.number > before.lastLogout?.number ?? 0 else { return nil }
            pending = logout.pending
            return pending.isEmpty ? logout.tokens.map { LogoutOutcome($0) } : nil
        }
        if let outcomes { return outcomes }
        let names = pending.isEmpty ? "" : ": \(pending.joined(separator: ", "))"
        throw AgentError(.commandFailed, "not done within \(agent.timeout.text)\(names)", remedy: "See the agent's log")
    }
}
