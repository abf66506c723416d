// AWSIdentity: the JSON in which AWS hands out credentials: IMDS, the container endpoint, `credential_process`.

internal import Crypto
internal import Diagnosis
internal import SecretJSON
internal import Timekeeping

/// One document, read and checked. All three senders share its fields; they differ in the session token's name.
struct CredentialDocument {
    let accessKeyID: String
    let secretAccessKey: Secret
    let sessionToken: Secret?
    let expiration: WallTime?
    /// As far as the document tells: ECS names the role, EKS and many a `credential_process` the account.
    let principal: Principal?

    /// - Parameters:
    ///   - tokenField: `Token` or `SessionToken`.
    ///   - required: Whether token and expiration must be there.
    ///   - sender: Who sent it, for errors: "IMDS (role web)".
    init(_ json: JSONValue, tokenField: String, required: Bool, sender: String) throws(AgentError) {
        accessKeyID = try Self.text(json, "AccessKeyId", sender).text
        secretAccessKey = try Self.text(json, "SecretAccessKey", sender).secret
        sessionToken =
            required || json[tokenField] != nil ? try Self.text(json, tokenField, sender).secret : nil
        principal =
            json["RoleArn"]?.string.flatMap { Principal(arn: $0.text) }
            ?? json["AccountId"]?.string.flatMap { Principal(accountID: $0.text) }
        guard required || json["Expiration"] != nil else {
            expiration = nil
            return
        }
        let text = try Self.text(json, "Expiration", sender).text
        guard let expiration = WallTime(loose: text) else {
            throw AgentError(
                .awsCredentialsBroken, "\(sender) answered an Expiration that is no time with a zone",
                remedy: "Expected something like 2026-11-21T09:10:00Z")
        }
        self.expiration = expiration
    }

    private static func text(_ json: JSONValue, _ field: String, _ sender: String) throws(AgentError) -> JSONString {
        guard let string = json[field]?.string, !string.secret.isEmpty else {
            let found = json[field].map { $0.string == nil ? $0.kind : "an empty string" } ?? "nothing"
            throw AgentError(
                .awsCredentialsBroken, "\(sender) answered without usable credentials: \(field) is \(found)",
                remedy: "Expected a JSON object with AccessKeyId, SecretAccessKey, and where they expire, Expiration")
        }
        return string
    }

    /// - Parameter principal: Whose they are, where the sender's name tells more than the document.
    func credentials(origin: String, principal: Principal? = nil) throws(AgentError) -> AWSCredentials {
        try AWSCredentials(
            checking: accessKeyID, secretAccessKey, sessionToken, expiration: expiration, origin: origin,
            principal: principal ?? self.principal)
    }
}

extension AWSCredentials {
    /// Refuses what could not stand in a header or a signature: a trailing newline or blank is the commonest slip.
    init(
        checking accessKeyID: String, _ secretAccessKey: Secret, _ sessionToken: Secret?, expiration: WallTime?,
        origin: String, principal: Principal? = nil
    ) throws(AgentError) {
        let parts = [
            ("access key id", Secret(text: accessKeyID)), ("secret access key", secretAccessKey),
            ("session token", sessionToken ?? Secret([])),
        ]
        for (name, value) in parts where !value.isPrintable {
            throw AgentError(
                .awsCredentialsBroken, "the \(name) of \(origin) holds a blank, a line break or another such character",
                remedy: "Write it again without white space around it")
        }
        self.init(
            accessKeyID: accessKeyID, secretAccessKey: secretAccessKey, sessionToken: sessionToken,
            expiration: expiration, origin: origin, principal: principal)
    }
}

extension Secret {
    /// Only ASCII from `!` to `~`.
    fileprivate var isPrintable: Bool {
        unsafe withBytes { bytes in unsafe bytes.allSatisfy { 0x21...0x7E ~= $0 } }
    }
}

extension JSONValue {
    /// Reads a reply's body; `sender` names who sent it, for the error.
    init(body: Secret, from sender: String, failure: AgentError.Code) throws(AgentError) {
        do {
            try self.init(reading: body)
        } catch {
            throw AgentError(
                failure,
                "\(sender) answered something that is not JSON: \(error.complaint) at byte \(error.offset)",
                remedy: "Expected a JSON object with credentials")
        }
    }
}
