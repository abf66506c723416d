// The command line: `exec`: another program with a token of the running agent in its environment.

internal import ArgumentParser
private import ChildProcess
internal import Configuration
internal import Crypto
internal import Diagnosis
private import Glibc
private import Timekeeping
private import VaultAPI

struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a command with a token of the running agent in its environment.",
        discussion: """
            Waits until the token is there, then runs CMD with VAULT_TOKEN, VAULT_ADDR and, where there is one, \
            VAULT_NAMESPACE beside what the environment holds:
              vault-token-agent exec -- vault kv get secret/app
              vault-token-agent exec app --restart -- /usr/bin/server --port 8080
            CMD runs on this terminal. Signals are passed on to it, and so is its end: its exit status, or the signal \
            that ended it. 127: there is no CMD; 126: it cannot be run; any other status of a failure before CMD is that \
            of its code.

            A new token reaches CMD by --restart or --signal; without either it keeps the one that it was started with. \
            A token that dies ends nothing: that is said on standard error, and the next token counts as a change. CMD \
            does not outlive exec, even if that is killed. Whoever may read CMD's environment has the token.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Argument(help: ArgumentHelp("The token; not needed where there is one only.", valueName: "name"))
    var name: String?

    @Flag(help: "Stop CMD and start it again when the token is another one.")
    var restart = false

    @Option(
        help: ArgumentHelp("Send CMD this signal when the token is another one: HUP, USR1.", valueName: "signal"),
        transform: { text in
            guard let signal = CommandSignal(text) else { throw ValidationError(CommandSignal.expectation(text)) }
            return signal
        })
    var signal: CommandSignal?

    @Option(
        help: ArgumentHelp("With --restart: the signal that stops CMD.", valueName: "signal"),
        transform: { text in
            guard let signal = CommandSignal(text) else { throw ValidationError(CommandSignal.expectation(text)) }
            return signal
        })
    var stopSignal = CommandSignal.terminate

    @Option(
        help: ArgumentHelp("With --restart: how long CMD may take to stop before it is killed.", valueName: "duration"),
        transform: duration)
    var killAfter: Duration = .seconds(10)

    @Option(
        help: ArgumentHelp("How long to wait for the token at first: 30s, 5m.", valueName: "duration"),
        transform: duration)
    var timeout: Duration = .seconds(60)

    @Option(help: ArgumentHelp("The variable that holds the token.", valueName: "name"))
    var variable = "VAULT_TOKEN"

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("The command and its arguments, after --.", valueName: "cmd"))
    var command: [String]

    func validate() throws {
        if command[0].isEmpty { throw ValidationError("The command is an empty word.") }
        if restart, signal != nil { throw ValidationError("Give --restart or --signal, not both.") }
        guard !variable.isEmpty, !variable.utf8.contains(UInt8(ascii: "=")), !variable.utf8.contains(0) else {
            throw ValidationError("\"\(variable)\" cannot be a variable's name.")
        }
        if Self.told.contains(where: { [$0, Self.openBaos($0)].contains(variable) }) {
            throw ValidationError("\(variable) is not the token's: where the token is from is told there.")
        }
    }

    func run() throws {
        let loaded = try options.load()
        let find = { () throws(AgentError) in try loaded.canBeReadAgain ? RunningToken(name, options.load()) : nil }
        let reaction: TokenCompanion.Reaction =
            if restart {
                .restart(stop: stopSignal.number, killAfter: killAfter)
            } else if let signal {
                .signal(signal.number)
            } else {
                .none
            }
        let running = try RunningToken(name, loaded)
        let token = try firstToken(running)
        let companion = TokenCompanion(
            running, findingAnew: find, reaction: reaction, command: command, environment: environment)
        let end: ForegroundChild.End
        do throws(ForegroundChild.Failure) {
            end = try companion.run(with: token)
        } catch {
            let (text, status): (String, Int32) =
                switch error {
                case .notFound(let text): (text, 127)
                case .notRunnable(let text): (text, 126)
                }
            writeToStandardError("vault-token-agent: \(printable(text, limit: 1_000))")
            throw ExitCode(status)
        }
        switch end {
        case .exited(let status): endProcess(status)
        case .signalled(let number): endProcess(bySignal: number)
        }
    }

    /// Throws what stands in the way when the time is up, and at once what waiting does not mend.
    private func firstToken(_ running: RunningToken) throws(AgentError) -> String {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while true {
            do throws(AgentError) {
                return try running.read()
            } catch {
                guard error.code != .configurationInvalid, clock.now < deadline else { throw error }
            }
            usleep(100_000)
        }
    }

    /// Variables that tell CMD of the token's server.
    private static let told = ["VAULT_ADDR", "VAULT_NAMESPACE"]

    /// OpenBao's name of a variable of Vault's, or any other as it is.
    private static func openBaos(_ name: String) -> String {
        name.hasPrefix("VAULT_") ? "BAO_" + name.dropFirst("VAULT_".count) : name
    }

    /// What a sink of format `env` tells, above this process's own environment. OpenBao's name of a variable would count
    /// before Vault's.
    private func environment(_ token: String, of settings: TokenSettings) -> [String: String] {
        var variables = processEnvironment
        func set(_ name: String, _ value: String) {
            variables[Self.openBaos(name)] = nil
            variables[name] = value.isEmpty ? nil : value
        }
        set(variable, token)
        for (name, value) in zip(Self.told, [settings.vault.addresses.first ?? "", settings.readersNamespace]) {
            set(name, value)
        }
        return variables
    }
}

/// A signal by its name: `HUP`, `SIGHUP`.
struct CommandSignal: Hashable, Sendable {
    static let terminate = CommandSignal(number: SIGTERM)

    let number: Int32

    private init(number: Int32) {
        self.number = number
    }

    /// Nil for a name that the configuration does not take either.
    init?(_ text: String) {
        guard let number = SignalName.number(of: text) else { return nil }
        self.number = number
    }

    static func expectation(_ text: String) -> String {
        "\"\(printable(text, limit: 40))\" is none of \(SignalName.known.joined(separator: ", "))."
    }
}
