// The command line: `config import`: a configuration of Vault Agent or OpenBao Agent becomes one of this agent.

internal import ArgumentParser
private import Configuration
private import ConfigurationImport
private import Diagnosis
private import SecretJSON

extension ConfigCommand {
    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import",
            abstract: "Turn a configuration of Vault Agent or OpenBao Agent into one of this agent.",
            discussion: """
                Reads HCL or JSON and prints the same in this agent's terms: vault, auto_auth by the method aws with its \
                sinks, the log, and the path of cache.persist. To standard error goes a line for each key that was left \
                out or reads otherwise, with its place and why. Keys and nonces are not copied. The result is checked; \
                with a mistake in it the exit status is 78.
                """)

        @Argument(help: ArgumentHelp("The other agent's configuration; - for standard input.", valueName: "file"))
        var file: String

        @Flag(name: .shortAndLong, help: "Print the result only, not what was left out.")
        var quiet = false

        func run() throws {
            let source = ConfigurationSource(option: file, environment: [:])
            let imported = try ImportedConfiguration(source.read(environment: [:]))
            let result = imported.document.laidOut
            output(result)
            if !quiet {
                for remark in imported.remarks { writeToStandardError(remark) }
            }
            let mistakes = Self.mistakes(in: result)
            for mistake in mistakes { VaultTokenAgent.complain(mistake) }
            if !mistakes.isEmpty { throw ExitCode(AgentError.Code.configurationInvalid.exitStatus) }
        }

        /// What `config check` would say of the result, flags and variables that may stand above it aside.
        private static func mistakes(in text: String) -> [AgentError] {
            let source = SourceText(path: "the result", bytes: Array(text.utf8))
            var environment = processEnvironment
            // Where the other agent took its address from the environment, so will this one; the unit has a state directory.
            environment["VAULT_ADDR"] = environment["VAULT_ADDR"] ?? "https://vault.example.com:8200"
            environment["STATE_DIRECTORY"] = environment["STATE_DIRECTORY"] ?? "/var/lib/vault-token-agent"
            return switch ConfigurationLoader.examine(source, environment: environment) {
            case .usable: []
            case .unusable(let errors): errors
            }
        }
    }
}
