// The command line, `doctor`: AWS: whose credentials, which region, for whose ears a login is signed, does STS know them, does
// its clock agree with ours?

private import AWSIdentity
private import AgentRuntime
private import AgentService
private import ChildProcess
internal import Configuration
internal import Diagnosis
private import EventLoop
private import HTTPClient
internal import Logging
private import Timekeeping
private import VaultAPI

enum AWSChecks {
    /// A difference worth a word, though STS bears 5 minutes.
    private static let noticedSkew: Duration = .seconds(60)
    private static let requestLimit: Duration = .seconds(10)

    /// One round for each way to credentials that the tokens have.
    static func findings(
        _ configuration: AgentConfiguration, environment: [String: String], log: Logger
    ) throws(AgentError) -> [Finding] {
        var groups: [[TokenSettings]] = []
        for token in configuration.tokens {
            guard case .iam = token.login.method else { continue }
            if let known = groups.firstIndex(where: { $0[0].aws == token.aws }) {
                groups[known].append(token)
            } else {
                groups.append([token])
            }
        }
        let rounds = groups
        let stateDirectory = configuration.stateDirectory
        return try AgentProcess.onLoop { loop throws(AgentError) in
            var findings: [Finding] = []
            for tokens in rounds {
                let surroundings = AWSSurroundings(
                    environment: environment, transport: CurlTransport(loop: loop, log: log), timekeeper: loop,
                    log: log, processes: ChildLauncher(loop: loop))
                let chain = CredentialChain(settings: tokens[0].aws, surroundings: surroundings)
                let report = await chain.examine()
                findings += credentials(report) + region(report)
                var identity: Result<CallerIdentity, AgentError>?
                if case .success(let found) = report.outcome {
                    identity = await caller(chain)
                    findings += identity.map { [Self.identity($0)] } ?? []
                    findings += await expectations(tokens, chain, found)
                    findings += await audiences(tokens, chain, found, stateDirectory, log)
                }
                findings.append(await clock(report, identity, surroundings))
            }
            return findings
        }
    }

    private static func credentials(_ report: ChainReport) -> [Finding] {
        switch report.outcome {
        case .failure(let error): return [.failed("credentials", error)]
        case .success(let credentials):
            let end = credentials.expiration.map { ", until \($0.rfc3339)" } ?? ", which do not expire"
            return [.ok("credentials", credentials.origin + end)]
        }
    }

    private static func region(_ report: ChainReport) -> [Finding] {
        switch report.region {
        case .success(let region): [.ok("region", "\(region.name) (\(region.origin))")]
        case .failure(let error): [.failed("region", error)]
        }
    }

    // MARK: Who

    private static func caller(_ chain: CredentialChain) async -> Result<CallerIdentity, AgentError> {
        do throws(AgentError) {
            return .success(try await chain.callerIdentity())
        } catch {
            return .failure(error)
        }
    }

    /// A login needs no STS that this machine can reach: Vault asks its own.
    private static func identity(_ caller: Result<CallerIdentity, AgentError>) -> Finding {
        switch caller {
        case .success(let caller): return .ok("identity", caller.arn)
        case .failure(let error) where error.code == .awsSTSUnavailable:
            return .warning("identity", error, "A login does not need it: Vault asks STS, not the agent")
        case .failure(let error): return .failed("identity", error)
        }
    }

    private static func expectations(
        _ tokens: [TokenSettings], _ chain: CredentialChain, _ found: AWSCredentials
    ) async -> [Finding] {
        var findings: [Finding] = []
        for token in tokens where !token.identity.expected.isEmpty {
            let subject = "expect"
            do throws(AgentError) {
                try await chain.check(found, by: token.identity)
                findings.append(.ok(subject, "\(token.name): the identity is one that auth.expect names"))
            } catch {
                findings.append(.failed(subject, error))
            }
        }
        return findings
    }

    // MARK: For whose ears

    /// One finding for each Vault and audience. Whether Vault takes what is signed, the login shows.
    private static func audiences(
        _ tokens: [TokenSettings], _ chain: CredentialChain, _ found: AWSCredentials, _ stateDirectory: String?,
        _ log: Logger
    ) async -> [Finding] {
        var findings: [Finding] = []
        var seen: Set<String> = []
        for token in tokens {
            let course = token.loginCourse(by: chain, stateDirectory: stateDirectory, log: log)
            let finding: Finding
            do throws(AgentError) {
                let beginning = try await course.beginning(with: found)
                let header = token.audience.serverID.map { "header_value \(printable($0, limit: 80))" }
                finding = .ok(
                    "audience",
                    "signed for \(beginning.region) (\(beginning.reason)), for Vault to send to \(beginning.endpoint), "
                        + (header ?? "no header_value"))
            } catch {
                finding = .failed("audience", error)
            }
            if seen.insert(finding.text).inserted { findings.append(finding) }
        }
        return findings
    }

    // MARK: The clock

    /// What STS itself says of a signature decides. Its `Date` is only shown: anybody on the way can write it.
    private static func clock(
        _ report: ChainReport, _ identity: Result<CallerIdentity, AgentError>?, _ surroundings: AWSSurroundings
    ) async -> Finding {
        let subject = "clock"
        if let correction = surroundings.signingTime.correction {
            let error = AgentError(
                .clockSkew, "STS refused a signature for its time: this machine is \(words(correction)) STS",
                remedy: "Set the clock right: timedatectl, chronyc tracking")
            return .warning(subject, error, "Until then the agent signs by the time that STS gave")
        }
        if case .failure(let error)? = identity, error.code == .clockSkew { return .failed(subject, error) }
        let taken = if case .success? = identity { "STS takes this machine's signatures" } else { "" }
        guard case .success(let endpoint) = report.stsEndpoint else {
            return .skipped(subject, "there is no STS to ask")
        }
        let difference: Duration
        do throws(HTTPFailure) {
            difference = try await distance(to: endpoint, surroundings)
        } catch {
            return taken.isEmpty
                ? .warning(subject, "cannot be compared with that of \(endpoint): \(error.observed)")
                : .ok(subject, taken)
        }
        let shown = "by its Date this machine is \(words(difference)) \(endpoint)"
        let both = [taken, shown].filter { !$0.isEmpty }.joined(separator: "; ")
        let size = difference < .zero ? .zero - difference : difference
        // A date has whole seconds.
        if size <= .seconds(2) { return .ok(subject, taken.isEmpty ? "agrees with the Date of \(endpoint)" : taken) }
        guard size > noticedSkew else { return .ok(subject, both) }
        return .warning(subject, "\(both). Set the clock right: timedatectl, chronyc tracking")
    }

    /// How far its Date is ahead of this machine's clock. Any answer tells it, so no credentials are needed.
    private static func distance(
        to endpoint: String, _ surroundings: AWSSurroundings
    ) async throws(HTTPFailure) -> Duration {
        let route = HTTPRoute(proxy: .fromEnvironment(surroundings.environment, for: endpoint))
        let reply = try await surroundings.transport.send(
            HTTPRequest(.get, endpoint, route: route, totalTimeout: requestLimit))
        guard let date = reply.header("date").flatMap({ WallTime(httpDate: $0) }) else {
            throw HTTPFailure(.replyMalformed, "it does not tell the time", maybeSent: true)
        }
        return date - surroundings.timekeeper.wallTime
    }

    private static func words(_ difference: Duration) -> String {
        difference < .zero ? "\((.zero - difference).text) ahead of" : "\(difference.text) behind"
    }
}
