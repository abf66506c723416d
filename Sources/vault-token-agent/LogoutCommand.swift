// The command line: `logout`: no token any more: revoked at Vault, and taken out of the sinks.

private import AgentService
internal import ArgumentParser
internal import Configuration
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

    @Option(
        help: ArgumentHelp("The agent's process, where its status file tells another namespace's.", valueName: "pid"))
    var pid: Int32?

    @Option(
        help: ArgumentHelp("How long to wait for a running agent: 30s, 2m.", valueName: "duration"),
        transform: { text in
            guard let duration = Duration(text: text), duration > .zero else {
                throw ValidationError("\"\(text)\" is no duration such as 30s or 2m.")
            }
            return duration
        })
    var timeout: Duration = .seconds(90)

    func run() throws {
        let loaded = try options.load()
        let outcomes: [LogoutOutcome]
        if let statusFile = loaded.configuration.health.statusFile, let before = Self.runningAgent(statusFile) {
            try RunningAgent.signal(pid ?? Int32(clamping: before.pid), SIGUSR2)
            outcomes = try outcome(after: before, at: statusFile)
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

    private func outcome(after before: StatusDocument, at path: String) throws(AgentError) -> [LogoutOutcome] {
        let deadline = wallTime + timeout
        var latest: StatusDocument.Logout?
        while wallTime < deadline {
            usleep(50_000)
            guard let now = try? StatusReading(path: path) else { continue }
            if now.document.pid != before.pid || now.document.startedAt != before.startedAt || now.isHeld == false {
                throw AgentError(.commandFailed, "the agent ended meanwhile", remedy: "Do it again")
            }
            guard let logout = now.document.lastLogout, logout.number > before.lastLogout?.number ?? 0 else { continue }
            if logout.pending.isEmpty { return logout.tokens.map { LogoutOutcome($0) } }
            latest = logout
        }
        let pending = latest.map { ": \($0.pending.joined(separator: ", "))" } ?? ""
        throw AgentError(.commandFailed, "not done within \(timeout.text)\(pending)", remedy: "See the agent's log")
    }
}
