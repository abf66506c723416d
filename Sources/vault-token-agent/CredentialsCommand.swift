// The command line: `credentials`: which AWS identity this machine gives, and why it is that one.

private import AWSIdentity
private import AgentRuntime
internal import ArgumentParser
private import ChildProcess
private import Configuration
private import Crypto
private import Diagnosis
private import Glibc
private import HTTPClient
private import SecretJSON
private import ServiceHealth
private import Timekeeping

struct CredentialsCommand: ParsableCommand {
    enum Format: String, CaseIterable, ExpressibleByArgument {
        case table, json, process
    }

    static let configuration = CommandConfiguration(
        commandName: "credentials", abstract: "Show where AWS credentials come from, and whose they are.",
        discussion: """
            Asks every source in the order in which the agent and the AWS CLI ask them, and says of each: found, \
            absent and why, failed and what to do, or never reached. Then asks STS who these credentials are.

            --format process prints them as AWS's credential_process does, for other tools; it is the only one that \
            shows secrets. The exit status is 0 only if credentials were found and, but for that format, STS knows \
            them.
            """)

    @Option(
        help: ArgumentHelp(
            "Configuration whose settings count; without it, if there is one, the one that the agent itself finds.",
            valueName: "file"), completion: .file(extensions: ["json"]))
    var config: String?

    @Option(help: ArgumentHelp("The token whose settings count, where they differ.", valueName: "name"))
    var token: String?

    @Option(help: ArgumentHelp("table, json or process.", valueName: "format"))
    var format: Format = .table

    func run() throws {
        let settings = try settings()
        var health = HealthSettings()
        health.logLevel = .warning
        let log = LogOutput(health).logger(label: "vault-token-agent")
        let environment = processEnvironment
        let asksWho = format != .process
        let (report, identity) = try AgentProcess.onLoop { loop throws(AgentError) in
            let chain = CredentialChain(
                settings: settings,
                surroundings: AWSSurroundings(
                    environment: environment, transport: CurlTransport(loop: loop, log: log), timekeeper: loop,
                    log: log, processes: ChildLauncher(loop: loop)))
            let report = await chain.examine()
            var identity: Result<CallerIdentity, AgentError>?
            if asksWho, case .success = report.outcome {
                do throws(AgentError) {
                    identity = .success(try await chain.callerIdentity())
                } catch {
                    identity = .failure(error)
                }
            }
            return (report, identity)
        }
        switch format {
        case .table: output(Self.table(report, identity))
        case .json: output(CredentialsDocument(report: report, identity: identity).json.laidOut)
        case .process: output(try report.outcome.get().processDocument.text + "\n")
        }
        if case .failure(let error) = report.outcome { throw ExitCode(error.code.exitStatus) }
        if case .failure(let error)? = identity { throw ExitCode(error.code.exitStatus) }
    }

    private func settings() throws -> AWSSettings {
        let environment = processEnvironment
        guard let source = ConfigurationSource(optional: config, environment: environment) else {
            if token != nil { throw ValidationError("--token needs a configuration: give --config FILE.") }
            return AWSSettings()
        }
        let loaded = try ConfigurationLoader.load(source, environment: environment)
        let tokens = loaded.configuration.tokens
        if let token {
            guard let settings = tokens.first(where: { $0.name == token }) else {
                throw ValidationError("\(source.name) has no token \"\(token)\".")
            }
            return settings.aws
        }
        guard Set(tokens.map(\.aws)).count == 1, let first = tokens.first else {
            throw ValidationError(
                "The tokens of \(source.name) have different AWS settings: name one by --token NAME.")
        }
        return first.aws
    }

    // MARK: For people

    private static func table(_ report: ChainReport, _ identity: Result<CallerIdentity, AgentError>?) -> String {
        let rows =
            [["SOURCE", "WHAT", "FINDING"]]
            + report.rows.map { [$0.source.rawValue, $0.title, words($0.finding)] }
        let widths = (0..<2).map { column in rows.map { $0[column].count }.max() ?? 0 }
        var text = rows.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count + 2) }.joined() + row[2] + "\n"
        }.joined()
        text += "\nregion    " + words(report.region.map { "\($0.name) (\($0.origin))" }) + "\n"
        text += "STS       " + words(report.stsEndpoint) + "\n"
        switch (report.outcome, identity) {
        case (.success, let identity?): text += "identity  " + words(identity.map(\.arn)) + "\n"
        case (.success, nil): break
        case (.failure(let error), _): text += "identity  none: \(error.remedy) [\(error.code.rawValue)]\n"
        }
        return text
    }

    private static func words(_ finding: ChainReport.Finding) -> String {
        switch finding {
        case .found(let credentials):
            let end = credentials.expiration.map { expiration in
                ", until \(expiration.rfc3339) (in \((expiration - wallTime).text))"
            }
            return "found: \(credentials.origin), key \(credentials.accessKeyID)\(end ?? "")"
        case .absent(let why): return "absent: \(why)"
        case .failed(let error): return "failed: \(error) [\(error.code.rawValue)]"
        case .neverReached: return "never reached"
        }
    }

    private static func words(_ result: Result<String, AgentError>) -> String {
        switch result {
        case .success(let text): text
        case .failure(let error): "unknown: \(error) [\(error.code.rawValue)]"
        }
    }
}
