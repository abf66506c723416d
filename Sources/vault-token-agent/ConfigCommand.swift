// The command line: `config`: is the file right, what holds, and what may stand in it.

internal import ArgumentParser
private import Configuration
private import Diagnosis
private import VaultAPI

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Check the configuration; import another agent's; describe what may stand in it.",
        subcommands: [Check.self, Import.self, Schema.self, Reference.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Check the file, and print each value that holds and where it came from.",
            discussion: """
                Prints a line for each value: the key, the value, and whether a flag, the environment, the file or a \
                default gave it. Warnings and mistakes go to standard error, a line each; with a mistake the exit \
                status is 78, and 66 where a file that it names (a CA, a client's certificate and key, a nonce) is not \
                there. Nobody is asked anything: whether things work on this machine is what doctor finds out.
                """)

        @OptionGroup var options: ConfigurationOptions

        @Flag(name: .shortAndLong, help: "Print warnings and mistakes only.")
        var quiet = false

        @Flag(help: "Do not look for the files that it names: for a check on another machine.")
        var noFiles = false

        func run() throws {
            let source = try options.source.read(environment: processEnvironment)
            let loaded: LoadedConfiguration
            let effective: () -> [EffectiveValue]
            switch ConfigurationLoader.examine(
                source, environment: processEnvironment, overrides: options.overrides)
            {
            case .usable(let usable, let values): (loaded, effective) = (usable, values)
            case .unusable(let errors):
                for error in errors { VaultTokenAgent.complain(error) }
                throw ExitCode(AgentError.Code.configurationInvalid.exitStatus)
            }
            for warning in loaded.warnings { writeToStandardError("warning: \(warning)") }
            let unreadable = noFiles ? [] : FileChecks.unreadable(loaded.configuration)
            for (error, isDenied) in unreadable {
                if isDenied { writeToStandardError("warning: \(error)") } else { VaultTokenAgent.complain(error) }
            }
            if !quiet { output(Self.table(effective()) + "\n") }
            guard unreadable.allSatisfy(\.isDenied) else {
                throw ExitCode(AgentError.Code.fileUnreadable.exitStatus)
            }
            guard !quiet else { return }
            let count = loaded.configuration.tokens.count
            output("\n\(source.path): \(count) \(count == 1 ? "token" : "tokens"), no mistake\n")
            let provesPrincipal = loaded.configuration.tokens.contains { token in
                if case .iam = token.login.method { true } else { false }
            }
            if provesPrincipal { output(Self.vaultsSide) }
        }

        private static let vaultsSide = """

            On Vault's side, besides mount and role: Vault's own AWS identity needs iam:GetRole and iam:GetUser, to resolve \
            the ARN that the role is bound to; or the role is written with resolve_aws_unique_ids=false.

            """

        private static func table(_ values: [EffectiveValue]) -> String {
            let pathWidth = values.map(\.path.count).max() ?? 0
            // One long value must not push the last column out of sight.
            let valueWidth = min(48, values.map(\.value.count).max() ?? 0)
            return values.map { value in
                let path = value.path + String(repeating: " ", count: pathWidth - value.path.count)
                let text = value.value + String(repeating: " ", count: max(0, valueWidth - value.value.count))
                return "\(path)  \(text)  \(value.origin)"
            }.joined(separator: "\n")
        }
    }

    struct Schema: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "schema",
            abstract: "Print the JSON Schema of the configuration, for editors and checks before deployment.")

        func run() {
            output(JSONSchema.text)
        }
    }

    struct Reference: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reference",
            abstract: "Print every key of the configuration: its values, its default, its meaning.")

        @Flag(help: "In roff, as in vault-token-agent.json(5).")
        var man = false

        @Flag(help: "The flags and variables that stand above the file, instead of the keys.")
        var outside = false

        func run() {
            let text =
                if man { ConfigurationReference.manual } else if outside { ConfigurationReference.outsideMarkdown } else
                {
                    ConfigurationReference.markdown
                }
            output(text)
        }
    }
}
