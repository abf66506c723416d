// The command line: what scripts ask a running agent for: `get`, the token itself, and `wait`, until there is one.

internal import ArgumentParser
private import Configuration
private import Diagnosis
private import Glibc
private import ServiceHealth
private import Timekeeping

struct GetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Print a token of the running agent.",
        discussion: """
            Reads the token from a sink that holds it as it is, a file or a socket, as whoever may do that:
              VAULT_TOKEN=$(vault-token-agent get app) vault kv get secret/app
            Prints nothing and fails where the agent does not run or the token is not valid. Whoever sees the output can \
            use the token. A sink with policies holds a child of the token, which goes by the name that status gives it: app/1.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Argument(help: ArgumentHelp("The token; not needed where there is one only.", valueName: "name"))
    var name: String?

    func run() throws {
        output(try RunningToken(name, options.load()).read() + "\n")
    }
}

struct WaitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait", abstract: "Wait until a token, or every token, is valid in all its sinks.",
        discussion: """
            For scripts and units that start beside the agent and not after it. The exit status is 0 once the token is \
            there, also if it was from the start; after the time-out the reasons are printed, a line each, and it is 1. \
            Children, which sinks with policies hold, are tokens of their own here: app/1.
            """)

    @OptionGroup var options: StatusFileOptions

    @Argument(help: ArgumentHelp("The token to wait for; all without it.", valueName: "name"))
    var name: String?

    @Option(
        help: ArgumentHelp("How long to wait: 30s, 5m.", valueName: "duration"),
        transform: duration)
    var timeout: Duration = .seconds(60)

    func run() throws {
        let path = try options.path()
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while true {
            let reasons = Self.reasons(path, name)
            if reasons.isEmpty { return }
            guard clock.now < deadline else {
                for reason in reasons { output(reason + "\n") }
                throw ExitCode(1)
            }
            usleep(100_000)
        }
    }

    /// Why it must go on waiting.
    private static func reasons(_ path: String, _ name: String?) -> [String] {
        do throws(AgentError) {
            return try StatusReading(path: path).reasonsAgainstHealth(token: name, at: wallTime)
        } catch {
            return ["\(error)"]
        }
    }
}
