// The command line: `init`: a first configuration for where the agent runs, and what Vault needs to know of it.

private import AWSIdentity
private import AgentService
internal import ArgumentParser
private import CLinux
private import ChildProcess
private import Configuration
internal import ConfigurationImport
internal import Diagnosis
private import Glibc
private import HTTPClient
private import SecretJSON
private import ServiceHealth
private import SystemCalls

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Write a first configuration, and what Vault must be told.",
        discussion: """
            Finds out where it runs (EC2, ECS, EKS, elsewhere) and whose AWS credentials there are, asks for the rest, and \
            writes the configuration. Then it prints the commands, and the Terraform module, by which Vault lets this very \
            identity in. Nobody but AWS is asked anything, and no token is made.
            """)

    @Option(help: ArgumentHelp("Vault's URL; without it BAO_ADDR, VAULT_ADDR, or a question.", valueName: "url"))
    var address: String?

    @Option(help: ArgumentHelp("Vault's role; without it the name of the AWS role, or a question.", valueName: "name"))
    var role: String?

    @Option(help: ArgumentHelp("Value of X-Vault-AWS-IAM-Server-ID, where the mount asks for one.", valueName: "text"))
    var headerValue: String?

    @Option(
        name: .customLong("output"),
        help: ArgumentHelp(
            "Where to write it; - for standard output. A file that is there is left alone.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var destination = ConfigurationSource.defaultPath

    @Flag(name: .shortAndLong, help: "Ask nothing: take what was found.")
    var yes = false

    func run() throws {
        if destination != "-" { try Self.checkThatItIsFree(destination) }
        let (place, identity) = try Self.lookAround()
        writeToStandardError("Runs in: \(place.title)")
        switch identity {
        case .success(let identity): writeToStandardError("Identity: \(printable(identity.arn))")
        case .failure(let error):
            writeToStandardError("warning: whose AWS credentials these are is not known: \(error)")
        }
        let principal = try? identity.get()
        let names = try FirstConfiguration(
            place: place,
            address: answer(
                "Vault's URL",
                given: address ?? processEnvironment["BAO_ADDR"] ?? processEnvironment["VAULT_ADDR"], fallback: nil,
                flag: "--address"),
            role: answer("Vault's role", given: role, fallback: principal?.roleName, flag: "--role"),
            headerValue: headerValue ?? (yes ? nil : Self.ask("Value of X-Vault-AWS-IAM-Server-ID, if any", nil)),
            principalARN: principal?.boundARN)
        let text = names.document.laidOut
        try Self.check(text)
        let guide = VaultsSide(names)
        if destination == "-" {
            output(text)
            writeToStandardError(guide.text)
        } else {
            do throws(SystemFault) {
                // Not a secret, and the agent reads it as another user.
                try writeNewFile(destination, text, mode: 0o644)
            } catch {
                throw Self.cannotWrite(error)
            }
            output("Wrote \(destination).\n\(guide.text)\n")
        }
    }

    // MARK: Questions

    private func answer(_ question: String, given: String?, fallback: String?, flag: String) throws -> String {
        if let given, !given.isEmpty { return given }
        if yes {
            guard let fallback else { throw ValidationError("\(question) was not found out: give \(flag).") }
            return fallback
        }
        guard let answer = Self.ask(question, fallback) ?? fallback else {
            throw ValidationError("\(question) is needed: give \(flag).")
        }
        return answer
    }

    /// Nil: nothing was answered. Questions go to standard error, since standard output may be the configuration.
    private static func ask(_ question: String, _ fallback: String?) -> String? {
        guard isatty(STDIN_FILENO) == 1 else { return nil }
        writeToStandardError(question + (fallback.map { " [\($0)]" } ?? "") + "?")
        return readLine().map(trimmed).flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func trimmed(_ text: String) -> String {
        var rest = text[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }

    // MARK: Looking around

    private static func lookAround() throws(AgentError) -> (Place, Result<KnownIdentity, AgentError>) {
        var health = HealthSettings()
        health.logLevel = .error
        let log = LogOutput(health).logger(label: "vault-token-agent")
        let environment = processEnvironment
        return try AgentProcess.onLoop { loop throws(AgentError) in
            let chain = CredentialChain(
                settings: AWSSettings(),
                surroundings: AWSSurroundings(
                    environment: environment, transport: CurlTransport(loop: loop, log: log), timekeeper: loop,
                    log: log, processes: ChildLauncher(loop: loop)))
            let report = await chain.examine()
            let onInstance = report.rows.contains { row in
                if row.source == .imds, case .found = row.finding { true } else { false }
            }
            let place = Place(environment: environment, onInstance: onInstance)
            if case .failure(let error) = report.outcome { return (place, .failure(error)) }
            do throws(AgentError) {
                return (place, .success(KnownIdentity(arn: try await chain.callerIdentity().arn)))
            } catch {
                return (place, .failure(error))
            }
        }
    }

    // MARK: The file

    private static func check(_ text: String) throws {
        let source = SourceText(path: "the configuration", bytes: Array(text.utf8))
        // Neither flags nor variables: the file must stand by itself.
        guard case .unusable(let errors) = ConfigurationLoader.examine(source, environment: [:]) else { return }
        for error in errors { VaultTokenAgent.complain(error) }
        throw ExitCode(AgentError.Code.configurationInvalid.exitStatus)
    }

    /// Before anything is asked.
    private static func checkThatItIsFree(_ path: String) throws(AgentError) {
        var status = stat()
        // SAFETY: the path is lent for the call, which writes to one structure.
        guard unsafe lstat(path, &status) == 0 else { return }
        throw cannotWrite(SystemFault("create", path, number: EEXIST))
    }

    private static func cannotWrite(_ fault: SystemFault) -> AgentError {
        AgentError(
            .sinkUnwritable, fault.observed,
            remedy: fault.number == EEXIST
                ? "Remove it first, or give another --output" : "Give another --output, or - to have it printed")
    }
}
