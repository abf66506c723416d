// AWSIdentity: credentials from environment variables.

internal import Crypto
internal import Diagnosis
internal import Timekeeping

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, and `AWS_CREDENTIAL_EXPIRATION`, which
/// `aws configure export-credentials` sets.
struct EnvironmentProvider {
    let surroundings: AWSSurroundings

    func lookUp() throws(AgentError) -> Lookup {
        guard let accessKeyID = surroundings.variable("AWS_ACCESS_KEY_ID") else {
            let lonely = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].first { surroundings.variable($0) != nil }
            return .absent("AWS_ACCESS_KEY_ID is not set" + (lonely.map { ", though \($0) is" } ?? ""))
        }
        guard let secretAccessKey = surroundings.variable("AWS_SECRET_ACCESS_KEY") else {
            throw AgentError(
                .awsCredentialsBroken, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not",
                remedy: "Set both, or neither so that the next source is asked")
        }
        // The older name counts first, as it does for the AWS CLI.
        let token = surroundings.variable("AWS_SECURITY_TOKEN") ?? surroundings.variable("AWS_SESSION_TOKEN")
        return .found(
            try AWSCredentials(
                checking: accessKeyID, Secret(text: secretAccessKey), token.map { Secret(text: $0) },
                expiration: try expiration(), origin: "environment variables",
                principal: surroundings.variable("AWS_ACCOUNT_ID").flatMap { Principal(accountID: $0) }))
    }

    private func expiration() throws(AgentError) -> WallTime? {
        guard let text = surroundings.variable("AWS_CREDENTIAL_EXPIRATION") else { return nil }
        guard let expiration = WallTime(loose: text) else {
            throw AgentError(
                .awsCredentialsBroken, "AWS_CREDENTIAL_EXPIRATION is not a time with a zone: '\(text.prefix(40))'",
                remedy: "Expected something like 2026-11-21T09:10:00Z, or no such variable")
        }
        return expiration
    }
}
