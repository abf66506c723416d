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

    /// - Parameters:
    ///   - servers: What is known of the servers, shared with other tokens.
    ///   - environment: For HTTPS_PROXY and its kin; not used for sockets.
    package init(
        server: VaultServer, login: LoginSettings, servers: VaultServers = VaultServers(), transport: any HTTPTransport,
        timekeeper: any Timekeeper,
        environment: [String: String], log: Logger
    ) {
        self.login = login
        connection = VaultConnection(
            server: server, login: login, servers: servers, transport: transport, timekeeper: timekeeper,
            environment: environment, log: log)
        warnings = WarningLog(log: log)
    }

    /// All that Vault said in refusing the latest request, on one line and without secrets; empty where it did not refuse it.
    package var refusal: String { connection.refusal }

    // MARK: Tokens

    /// A new token, or where ``LoginSettings/wrapTTL`` is set a wrapping token that stands for it.
    package func logIn(_ proof: LoginProof, within limit: Duration) async throws(AgentError) -> LoginReply {
        let call = VaultCall(
            operation: .login, method: .post, path: "\(login.mountPath)/login", body: proof.body(role: login.role),
            wrapTTL: login.wrapTTL, secrets: proof.secrets)
        let wantsWrapped = login.wrapTTL != nil
        let reply = try await read(call, within: limit) { reader throws(AgentError) in
            let reply = try reader.loginReply()
            if case .wrapped = reply, !wantsWrapped {
                throw reader.context.unusable("it is response-wrapped, which was not asked for")
            }
            return reply
        }
        if case .granted = reply, wantsWrapped {
            warnings.say("the login was to be wrapped and was not: does a proxy remove X-Vault-Wrap-TTL?", without: [])
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
        return try await read(call, within: limit) { reader throws(AgentError) in try reader.renewal() }
    }

    package func lookUpSelf(_ token: Secret, within limit: Duration) async throws(AgentError) -> TokenFacts {
        let call = VaultCall(operation: .lookUp, method: .get, path: "auth/token/lookup-self", token: token)
        return try await read(call, within: limit) { reader throws(AgentError) in try reader.facts() }
    }

    /// Revokes the token and its children. Throws `tokenDead` where it is gone already.
    package func revokeSelf(_ token: Secret, within limit: Duration) async throws(AgentError) {
        let call = VaultCall(
            operation: .revoke, method: .post, path: "auth/token/revoke-self", token: token,
            body: JSONObjectWriter().finish())
        // Vault says nothing (204). A page in its place says that something else answered.
        try await connection.send(call, within: limit) { reply, context throws(AgentError) in
            if reply.body.count > 0 { _ = try ReplyReader(reply, context) }
        }
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
        return try await read(call, within: limit) { reader throws(AgentError) in try reader.grant() }
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
        return try await read(call, within: limit) { reader throws(AgentError) in try reader.wrappedToken() }
    }

    /// The token of a wrapped login. Works once: where the answer is lost on the way, so is the token.
    package func unwrap(_ wrapping: Secret, within limit: Duration) async throws(AgentError) -> TokenGrant {
        let call = VaultCall(
            operation: .unwrap, method: .post, path: "sys/wrapping/unwrap", token: wrapping,
            body: JSONObjectWriter().finish(), repeatable: false)
        return try await read(call, within: limit) { reader throws(AgentError) in try reader.grant() }
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

    /// What `parse` makes of Vault's JSON.
    private func read<Value>(
        _ call: VaultCall, within limit: Duration, _ parse: (ReplyReader) throws(AgentError) -> Value
    ) async throws(AgentError) -> Value {
        let (value, said) = try await connection.send(call, within: limit) { reply, context throws(AgentError) in
            let reader = try ReplyReader(reply, context)
            return (try parse(reader), reader.warnings)
        }
        for warning in said { warnings.say(warning, without: call.allSecrets) }
        return value
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
