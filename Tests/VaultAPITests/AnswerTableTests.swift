import Crypto
import Diagnosis
import HTTPClient
import Testing
import Timekeeping

@testable import VaultAPI

/// What is asked of the client when the answer comes.
enum Asked: String, Sendable {
    case login, renew, lookUp, revoke, createChild, wrap, unwrap

    func ask(_ vault: ScriptedVault) async throws(AgentError) {
        let client = vault.client
        let minute: Duration = .seconds(60)
        switch self {
        case .login: _ = try await client.logIn(.sample, within: minute)
        case .renew: _ = try await client.renewSelf(sampleToken, increment: nil, within: minute)
        case .lookUp: _ = try await client.lookUpSelf(sampleToken, within: minute)
        case .revoke: try await client.revokeSelf(sampleToken, within: minute)
        case .createChild:
            _ = try await client.createChild(of: sampleToken, policies: ["a"], ttl: nil, within: minute)
        case .wrap: _ = try await client.wrap(sampleToken, ttl: minute, within: minute)
        case .unwrap: _ = try await client.unwrap(sampleToken, within: minute)
        }
    }
}

/// One answer as a server words it, and what it must come to.
struct Row: Sendable, CustomTestStringConvertible {
    let asked: Asked
    let status: Int
    let said: String
    let code: AgentError.Code
    /// What the remedy must name.
    let remedy: String

    init(_ asked: Asked, _ status: Int, _ said: String, _ code: AgentError.Code, _ remedy: String) {
        (self.asked, self.status, self.said, self.code, self.remedy) = (asked, status, said, code, remedy)
    }

    var testDescription: String { "\(asked) \(status) \(said.prefix(60))" }
}

private func sts(_ status: Int, _ code: String, _ message: String) -> String {
    """
    error making upstream request: received error code \(status) from STS: <ErrorResponse \
    xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
      <Error>
        <Type>Sender</Type>
        <Code>\(code)</Code>
        <Message>\(message)</Message>
      </Error>
      <RequestId>c4aee143-d37c-11e7-9fd6-99a4a8d95498</RequestId>
    </ErrorResponse>
    """
}

private let denied = "permission denied"
private let deniedByPolicy = "1 error occurred:\n\t* permission denied\n\n"

private let iamRows = [
    Row(.login, 400, "entry for role app not found", .vaultLoginRefused, "vault write auth/aws/role/app"),
    Row(.login, 400, "auth method iam not allowed for role app", .vaultLoginRefused, "auth_type=iam"),
    Row(
        .login, 400,
        "IAM Principal \"arn:aws:sts::123456789012:assumed-role/app/i-1\" does not belong to the role \"app\"",
        .vaultLoginRefused, "bound_iam_principal_arn"),
    Row(
        .login, 400,
        "error validating X-Vault-AWS-IAM-Server-ID header: missing header \"X-Vault-AWS-IAM-Server-ID\"",
        .vaultLoginRefused, "Set auth.header_value"),
    Row(
        .login, 400, "error validating X-Vault-AWS-IAM-Server-ID header: expected \"vault.a\" but got \"vault.b\"",
        .vaultLoginRefused, "must be exactly"),
    Row(
        .login, 400, "error validating X-Vault-AWS-IAM-Server-ID header: vault header wasn't signed",
        .vaultLoginRefused, "auth.header_value"),
    Row(.login, 400, "invalid request header: X-Amz-Target", .vaultLoginRefused, "allowed_sts_header_values"),
    Row(.login, 400, "iam request body is invalid", .vaultLoginRefused, "GetCallerIdentity"),
    Row(
        .login, 400, "unable to get regional STS endpoint for region: mars-1", .awsRegionWrong, "correct auth.region"),
    Row(.login, 400, "region missing from Authorization header", .awsRegionWrong, "auth.region"),
    Row(
        .login, 400,
        "error parsing arn \"arn:aws:iam::1:root\": unrecognized arn: \"root\" contains fewer than 2 slash-separated parts",
        .vaultLoginRefused, "account's root"),
    Row(
        .login, 400,
        "error looking up full ARN of entity &{aws 1 role  app } when attempting login for role \"app\": error fetching role "
            + "\"app\": AccessDenied: User: x is not authorized to perform: iam:GetRole",
        .vaultLoginRefused, "iam:GetRole"),
    Row(
        .login, 400,
        "error looking up full ARN of entity &{aws 1 role  app } when attempting login for role \"app\": RequestError: send "
            + "request failed",
        .vaultUnavailable, "IAM"),
    Row(
        .login, 400, "failed to verify i-1 as a valid EC2 instance in region us-east-1: no reservations found",
        .vaultUnavailable, "inferred_aws_region"),
    Row(
        .login, 400,
        "failed to verify me@corp as a valid EC2 instance in region us-east-1: InvalidInstanceID.Malformed: Invalid id",
        .vaultLoginRefused, "on EC2"),
    Row(
        .login, 400,
        "failed to verify i-1 as a valid EC2 instance in region us-east-1: UnauthorizedOperation: You are not",
        .vaultLoginRefused, "ec2:DescribeInstances"),
    Row(
        .login, 400, "supplied some of the auth values for the iam auth type but not all", .vaultLoginRefused,
        "auth/aws"),
    Row(.login, 400, "didn't supply required authentication values", .vaultLoginRefused, "auth/aws"),
]

private let stsRows = [
    Row(
        .login, 400, sts(403, "ExpiredToken", "The security token included in the request is expired"),
        .awsCredentialsRefused, "anew"),
    Row(
        .login, 400, sts(403, "InvalidClientTokenId", "The security token included in the request is invalid"),
        .awsCredentialsRefused, "does not know these keys"),
    Row(
        .login, 400, sts(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
        .awsCredentialsRefused, "does not know these keys"),
    Row(
        .login, 400,
        sts(
            403, "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided."),
        .awsCredentialsRefused, "secret key"),
    Row(
        .login, 400,
        sts(
            403, "SignatureDoesNotMatch",
            "Signature expired: 20261121T090000Z is now earlier than 20261121T091000Z (20261121T092500Z - 15 min.)"),
        .clockSkew, "slow"),
    Row(
        .login, 400,
        sts(
            403, "SignatureDoesNotMatch",
            "Signature not yet current: 20261121T093000Z is still later than 20261121T092500Z (20261121T091000Z + 15 min.)"
        ),
        .clockSkew, "fast"),
    Row(.login, 400, sts(400, "RequestExpired", "Request has expired."), .clockSkew, "clock"),
    Row(
        .login, 400,
        sts(403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region, not 'us-east-1'. "),
        .awsRegionWrong, "sts_endpoint"),
    Row(
        .login, 400, sts(403, "RegionDisabledException", "STS is not activated in this region for account:1."),
        .awsRegionWrong, "switched off"),
    Row(.login, 400, sts(403, "AccessDenied", "User is not authorized"), .awsAccessDenied, "VPC endpoint"),
    Row(.login, 400, sts(500, "InternalFailure", "unknown error"), .vaultUnavailable, "pauses"),
    Row(.login, 400, sts(400, "Throttling", "Rate exceeded"), .vaultThrottled, "AWS slows"),
    Row(
        .login, 400,
        "error making upstream request: error making request: POST https://sts.amazonaws.com// giving up after 5 attempt(s): "
            + "dial tcp: i/o timeout", .vaultUnavailable, "egress"),
    Row(
        .login, 400, "error making upstream request: body of GetCallerIdentity is invalid", .vaultUnavailable,
        "is not STS"),
    Row(.login, 400, "error making upstream request: error parsing STS response", .vaultUnavailable, "is not STS"),
    Row(.login, 400, "error making upstream request: unexpected EOF", .vaultUnavailable, "pauses"),
]

private let accessList = "vault delete auth/aws/identity-accesslist/INSTANCE_ID"

private let ec2Rows = [
    Row(.login, 400, "client nonce mismatch", .vaultOperatorNeeded, accessList),
    Row(
        .login, 400, "client nonce mismatch and instance meta-data incorrect", .vaultOperatorNeeded,
        "identity-whitelist"),
    Row(.login, 400, "reauthentication is disabled", .vaultOperatorNeeded, accessList),
    Row(
        .login, 400, "instance meta-data is older than the one used for previous login", .vaultOperatorNeeded,
        accessList),
    Row(.login, 400, "client nonce exceeding the limit of 128 characters", .vaultLoginRefused, "128"),
    Row(.login, 400, "client nonce missing in stored identity", .vaultOperatorNeeded, accessList),
    Row(
        .login, 400, "failed to verify instance ID: instance is not in 'running' state", .vaultUnavailable,
        "not be running yet"),
    Row(
        .login, 400,
        "failed to verify instance ID: error fetching description for instance ID \"i-1\": UnauthorizedOperation: You are not "
            + "authorized", .vaultLoginRefused, "ec2:DescribeInstances"),
    Row(
        .login, 400, "failed to verify instance ID: AccessDenied: not authorized to perform: sts:AssumeRole",
        .vaultLoginRefused, "auth/aws/config/sts"),
    Row(.login, 500, "failed to verify the signature", .vaultLoginRefused, "auth/aws/config/certificate"),
    Row(
        .login, 500, "failed to verify the signature: pkcs7: no certificate for signer", .vaultLoginRefused,
        "auth/aws/config/certificate"),
    Row(
        .login, 500, "instance identity verification using SHA256 RSA signature is unsuccessful", .vaultLoginRefused,
        "type=identity"),
    Row(.login, 500, "certificates to verify the signature are not found", .vaultLoginRefused, "certificate"),
    Row(
        .login, 500, "failed to parse the BER encoded PKCS#7 signature: ber2der", .vaultLoginRefused,
        "auth.identity_document"),
    Row(
        .login, 500, "instance identity document could not be found in the signature", .vaultLoginRefused,
        "auth.identity_document"),
    Row(.login, 500, "missing tag with key \"VaultRole\" on the instance", .vaultLoginRefused, "role_tag"),
    Row(.login, 500, "role tag is deny listed", .vaultLoginRefused, "role/app/tag"),
    Row(.login, 500, "role on the tag is not matching the role supplied", .vaultLoginRefused, "auth.role"),
    Row(
        .login, 400, "Error validating instance: AMI ID \"ami-1\" does not belong to role \"app\"", .vaultLoginRefused,
        "bounds"),
    Row(
        .login, 400, "Region \"us-east-1\" does not satisfy the constraint on role \"app\"", .vaultLoginRefused,
        "bounds"),
    Row(.login, 400, "entry for role \"app\" not found", .vaultLoginRefused, "auth.role"),
    Row(.login, 400, "auth method ec2 not allowed for role app", .vaultLoginRefused, "auth_type=ec2"),
]

private let otherLoginRows = [
    Row(.login, 403, denied, .vaultLoginRefused, "token_bound_cidrs"),
    Row(.login, 400, "missing client token", .vaultLoginRefused, "vault auth list"),
    Row(
        .login, 404, "no handler for route \"auth/aws/login\". route entry not found.", .vaultLoginRefused,
        "auth.mount_path"),
    Row(.login, 405, "1 error occurred:\n\t* unsupported operation\n\n", .vaultLoginRefused, "auth.mount_path"),
    Row(.login, 404, "namespace not found", .vaultLoginRefused, "auth.namespace"),
]

private let tokenRows = [
    Row(.renew, 500, "failed to renew entry: past the max TTL, cannot renew", .tokenAtMaximum, "anew"),
    Row(.renew, 400, "past the max TTL, cannot renew", .tokenAtMaximum, "anew"),
    Row(.renew, 400, "batch tokens cannot be renewed", .tokenNotRenewable, "batch"),
    Row(.renew, 400, "lease is not renewable", .tokenNotRenewable, "not renewable"),
    Row(.renew, 400, "lease expired", .tokenDead, "run out"),
    Row(.renew, 400, "invalid lease ID", .tokenDead, "lost"),
    Row(.renew, 400, "lease not found", .tokenDead, "lost"),
    Row(.renew, 500, "failed to renew entry: role entry not found", .tokenDead, "deleted"),
    Row(
        .renew, 500, "failed to renew entry: role \"app\" no longer bound to ARN \"arn:aws:iam::1:role/app\"",
        .tokenDead, "no longer binds"),
    Row(
        .renew, 500,
        "failed to renew entry: failed to verify instance ID \"i-1\": instance is not in 'running' state", .tokenDead,
        "instance is gone"),
    Row(
        .renew, 500,
        "failed to renew entry: failed to verify instance ID \"i-1\": RequestError: send request failed caused by: dial tcp",
        .vaultUnavailable, "AWS"),
    Row(
        .renew, 500, "failed to renew entry: failed to verify instance ID \"i-1\": RequestLimitExceeded: Request limit",
        .vaultThrottled, "slows"),
    Row(
        .renew, 500, "failed to renew entry: error looking up full ARN: Throttling: Rate exceeded", .vaultThrottled,
        "slows"),
    Row(
        .renew, 500,
        "failed to renew entry: failed to verify instance ID: InternalError: oops\n\tstatus code: 500, request id: 7",
        .vaultUnavailable, "AWS failed"),
    Row(
        .renew, 500,
        "failed to renew entry: operation error IAM: GetRole, https response error StatusCode: 503, RequestID: 7",
        .vaultUnavailable, "AWS failed"),
    Row(
        .renew, 500, "failed to renew entry: operation error IAM: GetRole, request send failed, Get: EOF",
        .vaultUnavailable, "cannot reach AWS"),
    Row(.renew, 500, "failed to renew entry: context deadline exceeded", .vaultUnavailable, "slow"),
    Row(.renew, 500, "failed to renew entry: context canceled", .vaultUnavailable, "again"),
    Row(.renew, 403, denied, .tokenDead, "revoked"),
    Row(.renew, 403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n", .tokenDead, "revoked"),
    Row(.renew, 403, deniedByPolicy, .vaultDenied, "token_no_default_policy"),
    Row(.renew, 400, "missing client token", .vaultUnavailable, "X-Vault-Token"),
    Row(.renew, 404, "namespace not found", .vaultDenied, "vault.namespace"),
    Row(.lookUp, 403, denied, .tokenDead, "revoked"),
    Row(.lookUp, 403, deniedByPolicy, .vaultDenied, "auth/token/lookup-self"),
    Row(.lookUp, 403, "bad token", .vaultUnavailable, "does not know this answer"),
    Row(.revoke, 403, denied, .tokenDead, "revoked"),
    Row(.revoke, 403, deniedByPolicy, .vaultDenied, "auth/token/revoke-self"),
    Row(.revoke, 400, "batch tokens cannot be revoked", .tokenNotRenewable, "batch"),
    Row(.createChild, 403, deniedByPolicy, .vaultDenied, "auth/token/create"),
    Row(.createChild, 403, denied, .tokenDead, "revoked"),
    Row(.createChild, 400, "child policies must be subset of parent", .vaultDenied, "token_policies"),
    Row(.createChild, 400, "batch tokens cannot create more tokens", .vaultDenied, "token_type=service"),
    Row(.createChild, 400, "restricted use token cannot generate child tokens", .vaultDenied, "token_num_uses"),
    Row(.createChild, 400, "parent token lookup failed: no parent found", .tokenDead, "gone"),
    Row(.wrap, 403, deniedByPolicy, .vaultDenied, "sys/wrapping/wrap"),
    Row(.wrap, 403, denied, .tokenDead, "revoked"),
    Row(.unwrap, 400, "wrapping token is not valid or does not exist", .tokenDead, "stolen"),
    Row(.unwrap, 403, denied, .tokenDead, "revoked"),
]

/// For whatever was asked.
private let clusterRows: [(Int, String, AgentError.Code, String)] = [
    (503, "Vault is sealed", .vaultUnavailable, "unseal"),
    (503, "error performing token check: Vault is sealed", .vaultUnavailable, "unseal"),
    (
        503,
        "API access to this namespace has been locked by an administrator - \"team\" must be unlocked to gain access.",
        .vaultUnavailable, "vault namespace unlock"
    ),
    (503, "Vault is in standby mode", .vaultUnavailable, "cannot serve now"),
    (500, "local node not active but active cluster node not found", .vaultUnavailable, "leader"),
    (429, "request path \"auth/aws/login\": rate limit quota exceeded", .vaultThrottled, "quota"),
    (429, "lease count quota exceeded", .vaultThrottled, "quota"),
    (412, "required index state not present", .vaultUnavailable, "shortly"),
    (400, "cannot write to readonly storage", .vaultUnavailable, "standby"),
    (
        500, "error performing token check: failed to persist lease entry: cannot write to readonly storage",
        .vaultUnavailable, "standby"
    ),
    (502, "upstream rate limited", .vaultThrottled, "AWS"),
    (
        503, "failed to persist accessor index entry: overloaded, try again later: internal error", .vaultThrottled,
        "sheds load"
    ),
    (502, "bad gateway", .vaultUnavailable, "load balancer"),
    (504, "", .vaultUnavailable, "load balancer"),
    (472, "", .vaultUnavailable, "secondary"),
    (473, "", .vaultUnavailable, "performance standby"),
    (500, "internal error", .vaultUnavailable, "does not know this answer"),
    (418, "I'm a teapot", .vaultUnavailable, "does not know this answer"),
    (413, "http: request body too large", .vaultUnavailable, "does not know this answer"),
    (301, "", .vaultUnavailable, "final address"),
    (407, "", .vaultUnreachable, "proxy"),
    (501, "", .vaultUnavailable, "vault operator init"),
]

@Suite("The table of answers")
struct AnswerTableTests {
    private func check(_ row: Row) async throws {
        var login = LoginSettings(method: .iam)
        login.role = "app"
        let vault = ScriptedVault([.reply(row.status, errors(row.said))], login: login)
        let error = await #expect(throws: AgentError.self) { try await row.asked.ask(vault) }
        #expect(error?.code == row.code)
        #expect(error?.remedy.contains(row.remedy) == true, "\(error?.remedy ?? "")")
        #expect(error?.observed.contains("https://vault.example:8200") == true)
        #expect(error?.observed.contains("\(row.status)") == true)
        #expect(error?.description.contains("\n") == false)
        #expect(error?.remedy.contains("{") == false, "a placeholder is left")
        #expect(vault.transport.isUsedUp)
    }

    @Test("login, iam", arguments: iamRows)
    func iam(row: Row) async throws { try await check(row) }

    @Test("login, iam: what STS said", arguments: stsRows)
    func sts(row: Row) async throws { try await check(row) }

    @Test("login, ec2", arguments: ec2Rows)
    func ec2(row: Row) async throws { try await check(row) }

    @Test("login of any kind", arguments: otherLoginRows)
    func otherLogin(row: Row) async throws { try await check(row) }

    @Test("calls with a token", arguments: tokenRows)
    func token(row: Row) async throws { try await check(row) }

    @Test("the cluster, whatever was asked", arguments: clusterRows)
    func cluster(status: Int, said: String, code: AgentError.Code, remedy: String) async throws {
        for asked in [Asked.login, .renew, .lookUp, .revoke, .createChild, .wrap, .unwrap] {
            try await check(Row(asked, status, said, code, remedy))
        }
    }

    @Test(
        "pages of proxies are not taken for Vault's words",
        arguments: [
            (403, "<html><head><title>403 Forbidden</title></head><body>permission denied by WAF rule 7</body></html>"),
            (400, "<h1>lease expired</h1>"),
            (500, "past the max TTL, cannot renew"),
            (404, "{\"message\":\"no handler\"}"),
            (403, ""),
            (403, "{\"errors\":\"permission denied\"}"),
        ])
    func foreignPages(status: Int, page: String) async {
        let vault = ScriptedVault([.reply(status, page)])
        let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(error?.code == .vaultUnavailable)
    }

    @Test("plain http to a port that speaks TLS is named as that")
    func plainToTLS() async {
        let vault = ScriptedVault([.reply(400, "Client sent an HTTP request to an HTTPS server.\n")])
        let error = await #expect(throws: AgentError.self) { try await Asked.login.ask(vault) }
        #expect(error?.code == .vaultUnreachable)
        #expect(error?.remedy.contains("https://") == true)
    }

    @Test("without a role the remedy says where to put it")
    func noRole() async {
        let vault = ScriptedVault([.reply(400, errors("entry for role app not found"))])
        let error = await #expect(throws: AgentError.self) { try await Asked.login.ask(vault) }
        #expect(error?.remedy.contains("auth/aws/role/ROLE") == true)
    }
}

@Suite("Retry-After")
struct RetryAfterTests {
    /// The stand-in's wall clock says 2026-11-21T09:10:00Z.
    @Test(
        "in seconds and as a date, within an hour",
        arguments: [
            ("29", 29), ("0", 0), (" 5", nil), ("3600", 3_600), ("3601", 3_600), ("99999999999999999999", 3_600),
            ("Sat, 21 Nov 2026 09:10:30 GMT", 30), ("Sat, 21 Nov 2026 09:00:00 GMT", 0),
            ("Sat, 21 Nov 2037 09:00:00 GMT", 3_600), ("-1", nil), ("1.5", nil), ("soon", nil), ("", nil),
            ("999999999999999999999", nil),
        ] as [(String, Int?)])
    func values(field: String, seconds: Int?) async {
        for (status, code) in [(429, AgentError.Code.vaultThrottled), (503, .vaultUnavailable)] {
            let vault = ScriptedVault([.reply(status, errors("no"), [("retry-after", field)])])
            let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
            #expect(error?.code == code)
            #expect(error?.retryAfter == seconds.map { .seconds($0) })
        }
    }

    @Test("is not needed, and not heeded elsewhere")
    func absent() async {
        for (status, headers) in [(429, []), (400, [(name: "retry-after", value: "9")])] {
            let vault = ScriptedVault([.reply(status, errors("no"), headers)])
            let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
            #expect(error?.retryAfter == nil)
        }
    }
}

@Suite("The cases above")
struct AnswerTableCoverageTests {
    @Test("meet every row of the table")
    func coverage() {
        var met: Set<Int> = []
        func meet(_ operation: VaultOperation, _ status: Int, _ body: String) {
            let text = AnswerText(
                HTTPReply(status: status, headers: [], body: Secret(text: body), sentAt: Instant(nanoseconds: 0)),
                sent: [])
            if let row = Answer.table.firstIndex(where: { $0.matches(operation, status: status, text: text) }) {
                met.insert(row)
            }
        }
        for row in iamRows + stsRows + ec2Rows + otherLoginRows + tokenRows {
            meet(row.asked.operation, row.status, errors(row.said))
        }
        for (status, said, _, _) in clusterRows { meet(.login, status, errors(said)) }
        meet(.login, 400, "Client sent an HTTP request to an HTTPS server.\n")
        let unmet = Answer.table.indices.filter { !met.contains($0) }.map { Answer.table[$0] }
        #expect(unmet.isEmpty, "\(unmet.map { "\($0.statuses) \($0.words)" })")
    }
}

extension Asked {
    fileprivate var operation: VaultOperation {
        switch self {
        case .login: .login
        case .renew: .renew
        case .lookUp: .lookUp
        case .revoke: .revoke
        case .createChild: .createChild
        case .wrap: .wrap
        case .unwrap: .unwrap
        }
    }
}
