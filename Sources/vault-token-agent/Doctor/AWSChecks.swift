// The command line, `doctor`: AWS: whose credentials, which region, does STS know them, does its clock agree with ours?

private import AWSIdentity
private import AgentRuntime
private import ChildProcess
internal import Configuration
internal import Diagnosis
private import EventLoop
private import HTTPClient
internal import Logging
private import Timekeeping
private import VaultAPI

enum AWSChecks {
    /// STS refuses signatures that are 5 minutes off; the agent corrects for more than one.
    private static let noticedSkew: Duration = .seconds(60)
    private static let requestLimit: Duration = .seconds(10)

    /// One round for each way to credentials that the tokens have.
    static func findings(
        _ tokens: [TokenSettings], environment: [String: String], log: Logger
    ) throws(AgentError) -> [Finding] {
        var settings: [AWSSettings] = []
        for token in tokens {
            if case .iam = token.login.method, !settings.contains(token.aws) { settings.append(token.aws) }
        }
        let wanted = settings
        return try AgentProcess.onLoop { loop throws(AgentError) in
            var findings: [Finding] = []
            for settings in wanted {
                let transport = CurlTransport(loop: loop, log: log)
                let chain = CredentialChain(
                    settings: settings,
                    surroundings: AWSSurroundings(
                        environment: environment, transport: transport, timekeeper: loop, log: log,
                        processes: ChildLauncher(loop: loop)))
                let report = await chain.examine()
                findings += credentials(report) + region(report)
                if case .success(let endpoint) = report.stsEndpoint {
                    findings.append(await clock(endpoint, environment, transport, loop))
                }
                guard case .success = report.outcome else { continue }
                do throws(AgentError) {
                    findings.append(.ok("identity", try await chain.callerIdentity().arn))
                } catch {
                    findings.append(.failed("identity", error))
                }
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

    /// Any answer of STS tells its time, so no credentials are needed.
    private static func clock(
        _ endpoint: String, _ environment: [String: String], _ transport: CurlTransport, _ loop: EventLoop
    ) async -> Finding {
        let route = HTTPRoute(proxy: .fromEnvironment(environment, for: endpoint))
        do throws(HTTPFailure) {
            let reply = try await transport.send(
                HTTPRequest(.get, endpoint, route: route, totalTimeout: requestLimit))
            guard let date = reply.header("date").flatMap({ WallTime(httpDate: $0) }) else {
                return .warning("clock", "\(endpoint) does not tell the time")
            }
            return skew(date - loop.wallTime, from: endpoint)
        } catch {
            return .warning("clock", "cannot be compared with that of \(endpoint): \(error.observed)")
        }
    }

    private static func skew(_ skew: Duration, from endpoint: String) -> Finding {
        let size = skew < .zero ? .zero - skew : skew
        // A date has whole seconds.
        guard size > .seconds(2) else { return .ok("clock", "agrees with \(endpoint)") }
        let words = "this machine is \(size.text) \(skew < .zero ? "ahead of" : "behind") \(endpoint)"
        guard size > noticedSkew else { return .ok("clock", words) }
        let error = AgentError(.clockSkew, words, remedy: "Set the clock right: timedatectl, chronyc tracking")
        return size > .seconds(300) ? .failed("clock", error) : .warning("clock", "\(error)")
    }
}
