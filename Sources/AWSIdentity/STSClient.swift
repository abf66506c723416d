// AWSIdentity: the three calls to STS that the agent makes, and the SDKs' rules for trying again.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import Timekeeping

/// Who AWS says the caller is.
package struct CallerIdentity: Hashable, Sendable {
    /// Twelve digits.
    package let account: String
    package let arn: String
    package let userID: String
}

/// A role to assume.
struct RoleRequest {
    var arn: String
    /// Part of the ARN that Vault sees. Not made up anew each time: a mount with `iam_alias=full_arn` would have a new entity
    /// for each login.
    var sessionName: String?
    var externalID: String?
    /// Seconds.
    var duration: Int?

    static let defaultSessionName = "vault-token-agent"
}

/// STS at one endpoint.
struct STSClient {
    let surroundings: AWSSurroundings
    let jitter: Jitter
    let endpoint: STSEndpoint
    let route: HTTPRoute
    /// Requests before giving up on a call.
    let attempts: Int

    /// The SDKs' standard retry mode.
    static let defaultAttempts = 3
    /// For one request. The agent has its own schedule for trying again, so it need not wait as long as the SDKs (60 s).
    private static let connectTimeout: Duration = .seconds(5)
    private static let totalTimeout: Duration = .seconds(15)
    /// STS's longest reply, credentials with a long session token, has about 4 KiB.
    private static let replyLimit = 65_536

    func assumeRole(_ role: RoleRequest, with source: AWSCredentials, origin: String) async throws(AgentError)
        -> AWSCredentials
    {
        let reply = try await call("AssumeRole", parameters(of: role), signedBy: source)
        return try credentials(in: reply, "AssumeRole", of: role, origin: origin)
    }

    func assumeRoleWithWebIdentity(_ role: RoleRequest, token: Secret, origin: String) async throws(AgentError)
        -> AWSCredentials
    {
        let action = "AssumeRoleWithWebIdentity"
        let token = Secret(text: percentEncoded(token.text))
        let reply = try await call(action, parameters(of: role) + [("WebIdentityToken", token)], signedBy: nil)
        return try credentials(in: reply, action, of: role, origin: origin)
    }

    func callerIdentity(of credentials: AWSCredentials) async throws(AgentError) -> CallerIdentity {
        let reply = try await call("GetCallerIdentity", [], signedBy: credentials)
        guard let account = reply.text("GetCallerIdentityResult/Account"),
            let arn = reply.text("GetCallerIdentityResult/Arn"),
            let userID = reply.text("GetCallerIdentityResult/UserId")
        else { throw incomplete("GetCallerIdentity", "Account, Arn or UserId") }
        return CallerIdentity(account: printable(account), arn: printable(arn), userID: printable(userID))
    }

    private func parameters(of role: RoleRequest) -> [(String, Secret)] {
        [
            ("RoleArn", role.arn), ("RoleSessionName", role.sessionName ?? RoleRequest.defaultSessionName),
            ("ExternalId", role.externalID), ("DurationSeconds", role.duration.map(String.init)),
        ].compactMap { name, value in value.map { (name, Secret(text: percentEncoded($0))) } }
    }

    private func credentials(
        in reply: XMLReply, _ action: String, of role: RoleRequest, origin: String
    ) throws(AgentError) -> AWSCredentials {
        let path = "\(action)Result/Credentials"
        guard let accessKeyID = reply.text("\(path)/AccessKeyId"),
            let secretAccessKey = reply.secret("\(path)/SecretAccessKey"),
            let sessionToken = reply.secret("\(path)/SessionToken"),
            let expiration = reply.text("\(path)/Expiration").flatMap({ WallTime(rfc3339: $0) })
        else {
            throw incomplete(action, "AccessKeyId, SecretAccessKey, SessionToken or Expiration")
        }
        return try AWSCredentials(
            checking: accessKeyID, secretAccessKey, sessionToken, expiration: expiration, origin: origin,
            principal: Principal(arn: role.arn))
    }

    private func incomplete(_ action: String, _ missing: String) -> AgentError {
        AgentError(
            .awsSTSUnavailable, "STS at \(endpoint.url.hostField) answered \(action) without usable \(missing)",
            remedy: "Check that it is STS that answers at \(endpoint.url.text)")
    }

    // MARK: The wire

    /// The reply to one action, after as many attempts as it takes.
    private func call(
        _ action: String, _ parameters: [(String, Secret)], signedBy signer: AWSCredentials?
    ) async throws(AgentError) -> XMLReply {
        var body = SecretBuilder(capacity: 2_048)
        body.append("Action=\(action)&Version=2011-06-15")
        for (name, value) in parameters {
            body.append("&\(name)=")
            body.append(value)
        }
        let content = body.secret()
        var attempt = 1
        var clockCorrected = false
        while true {
            let signingTime = surroundings.signingTime.now
            let outcome = await exchange(action, content, signer, signingTime)
            switch outcome {
            case .success(let reply): return reply
            case .failure(let refusal):
                // Where STS quoted its time, once, at once, is worth another try.
                if !clockCorrected, let time = refusal.words?.time,
                    surroundings.signingTime.correct(to: time, afterSigningFor: signingTime)
                {
                    clockCorrected = true
                    continue
                }
                guard refusal.passes, attempt < attempts else { throw refusal.error }
                await surroundings.timekeeper.sleep(for: jitter.backOff(after: attempt))
                if Task.isCancelled { throw AgentError(.cancelled, "\(action) was called off") }
                attempt += 1
            }
        }
    }

    private func exchange(
        _ action: String, _ body: Secret, _ signer: AWSCredentials?, _ time: WallTime
    ) async -> Result<XMLReply, STSRefusal> {
        let contentType = HTTPHeader("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        let unsigned = UnsignedRequest(method: .post, url: endpoint.url, headers: [contentType], body: body)
        let headers =
            if let signer {
                SignatureV4(region: endpoint.signingRegion, service: "sts").sign(unsigned, with: signer, at: time)
            } else {
                unsigned.headers
            }
        let request = HTTPRequest(
            .post, endpoint.url.text, headers: headers, body: body, route: route, connectTimeout: Self.connectTimeout,
            totalTimeout: Self.totalTimeout, replyLimit: Self.replyLimit)
        let context = STSRefusal.Context(action: action, host: endpoint.url.hostField, signer: signer)
        let reply: HTTPReply
        do {
            reply = try await surroundings.transport.send(request)
        } catch {
            return .failure(STSRefusal(error, context))
        }
        do {
            let document = try XMLReply(reply.body)
            if reply.status == 200 { return .success(document) }
            return .failure(STSRefusal(status: reply.status, document, context))
        } catch {
            return .failure(STSRefusal(status: reply.status, unreadable: error, context))
        }
    }
}
