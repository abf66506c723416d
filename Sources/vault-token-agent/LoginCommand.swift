// The command line: `login`: the tokens once, for init containers and for people who want to see it work.

private import AgentRuntime
private import AgentService
internal import ArgumentParser
private import Configuration
private import Crypto
private import Diagnosis
private import Logging
private import ServiceHealth
private import Timekeeping
private import VaultAPI

struct LoginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login", abstract: "Put every token into its sinks once, say what it is, and exit.",
        discussion: """
            For init containers and one-off jobs. A token of an earlier run that is still good is taken over. What \
            may pass (Vault sealed, no connection) is tried again until the time-out; what will not (a wrong role, \
            no credentials) ends the command at once. The token itself is printed only with --print-token.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Option(
        help: ArgumentHelp("How long to keep trying: 30s, 5m.", valueName: "duration"),
        transform: positiveDuration)
    var timeout: Duration = .seconds(60)

    @Flag(help: "Print the tokens too. Whoever sees the output can use them.")
    var printToken = false

    @Flag(
        help: ArgumentHelp(
            "Print the request that an iam login would make, as `vault write MOUNT/login` takes it, and log in nowhere.",
            discussion: "For debugging the exchange by hand. Whoever sees the output can log in with it for 15 minutes."
        ))
    var printRequest = false

    @Option(help: ArgumentHelp("With --print-request: the token whose login it is.", valueName: "name"))
    var token: String?

    func validate() throws {
        if token != nil, !printRequest { throw ValidationError("--token goes with --print-request.") }
        if printRequest, printToken { throw ValidationError("--print-request makes no token to print.") }
    }

    func run() throws {
        let loaded = try options.load()
        let log = LogOutput(loaded.configuration.health).logger(label: "vault-token-agent")
        for warning in loaded.warnings { writeToStandardError("warning: \(warning)") }
        if printRequest {
            output(try parameters(loaded, log))
            return
        }
        let summaries = try AgentProcess.logIn(
            loaded, environment: processEnvironment, version: VaultTokenAgent.version, timeout: timeout, log: log)
        let tables = summaries.map { summary in
            (summaries.count > 1 ? "\(summary.name):\n" : "") + table(summary)
        }
        output(tables.joined(separator: "\n"))
    }

    /// A line for each parameter.
    private func parameters(_ loaded: LoadedConfiguration, _ log: Logger) throws -> String {
        let tokens = loaded.configuration.tokens.filter { token == nil || $0.name == token }
        guard let settings = tokens.first, tokens.count == 1 else {
            throw ValidationError(
                token.map { "The configuration has no token \"\($0)\"." }
                    ?? "The configuration has \(tokens.count) tokens: name one by --token NAME.")
        }
        let parameters = try AgentProcess.loginParameters(
            settings, stateDirectory: loaded.configuration.stateDirectory, environment: processEnvironment, log: log)
        writeToStandardError(
            "secret: whoever has these values can log in with them for 15 minutes. To do so: "
                + "vault write \(settings.login.mountPath)/login NAME=VALUE…")
        return parameters.map { "\($0.name)=\($0.value.text)\n" }.joined()
    }

    /// The rows that `vault login` prints.
    private func table(_ summary: LoginSummary) -> String {
        var rows: [(String, String)] = [
            ("Key", "Value"), ("---", "-----"),
            ("token", printToken ? summary.token.text : "(in its sinks; --print-token shows it)"),
            ("token_accessor", summary.accessor.isEmpty ? "n/a" : summary.accessor),
            ("token_duration", summary.leaseDuration?.text ?? "∞"),
            ("token_renewable", summary.renewable ? "true" : "false"),
            ("token_policies", "[" + summary.policies.map { "\"\($0)\"" }.joined(separator: " ") + "]"),
        ]
        rows += summary.metadata.sorted { $0.key < $1.key }.map { ("token_meta_\($0.key)", $0.value) }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { key, value in
            key + String(repeating: " ", count: width - key.count + 4) + value + "\n"
        }.joined()
    }
}
