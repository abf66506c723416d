// The command line: `doctor`: every step from the configuration to the sinks, tried once on this machine.

private import AgentRuntime
internal import ArgumentParser
private import Configuration
private import Diagnosis
private import Glibc
private import Logging
private import ServiceHealth

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Try every step once, and say what to do where one fails.",
        discussion: """
            Looks at the configuration, the files that it names and their permissions, AWS credentials, region, STS \
            and the clock, Vault's name, connection, TLS, certificate and state, logs in for each token and revokes \
            what it got, and rehearses the write of each sink under another name. One line each: ok, warning, or \
            failed with what to do. The exit status is 1 if a check failed.

            Run it as the user that the agent runs as, with the same environment: what root may do proves little.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(help: "Do not log in. Each login makes a token, which is revoked at once.")
    var noLogin = false

    func run() throws {
        var report = DoctorReport()
        let user = geteuid() == 0 ? "root (the service's own user may fare otherwise)" : "uid \(geteuid())"
        report.add([.ok("user", user)])
        let loaded: LoadedConfiguration
        do throws(AgentError) {
            loaded = try options.load()
        } catch {
            report.add([.failed("configuration", error)])
            report.finish()
            throw ExitCode(error.code.exitStatus)
        }
        let tokens = loaded.configuration.tokens
        report.add([.ok("configuration", "\(loaded.path), \(tokens.count) \(tokens.count == 1 ? "token" : "tokens")")])
        report.add(loaded.warnings.map { .warning("configuration", $0) })
        report.add(FileChecks.findings(loaded.configuration))

        // Logs would stand between the lines of the report; what matters of them is found out anew here.
        let log = Logger(label: "doctor") { _ in SwiftLogNoOpLogHandler() }
        let environment = processEnvironment
        report.add(try AWSChecks.findings(tokens, environment: environment, log: log))
        report.add(try VaultChecks.findings(tokens, environment: environment, log: log))
        if noLogin {
            report.add([.skipped("login", "--no-login was given")])
        } else {
            report.add(LoginChecks.findings(loaded.configuration, environment: environment, log: log))
        }
        report.add(try SinkChecks.findings(tokens, log: log))
        report.finish()
        if report.count(.failed) > 0 { throw ExitCode(1) }
    }
}

/// Prints as it goes: the network may be slow, and what is known should be seen.
private struct DoctorReport {
    private static let subjectWidth = 14
    private var findings: [Finding] = []

    mutating func add(_ more: [Finding]) {
        for finding in more { output(finding.line(subjectWidth: Self.subjectWidth) + "\n") }
        findings += more
    }

    func count(_ verdict: Finding.Verdict) -> Int {
        findings.count { $0.verdict == verdict }
    }

    func finish() {
        let parts = Finding.Verdict.allCases.map { "\(count($0)) \($0.rawValue)" }
        output("\n" + parts.joined(separator: ", ") + "\n")
    }
}
