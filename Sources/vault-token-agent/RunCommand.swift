// The command line: `run`: the service.

private import AgentService
internal import ArgumentParser
private import Configuration
private import Diagnosis
private import ServiceHealth

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run as a service: keep every token of the configuration fresh.",
        discussion: """
            Runs until SIGTERM or SIGINT. SIGHUP reads the configuration anew; SIGUSR1 logs in anew for every token; SIGUSR2 \
            logs out, as the command logout does.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() throws {
        let loaded = try options.load()
        let logOutput = LogOutput(loaded.configuration.health)
        let (source, overrides, environment) = (options.source, options.overrides, processEnvironment)
        let (path, canBeReadAgain) = (loaded.path, loaded.canBeReadAgain)
        try AgentProcess.run(
            loaded, environment: environment, version: VaultTokenAgent.version,
            log: logOutput.logger(label: "vault-token-agent"), lostRecords: { logOutput.lostRecords },
            reload: { () throws(AgentError) in
                guard canBeReadAgain else {
                    throw AgentError(
                        .configurationInvalid,
                        "the configuration came from \(path), which cannot be read a second time",
                        remedy: "Restart the agent with the new one")
                }
                return try ConfigurationLoader.load(source, environment: environment, overrides: overrides)
            },
            adopt: { logOutput.adopt($0) })
    }
}
