// VaultAPI: logs in, renews, looks up, revokes, wraps. Knows what Vault's answers mean; decides nothing about when to ask.

package import Crypto
package import Diagnosis
package import HTTPClient
package import Logging
internal import SecretJSON
package import Timekeeping

/// One cluster as one token's life sees it. Not `Sendable`: used on the agent's actor.
///
/// Every call takes at most `limit` in all, tries the addresses as ``VaultConnection`` describes, and throws one error that
/// says what was asked, of whom, what came back, and what the reader can do.
package final class VaultClient {
    private let connection: VaultConnection
    private let login: LoginSettings
    private var warnings: WarningLog

    /// `environmentProxy`: what HTTPS_PROXY and its kin say; not used for sockets.
    package init(
        server: VaultServer, login: LoginSettings, transport: any HTTPTransport, timekeeper: any Timekeeper,
        environmentProxy: HTTPRoute.Proxy, log: Logger
    ) {
        self.login = login
        connection = VaultConnection(
            server: server, login: login, transport: transport, timekeeper: timekeeper, proxy: environmentProxy,
            log: log)
        warnings = WarningLog(log: log)
    }

    /// The `Date` of the answer to the latest request; nil where it had none or there was no answer.
    package var serverDate: WallTime? { connection.serverDate }

    // MARK: Tokens

    /// A new token, or where ``LoginSettings/wrapTTL`` is set a wrapping token that stands for it.
    package func logIn(_ proof: LoginProof, within limit: Duration) async throws(AgentError) -> LoginReply {
        let call = VaultCall(
            operation: .login, method: .post, path: "\(login.mountPath)/login", body: proof.body(role: login.role),
            wrapTTL: login.wrapTTL, secrets: proof.secrets)
        let reader = try await read(call, within: limit)
        let reply = try reader.loginReply()
        switch (reply, login.wrapTTL) {
        case (.wrapped, nil):
            throw reader.context.unusable("it is response-wrapped, which was not asked for")
        case (.granted, .some):
            warnings.say("the login was to be wrapped and was not: does a proxy remove X-Vault-Wrap-TTL?", without: [])
        case (.wrapped, .some), (.granted, nil): break
        }
        return reply
    }

    /// `increment` nil: what the role gives. Throws `tokenAtMaximum` where Vault gives less than a second.
    package func renewSelf(
        _ token: Secret, increment: Duration?, within limit: Duration
    ) async throws(AgentError) -> Renewal {
        var body = JSONObjectWriter()
        if let increment { body.add("increment", increment.wholeSeconds) }
        let call = VaultCall(
            operation: .renew, method: .post, path: "auth/token/renew-self", token: token, body: body.finish())
        return try await read(call, within: limit).renewal()
    }

    package func lookUpSelf(_ token: Secret, within limit: Duration) async throws(AgentError) -> TokenFacts {
        let call = VaultCall(operation: .lookUp, method: .get, path: "auth/token/lookup-self", token: token)
        return try await read(call, within: limit).facts()
    }

    /// Revokes the token and its children. Throws `tokenDead` where it is gone already.
    package func revokeSelf(_ token: Secret, within limit: Duration) async throws(AgentError) {
        let call = VaultCall(
            operation: .revoke, method: .post, path: "auth/token/revoke-self", token: token,
            body: JSONObjectWriter().finish())
        _ = try await connection.send(call, within: limit)
    }

    /// A token with these policies only (not even `default`, unless it is among them), which ends with its parent.
    ///
    /// `ttl` nil: what the token mount gives.
    package func createChild(
        of token: Secret, policies: [String], ttl: Duration?, within limit: Duration
    ) async throws(AgentError) -> TokenGrant {
        var body = JSONObjectWriter()
        body.add("policies", policies)
        body.add("no_default_policy", !policies.contains("default"))
        if let ttl { body.add("ttl", "\(ttl.wholeSeconds)s") }
        let call = VaultCall(
            operation: .createChild, method: .post, path: "auth/token/create", token: token, body: body.finish())
        return try await read(call, within: limit).grant()
    }

    // MARK: Wrapping

    /// Puts `token` under a single-use wrapping token, as Vault Agent's wrapped sinks do: inside is `{"token": "…"}`.
    package func wrap(
        _ token: Secret, ttl: Duration, within limit: Duration
    ) async throws(AgentError) -> WrappedToken {
        var body = JSONObjectWriter()
        body.add("token", token)
        let call = VaultCall(
            operation: .wrap, method: .post, path: "sys/wrapping/wrap", token: token, body: body.finish(), wrapTTL: ttl)
        return try await read(call, within: limit).wrappedToken()
    }

    /// The token of a wrapped login. Works once: where the answer is lost on the way, so is the token.
    package func unwrap(_ wrapping: Secret, within limit: Duration) async throws(AgentError) -> TokenGrant {
        let call = VaultCall(
            operation: .unwrap, method: .post, path: "sys/wrapping/unwrap", token: wrapping,
            body: JSONObjectWriter().finish(), repeatable: false)
        return try await read(call, within: limit).grant()
    }

    // MARK: Servers

    package var addresses: [String] { connection.addresses }

    /// What the server at that address, one of ``addresses``, says of itself. Sealed and standby are answers too.
    package func health(of address: String, within limit: Duration) async throws(AgentError) -> ServerHealth {
        let call = VaultCall(operation: .health, method: .get, path: "sys/health")
        let (reply, context) = try await connection.send(call, to: address, within: limit)
        return try ReplyReader(reply, context).health(
            status: reply.status, certificate: reply.certificate)
    }

    private func read(_ call: VaultCall, within limit: Duration) async throws(AgentError) -> ReplyReader {
        let (reply, context) = try await connection.send(call, within: limit)
        let reader = try ReplyReader(reply, context)
        for warning in reader.warnings { warnings.say(warning, without: call.allSecrets) }
        return reader
    }
}

/// Vault's warnings, each logged once.
private struct WarningLog {
    let log: Logger
    private var said: Set<String> = []
    /// Beyond so many kinds of warning the memory starts afresh.
    private static let memory = 64

    init(log: Logger) {
        self.log = log
    }

    /// Warnings that differ only in their numbers, as the lease left at each renewal, are one.
    mutating func say(_ warning: String, without secrets: [Secret]) {
        let text = AnswerText.cut(AnswerText.clean(warning, without: secrets), to: 500)
        let kind = String(text.filter { !$0.isNumber })
        if said.count >= Self.memory { said.removeAll() }
        guard said.insert(kind).inserted else { return }
        log.warning("Vault warns", metadata: ["warning": "\(text)"])
    }
}
