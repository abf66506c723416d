// The command line: reads arguments, wires the rooms, turns failures into one line and an exit status.

private import AgentService
internal import ArgumentParser
private import Crypto
internal import Diagnosis
private import Glibc

@main
struct VaultTokenAgent: ParsableCommand {
    static let version = Product.version

    static let configuration = CommandConfiguration(
        commandName: "vault-token-agent",
        abstract: "Keeps Vault and OpenBao tokens fresh for the programs beside it, by AWS identity.",
        discussion: """
            Finds AWS credentials as the AWS CLI does, logs in to Vault by its aws auth method, writes the token to \
            files or sockets, renews it, and logs in anew before it can expire.

            With options and no command it runs as a service. To begin: write a configuration as in config.example.json, then
              vault-token-agent config check --config FILE    is it right?
              vault-token-agent doctor --config FILE          would it work on this machine?
              vault-token-agent --config FILE                 run

            EXIT STATUS
              0   done; a service that was told to stop
              1   healthcheck: not healthy; doctor: a check failed
              64  the command line is wrong
              66  a file that is named cannot be read
              69  AWS or Vault cannot be reached or cannot serve for now
              70  a fault of the agent, or a command of on_change failed
              73  a sink or the state directory cannot be written
              74  no space left for a sink, or for standard output
              75  told to wait and try again; the clock is wrong
              77  AWS or Vault refuses: credentials, role or policy
              78  the configuration cannot work
            Each failure has a code, which docs/troubleshooting.md explains.
            """,
        version: version,
        subcommands: [
            RunCommand.self, LoginCommand.self, CredentialsCommand.self, StatusCommand.self, HealthcheckCommand.self,
            ReloadCommand.self, WaitCommand.self, GetCommand.self, ExecCommand.self, LogoutCommand.self,
            InitCommand.self, DoctorCommand.self,
            ConfigCommand.self, CompletionCommand.self,
            VersionCommand.self,
        ],
        defaultSubcommand: RunCommand.self
    )

    static func main() {
        ProcessSignals.expect()
        do {
            try ProcessHardening.apply()
            let arguments = Array(CommandLine.arguments.dropFirst())
            if arguments.isEmpty { exit(withError: CleanExit.helpRequest(self)) }
            if let mistyped = MistypedCommand(arguments) { throw ValidationError("\(mistyped)") }
            var command = try parseAsRoot(arguments)
            if !(command is RunCommand) { ProcessSignals.letGoOfTheServices() }
            try command.run()
        } catch let error as AgentError {
            complain(error)
            endProcess(error.code.exitStatus)
        } catch {
            let (text, status) = (fullMessage(for: error), exitCode(for: error))
            if !text.isEmpty, status.isSuccess { output(text + "\n") }
            if !text.isEmpty, !status.isSuccess { writeToStandardError(printableLines(text)) }
            endProcess(status.rawValue)
        }
        endProcess(EXIT_SUCCESS)
    }

    /// A message of the argument parser's, which quotes arguments as they are.
    private static func printableLines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { printable($0, limit: .max) }
            .joined(separator: "\n")
    }

    /// One line to standard error: what was seen, what to do, and the code under which the guide explains it.
    static func complain(_ error: AgentError) {
        writeToStandardError("vault-token-agent: \(error) [\(error.code.rawValue)]")
    }
}
