// The command line: `credentials`: which AWS identity this machine gives, and why it is that one.

private import AWSIdentity
private import AgentRuntime
private import AgentService
internal import ArgumentParser
private import ChildProcess
private import Configuration
private import Crypto
private import Diagnosis
private import Glibc
private import HTTPClient
private import Logging
private import SecretJSON
private import ServiceHealth
private import Timekeeping
private import VaultAPI

struct CredentialsCommand: ParsableCommand {
    enum Format: String, CaseIterable, ExpressibleByArgument {
        case table, json, process
    }

    static let configuration = CommandConfiguration(
        commandName: "credentials", abstract: "Show where AWS credentials come from, and whose they are.",
        discussion: """
            Asks every source in the order in which the agent and the AWS CLI ask them, and says of each: found, \
            absent and why, failed and what to do, or never reached. Then asks STS who these credentials are, and says \
            which region a login with Vault would be signed for.

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
        let subject = try subject()
        var health = HealthSettings()
        health.logLevel = .warning
        let log = LogOutput(health).logger(label: "vault-token-agent")
        let environment = processEnvironment
        let asksWho = format != .process
        let answer = try AgentProcess.onLoop { loop throws(AgentError) in
            let chain = CredentialChain(
                settings: subject.aws,
                surroundings: AWSSurroundings(
                    environment: environment, transport: CurlTransport(loop: loop, log: log), timekeeper: loop,
                    log: log, processes: ChildLauncher(loop: loop)))
            var answer = CredentialsAnswer(report: await chain.examine())
            guard asksWho, case .success(let credentials) = answer.report.outcome else { return answer }
            answer.identity = await result { () throws(AgentError) in try await chain.callerIdentity() }
            if let course = subject.course(chain, log) {
                answer.login = await result { () throws(AgentError) in try await course.beginning(with: credentials) }
            }
            return answer
        }
        switch format {
        case .table: output(Self.table(answer))
        case .json: output(answer.json.laidOut)
        case .process: output(try answer.report.outcome.get().processDocument.text + "\n")
        }
        if case .failure(let error) = answer.report.outcome { throw ExitCode(error.code.exitStatus) }
        if case .failure(let error)? = answer.identity { throw ExitCode(error.code.exitStatus) }
    }

    /// Whose way to AWS is shown, and for which token's login.
    private struct Subject {
        var aws = AWSSettings()
        /// Nil without a configuration.
        var token: TokenSettings?
        var stateDirectory: String?
        /// Several tokens that are signed for differently.
        var loginsDiffer = false

        /// Nil where there is no one login to speak of.
        func course(_ chain: CredentialChain, _ log: Logger) -> LoginCourse? {
            if loginsDiffer { return nil }
            guard let token else {
                return chain.beginLogin(for: LoginAudience(), at: "", regions: PassingRegionMemory())
            }
            guard case .iam = token.login.method else { return nil }
            return token.loginCourse(by: chain, stateDirectory: stateDirectory, log: log)
        }
    }

    private func subject() throws -> Subject {
        let environment = processEnvironment
        guard let source = ConfigurationSource(optional: config, environment: environment) else {
            if token != nil { throw ValidationError("--token needs a configuration: give --config FILE.") }
            return Subject()
        }
        let configuration = try ConfigurationLoader.load(source, environment: environment).configuration
        let tokens = configuration.tokens
        if let token {
            guard let settings = tokens.first(where: { $0.name == token }) else {
                throw ValidationError("\(source.name) has no token \"\(token)\".")
            }
            return Subject(aws: settings.aws, token: settings, stateDirectory: configuration.stateDirectory)
        }
        guard Set(tokens.map(\.aws)).count == 1, let first = tokens.first else {
            throw ValidationError(
                "The tokens of \(source.name) have different AWS settings: name one by --token NAME.")
        }
        return Subject(
            aws: first.aws, token: first, stateDirectory: configuration.stateDirectory,
            loginsDiffer: Set(tokens.map(\.audience)).count > 1)
    }

    // MARK: For people

    private static func table(_ answer: CredentialsAnswer) -> String {
        let report = answer.report
        let rows =
            [["SOURCE", "WHAT", "FINDING"]]
            + report.rows.map { [$0.source.rawValue, $0.title, words($0.finding)] }
        let widths = (0..<2).map { column in rows.map { $0[column].count }.max() ?? 0 }
        var text = rows.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count + 2) }.joined() + row[2] + "\n"
        }.joined()
        text += "\nregion    " + words(report.region.map { "\($0.name) (\($0.origin))" }) + "\n"
        text += "STS       " + words(report.stsEndpoint) + "\n"
        if let login = answer.login {
            text += "login     " + words(login.map { "signed for \($0.region) (\($0.reason)), \($0.endpoint)" }) + "\n"
        }
        switch (report.outcome, answer.identity) {
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

private func result<Value>(
    _ body: () async throws(AgentError) -> Value
) async -> Result<Value, AgentError> {
    do throws(AgentError) {
        return .success(try await body())
    } catch {
        return .failure(error)
    }
}
