// The command line: how a running agent is, by its status file: `status` for people, `healthcheck` for supervisors.

internal import ArgumentParser
internal import Configuration
internal import Diagnosis
private import Glibc
private import ServiceHealth
private import Timekeeping

/// Which agent is asked about.
struct StatusFileOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Status file of the agent.", valueName: "file"), completion: .file())
    var statusFile: String?

    @Option(
        help: ArgumentHelp(
            "Its configuration, to find that by; without either, as the agent itself finds it.",
            valueName: "file"), completion: .file(extensions: ["json"]))
    var config: String?

    /// The text that `--config` names; nil without. A pipe gives it once.
    func configuration() throws(AgentError) -> SourceText? {
        guard let config else { return nil }
        return try ConfigurationSource(option: config, environment: processEnvironment)
            .read(environment: processEnvironment)
    }

    /// Throws where the configuration cannot be read or has no status file. `given`: what ``configuration()`` has read.
    func path(by given: SourceText? = nil) throws(AgentError) -> String {
        if let statusFile { return statusFile }
        let source = ConfigurationSource(optional: config, environment: processEnvironment)
        let text = if let given { given } else { try source?.read(environment: processEnvironment) }
        guard let path = try ConfigurationLoader.statusFile(of: text, environment: processEnvironment) else {
            throw AgentError(
                .configurationInvalid, "\(text?.path ?? "the configuration") turns the status file off",
                remedy: "Take out \"status_file\": null")
        }
        return path
    }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how the running agent is.",
        discussion: """
            A line about the agent, a line for each token with its state, until when it is valid, how much of its lease \
            is left, what the agent does next and when, and how many of its sinks hold it; below each what ails it, \
            since when, and what to do. In colours on a terminal, unless NO_COLOR is set. The exit status says only whether \
            that could be shown; for a verdict there is healthcheck.
            """)

    @OptionGroup var options: StatusFileOptions

    @Flag(help: "Print the status file's JSON.")
    var json = false

    @Flag(help: "Show it anew each second, until interrupted.")
    var watch = false

    func validate() throws {
        if json && watch { throw ValidationError("Give --json or --watch, not both.") }
    }

    func run() throws {
        let path = try options.path()
        guard watch else {
            let reading = try StatusReading(path: path)
            output(json ? reading.document.json : reading.table(at: wallTime, style: Terminal.output.style))
            return
        }
        let terminal = Terminal.output
        while true {
            let text: String
            do {
                text = try StatusReading(path: path).table(at: wallTime, style: terminal.style)
            } catch {
                text = "\(error)\n"
            }
            guard output(terminal.isOne ? Self.redrawn(text) : text + "\n") else { return }
            sleep(1)
        }
    }

    /// The text from the terminal's top left corner on; what stood there is cleared line by line, without flicker.
    private static func redrawn(_ text: String) -> String {
        let (home, clearToEndOfLine, clearBelow) = ("\u{1B}[H", "\u{1B}[K\n", "\u{1B}[J")
        return home + text.map { $0 == "\n" ? clearToEndOfLine : String($0) }.joined() + clearBelow
    }
}

struct HealthcheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "healthcheck", abstract: "Exit with 0 only if the agent keeps every token valid.",
        discussion: """
            Healthy means: every sink holds a valid token, the agent's heartbeat is recent, nobody has told it to \
            stop. Otherwise each reason is printed, a line each, and the exit status is 1. A failing renewal is no \
            reason while the token is valid: a restart would mend nothing.
            """)

    @OptionGroup var options: StatusFileOptions

    @Option(help: ArgumentHelp("Look at this token only.", valueName: "name"))
    var token: String?

    @Flag(help: "Ask only whether the agent lives, for probes that restart it: an outage of Vault does not fail this.")
    var liveness = false

    @Flag(
        help: """
            Until every token has been in its sinks once, the same as without; after that, ask only whether the agent \
            lives. For supervisors that replace what is unhealthy, such as ECS: an outage of Vault replaces nothing.
            """)
    var onceReady = false

    func validate() throws {
        if [liveness, onceReady, token != nil].count(where: \.self) > 1 {
            throw ValidationError("Give one of --liveness, --once-ready and --token.")
        }
    }

    func run() throws {
        let reasons: [String]
        do throws(AgentError) {
            let reading = try StatusReading(path: options.path())
            reasons =
                if liveness {
                    reading.reasonsAgainstLiveness(at: wallTime)
                } else if onceReady {
                    reading.reasonsAgainstOnceReady(at: wallTime)
                } else {
                    reading.reasonsAgainstHealth(token: token, at: wallTime)
                }
        } catch {
            reasons = ["\(error)"]
        }
        for reason in reasons { output(reason + "\n") }
        if !reasons.isEmpty { throw ExitCode(1) }
    }
}
