// The command line: what `credentials` found out, and how `--format json` prints it. No secrets.

internal import AWSIdentity
internal import Diagnosis
internal import SecretJSON
private import Timekeeping

struct CredentialsAnswer: Sendable {
    let report: ChainReport
    /// Nil where STS was not asked.
    var identity: Result<CallerIdentity, AgentError>?
    /// What a login would be signed for; nil where that was not asked, or there is no one login to speak of.
    var login: Result<LoginCourse.Beginning, AgentError>?

    var json: JSONText {
        .object([
            "sources": .list(report.rows.map(Self.source)),
            "region": (try? report.region.get()).map { region in
                .object(["name": .text(region.name), "origin": .text(region.origin)])
            },
            "sts_endpoint": (try? report.stsEndpoint.get()).map { .text($0) },
            "login": (try? login?.get()).map { login in
                .object([
                    "region": .text(login.region), "reason": .text(login.reason),
                    "sts_endpoint": .text(login.endpoint),
                ])
            },
            "identity": (try? identity?.get()).map { caller in
                .object(["arn": .text(caller.arn), "account": .text(caller.account), "user_id": .text(caller.userID)])
            },
            "errors": .list(errors.map(Self.failure)),
        ])
    }

    private var errors: [AgentError] {
        let failures: [AgentError?] = [
            Self.failure(of: report.region), Self.failure(of: report.stsEndpoint), identity.flatMap(Self.failure),
            login.flatMap(Self.failure), Self.failure(of: report.outcome),
        ]
        return failures.compactMap { $0 }
    }

    private static func failure(of result: Result<some Any, AgentError>) -> AgentError? {
        if case .failure(let error) = result { error } else { nil }
    }

    private static func failure(_ error: AgentError) -> JSONText {
        .object([
            "code": .text(error.code.rawValue), "observed": .text(error.observed), "remedy": .text(error.remedy),
        ])
    }

    private static func source(_ row: ChainReport.Row) -> JSONText {
        let found: AWSCredentials? = if case .found(let credentials) = row.finding { credentials } else { nil }
        return .object([
            "source": .text(row.source.rawValue),
            "title": .text(row.title),
            "finding": .text(word(row.finding)),
            "reason": reason(row.finding),
            "failure": failure(of: row.finding),
            "origin": found.map { .text($0.origin) },
            "access_key_id": found.map { .text($0.accessKeyID) },
            "expiration": found?.expiration.map { .text($0.rfc3339) },
        ])
    }

    private static func word(_ finding: ChainReport.Finding) -> String {
        switch finding {
        case .found: "found"
        case .absent: "absent"
        case .failed: "failed"
        case .neverReached: "never_reached"
        }
    }

    private static func reason(_ finding: ChainReport.Finding) -> JSONText? {
        if case .absent(let why) = finding { .text(why) } else { nil }
    }

    private static func failure(of finding: ChainReport.Finding) -> JSONText? {
        if case .failed(let error) = finding { failure(error) } else { nil }
    }
}
