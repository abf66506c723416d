// The command line: `doctor`: every step from the configuration to the sinks, tried once on this machine.

private import AgentService
internal import ArgumentParser
private import Configuration
private import Diagnosis
private import Glibc
private import Logging
private import SecretJSON
private import ServiceHealth

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Try every step once, and say what to do where one fails.",
        discussion: """
            Looks at the configuration, the files that it names and their permissions, AWS credentials, region, STS \
            and the clock, Vault's name, connection, TLS, certificate and state, logs in for each token and revokes \
            what it got, and rehearses the write of each sink under another name. One line each: ok, warning, or \
            failed with what to do. The exit status is 1 if a check failed.

            Run it as the user that the agent runs as, with the same environment: what root may do proves little. For a \
            service of systemd's --unit does that.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(help: "Do not log in. Each login makes a token, which is revoked at once.")
    var noLogin = false

    @Flag(help: "Print one JSON document, once all is known.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "As this service would see it: systemd makes the checks by its user, in its sandbox. Needs root.",
            valueName: "name"))
    var unit: String?

    func validate() throws {
        if unit != nil && options.isGiven {
            throw ValidationError("--unit takes the configuration and its flags from the unit: give no other.")
        }
    }

    func run() throws {
        if let unit {
            let arguments = (noLogin ? ["--no-login"] : []) + (json ? ["--json"] : [])
            let (text, status) = try DoctorUnit(unit, arguments: arguments).examine()
            output(text)
            if status != 0 { throw ExitCode(status) }
            return
        }
        var report = DoctorReport(isJSON: json)
        do throws(AgentError) {
            try examine(&report)
        } catch {
            report.add([.failed("configuration", error)])
            report.finish()
            throw ExitCode(error.code.exitStatus)
        }
        report.finish()
        if report.count(.failed) > 0 { throw ExitCode(1) }
    }

    /// Throws where there is no configuration to go by.
    private func examine(_ report: inout DoctorReport) throws(AgentError) {
        let user = geteuid() == 0 ? "root (the service's own user may fare otherwise)" : "uid \(geteuid())"
        report.add([.ok("user", user)])
        let loaded = try options.load()
        let configuration = loaded.configuration
        let count = configuration.tokens.count
        report.add([.ok("configuration", "\(loaded.path), \(count) \(count == 1 ? "token" : "tokens")")])
        report.add(loaded.warnings.map { .warning("configuration", $0) })
        report.add(FileChecks.findings(configuration))

        // Logs would stand between the lines of the report; what matters of them is found out anew here.
        let log = Logger(label: "doctor") { _ in SwiftLogNoOpLogHandler() }
        let environment = processEnvironment
        report.add(try AWSChecks.findings(configuration, environment: environment, log: log))
        report.add(try VaultChecks.findings(configuration.tokens, environment: environment, log: log))
        if noLogin {
            report.add([.skipped("login", "--no-login was given")])
        } else {
            report.add(LoginChecks.findings(configuration, environment: environment, log: log))
        }
        report.add(try SinkChecks.findings(configuration, log: log))
    }
}

/// For people it prints as it goes: the network may be slow, and what is known should be seen.
private struct DoctorReport {
    private static let subjectWidth = 14
    let isJSON: Bool
    private var findings: [Finding] = []

    init(isJSON: Bool) {
        self.isJSON = isJSON
    }

    mutating func add(_ more: [Finding]) {
        if !isJSON {
            for finding in more { output(finding.line(subjectWidth: Self.subjectWidth) + "\n") }
        }
        findings += more
    }

    func count(_ verdict: Finding.Verdict) -> Int {
        findings.count { $0.verdict == verdict }
    }

    func finish() {
        if isJSON {
            let counts = Finding.Verdict.allCases.map { (name: $0.rawValue, value: JSONText.number(count($0))) }
            output(JSONText.object(["findings": .list(findings.map(\.json)), "count": .object(counts)]).laidOut)
        } else {
            output("\n" + Finding.Verdict.allCases.map { "\(count($0)) \($0.rawValue)" }.joined(separator: ", ") + "\n")
        }
    }
}
