// VaultAPI: from the JSON of a success to a value. Every field that is used is checked; none is guessed.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import SecretJSON
internal import Timekeeping

/// The JSON of one reply of 200 to 299.
struct ReplyReader {
    let json: JSONValue
    let sentAt: Instant
    let context: AnswerContext

    init(_ reply: HTTPReply, _ context: AnswerContext) throws(AgentError) {
        self.context = context
        sentAt = reply.sentAt
        guard reply.body.count > 0 else { throw context.unusable("it is empty (status \(reply.status))") }
        do throws(JSONFault) {
            json = try JSONValue(reading: reply.body)
        } catch {
            let type = reply.header("content-type").map { AnswerText.cut(AnswerText.clean($0, without: []), to: 60) }
            throw context.unusable(
                "it is not JSON: \(error.complaint) at byte \(error.offset) of \(reply.body.count)"
                    + (type.map { ", content type \($0)" } ?? ""))
        }
    }

    var warnings: [String] {
        json["warnings"]?.array?.compactMap(\.string?.text) ?? []
    }

    // MARK: Whole replies

    func loginReply() throws(AgentError) -> LoginReply {
        json["wrap_info"] == nil ? .granted(try grant()) : .wrapped(try wrappedToken())
    }

    func grant() throws(AgentError) -> TokenGrant {
        let auth = try section("auth")
        if let requirement = auth["mfa_requirement"], !(requirement.object?.isEmpty ?? false) {
            throw AgentError(
                .vaultLoginRefused,
                "Vault at \(context.address) wants a second factor after \(context.request) (mfa_requirement)",
                remedy: "An agent has none: take \(context.mount) out of the login enforcement: "
                    + "`vault list identity/mfa/login-enforcement`")
        }
        let lease = try seconds("lease_duration", of: auth)
        return TokenGrant(
            token: try token("client_token", of: auth), accessor: try text("accessor", of: auth),
            policies: try texts("policies", of: auth), metadata: metadata("metadata", of: auth),
            leaseDuration: lease == .zero ? nil : lease, renewable: try flag("renewable", of: auth),
            kind: try kind(of: auth["token_type"]), numUses: try integer("num_uses", of: auth),
            entityID: try text("entity_id", of: auth), orphan: try flag("orphan", of: auth), sentAt: sentAt)
    }

    /// What the auth method says of the principal; never the ec2 nonce.
    private func metadata(_ key: String, of section: JSONValue) -> [String: String] {
        var metadata: [String: String] = [:]
        for (name, value) in section[key]?.object ?? [:] where name != "nonce" { metadata[name] = value.string?.text }
        return metadata
    }

    func renewal() throws(AgentError) -> Renewal {
        let auth = try section("auth")
        let lease = try seconds("lease_duration", of: auth)
        guard lease > .zero else {
            throw AgentError(
                .tokenAtMaximum, "Vault at \(context.address) renewed the token for less than a second",
                remedy: "The token has reached its maximum; the agent logs in anew")
        }
        return Renewal(leaseDuration: lease, renewable: try flag("renewable", of: auth), sentAt: sentAt)
    }

    func facts() throws(AgentError) -> TokenFacts {
        let data = try section("data")
        let ttl = try seconds("ttl", of: data)
        let period = try seconds("period", of: data, absent: .zero)
        let maximum = try seconds("explicit_max_ttl", of: data, absent: .zero)
        let namespace = try text("namespace_path", of: data)
        return TokenFacts(
            ttl: ttl == .zero && data["expire_time"] == nil ? nil : ttl,
            creationTTL: try seconds("creation_ttl", of: data, absent: .zero),
            explicitMaxTTL: maximum == .zero ? nil : maximum, period: period == .zero ? nil : period,
            renewable: try flag("renewable", of: data), kind: try kind(of: data["type"]),
            numUses: try integer("num_uses", of: data), accessor: try text("accessor", of: data),
            policies: try texts("policies", of: data), metadata: metadata("meta", of: data),
            path: try text("path", of: data),
            namespace: namespace.hasSuffix("/") ? String(namespace.dropLast()) : namespace,
            orphan: try flag("orphan", of: data),
            createdAt: WallTime(secondsSince1970: try integer("creation_time", of: data)), sentAt: sentAt)
    }

    func wrappedToken() throws(AgentError) -> WrappedToken {
        let info = try section("wrap_info")
        return WrappedToken(
            token: try token("token", of: info), accessor: try text("accessor", of: info),
            ttl: try seconds("ttl", of: info), creationTime: try text("creation_time", of: info),
            creationPath: try text("creation_path", of: info),
            wrappedAccessor: try text("wrapped_accessor", of: info), sentAt: sentAt)
    }

    func health(status: Int, certificate: CertificateFacts?) throws(AgentError) -> ServerHealth {
        guard let sealed = json["sealed"]?.boolean, let initialized = json["initialized"]?.boolean else {
            throw context.unusable("it does not say whether the server is sealed and initialised")
        }
        return ServerHealth(
            status: status, initialized: initialized, sealed: sealed, standby: try flag("standby", of: json),
            version: AnswerText.clean(try text("version", of: json), without: []),
            clusterName: AnswerText.clean(try text("cluster_name", of: json), without: []),
            serverTime: json["server_time_utc"]?.integer.map { WallTime(secondsSince1970: $0) },
            certificate: certificate)
    }

    // MARK: Fields

    private func section(_ name: String) throws(AgentError) -> JSONValue {
        guard let section = json[name], section.object != nil else {
            throw context.unusable("it has no \(name)")
        }
        return section
    }

    private func wrongType(_ name: String, _ found: JSONValue, _ expected: String) -> AgentError {
        context.unusable("its \(name) is \(found.kind) that is not \(expected)")
    }

    /// Vault's tokens are printable ASCII without spaces; only such can travel in a header.
    private func token(_ name: String, of section: JSONValue) throws(AgentError) -> Secret {
        guard let value = section[name] else { throw context.unusable("it has no \(name)") }
        guard let secret = value.string?.secret, (1...16_384).contains(secret.count),
            unsafe secret.withBytes({ bytes in unsafe bytes.allSatisfy { 0x21...0x7E ~= $0 } })
        else { throw wrongType(name, value, "a token") }
        return secret
    }

    /// Empty where it is missing or null.
    private func text(_ name: String, of section: JSONValue) throws(AgentError) -> String {
        guard let value = section[name] else { return "" }
        guard let text = value.string?.text else { throw wrongType(name, value, "text") }
        return text
    }

    /// Empty where it is missing or null.
    private func texts(_ name: String, of section: JSONValue) throws(AgentError) -> [String] {
        guard let value = section[name] else { return [] }
        guard let elements = value.array else { throw wrongType(name, value, "a list of texts") }
        let texts = elements.compactMap(\.string?.text)
        guard texts.count == elements.count else { throw wrongType(name, value, "a list of texts") }
        return texts
    }

    /// False where it is missing or null.
    private func flag(_ name: String, of section: JSONValue) throws(AgentError) -> Bool {
        guard let value = section[name] else { return false }
        guard let flag = value.boolean else { throw wrongType(name, value, "true or false") }
        return flag
    }

    /// Zero where it is missing or null.
    private func integer(_ name: String, of section: JSONValue) throws(AgentError) -> Int64 {
        guard let value = section[name] else { return 0 }
        guard let number = value.integer else { throw wrongType(name, value, "a whole number") }
        return number
    }

    /// Whole seconds, at most ``Swift/Duration/longestInText``; must be there unless `absent` says what its absence means.
    private func seconds(
        _ name: String, of section: JSONValue, absent: Duration? = nil
    ) throws(AgentError) -> Duration {
        guard let value = section[name] else {
            guard let absent else { throw context.unusable("it has no \(name)") }
            return absent
        }
        guard let number = value.integer, number >= 0 else { throw wrongType(name, value, "a number of seconds") }
        return min(.seconds(number), .longestInText)
    }

    /// Servers before Vault 1.0 know service tokens only and do not say so.
    private func kind(of value: JSONValue?) throws(AgentError) -> TokenKind {
        guard let value else { return .service }
        guard let kind = (value.string?.text).flatMap(TokenKind.init) else {
            throw wrongType("token type", value, "service or batch")
        }
        return kind
    }
}
