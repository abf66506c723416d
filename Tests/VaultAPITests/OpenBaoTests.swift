// Against a real OpenBao server. It has no aws method, so the logins that succeed go to its cert method, which proves who
// we are by TLS and takes no notice of the aws fields; everything after the login is the same for every method.

import Crypto
import Diagnosis
import EventLoop
import HTTPClient
import Logging
import SecretJSON
import TestSupport
import Testing
import Timekeeping
import VaultAPI

private let limit: Duration = .seconds(30)

private func certLogin(wrapTTL: Duration? = nil, namespace: String? = nil) -> LoginSettings {
    var login = LoginSettings(method: .iam)
    login.mountPath = "auth/cert"
    login.wrapTTL = wrapTTL
    login.namespace = namespace
    return login
}

/// Has the cert method let our certificate in, with tokens like this.
private func enableCert(_ stage: VaultStage, _ server: OpenBaoServer, namespace: String = "", _ token: String)
    async throws
{
    let mounts = try await stage.administer("sys/auth", "", namespace: namespace, method: .get)
    if mounts["cert/"] == nil { try await stage.administer("sys/auth/cert", #"{"type":"cert"}"#, namespace: namespace) }
    var role = JSONObjectWriter()
    role.add("certificate", text(of: "\(server.certificates.path)/vault-cert.pem") ?? "")
    let json = role.finish().text.dropLast() + "," + token.dropFirst()
    try await stage.administer("auth/cert/certs/app", String(json), namespace: namespace)
}

@Suite("Against a real OpenBao server", .serialized)
struct OpenBaoTests {
    /// What `body` throws.
    private func failure<Value: Sendable>(
        _ stage: VaultStage, _ body: @escaping @Sendable (VaultClient) async throws -> Value
    ) async throws -> AgentError? {
        do {
            _ = try await stage.with(body)
            return nil
        } catch let error as AgentError {
            return error
        }
    }

    @Test("a login, a renewal, a lookup, a revocation, and the end of it")
    func life() async throws {
        let server = try await OpenBaoServer.shared()
        let admin = try server.stage
        try await enableCert(admin, server, #"{"token_ttl":"20m","token_max_ttl":"60m","token_policies":["default"]}"#)
        let stage = try admin.settings(login: certLogin())
        let grant = try await stage.with { client in
            guard case .granted(let grant) = try await client.logIn(.sample, within: limit) else {
                throw ServerMissing(description: "wrapped")
            }
            return grant
        }
        #expect(grant.leaseDuration == .seconds(1_200))
        #expect(grant.renewable)
        #expect(grant.kind == .service)
        #expect(grant.policies == ["default"])
        #expect(grant.metadata["cert_name"] == "app")
        #expect(grant.orphan)
        #expect(!grant.entityID.isEmpty)
        #expect(!grant.accessor.isEmpty)
        #expect(
            stage.log.lines.count { $0.hasPrefix("warning Vault warns") } == 1,
            "the aws fields, which the cert method does not know: \(stage.log.lines)")

        let token = grant.token
        let renewal = try await stage.with { try await $0.renewSelf(token, increment: .seconds(600), within: limit) }
        #expect(renewal.leaseDuration == .seconds(600))
        #expect(renewal.renewable)
        let facts = try await stage.with { try await $0.lookUpSelf(token, within: limit) }
        #expect(facts.ttl.map { $0 <= .seconds(600) } == true)
        #expect(facts.creationTTL == .seconds(1_200))
        #expect(facts.accessor == grant.accessor)
        #expect(facts.path == "auth/cert/login")
        #expect(facts.orphan)

        try await stage.with { try await $0.revokeSelf(token, within: limit) }
        for (asked, error) in [
            ("renew", try await failure(stage) { try await $0.renewSelf(token, increment: nil, within: limit) }),
            ("lookup", try await failure(stage) { try await $0.lookUpSelf(token, within: limit) }),
            ("revoke", try await failure(stage) { try await $0.revokeSelf(token, within: limit) }),
            (
                "child",
                try await failure(stage) {
                    try await $0.createChild(of: token, policies: ["default"], ttl: nil, within: limit)
                }
            ),
            ("wrap", try await failure(stage) { try await $0.wrap(token, ttl: .seconds(60), within: limit) }),
        ] {
            #expect(error?.code == .tokenDead, "\(asked): \(String(describing: error))")
        }
        #expect(!stage.log.lines.contains { $0.contains(token.text) })
    }

    @Test("a renewal near the maximum is shorter, with one warning however often; then the token is dead")
    func maximum() async throws {
        let stage = try await OpenBaoServer.shared().stage
        let token = try await stage.makeToken(#"{"policies":["default"],"ttl":"20m","explicit_max_ttl":"20m"}"#)
        // OpenBao counts whole seconds.
        try await stage.with { _ in try? await Task.sleep(for: .milliseconds(2_100)) }
        for _ in 0..<2 {
            let renewal = try await stage.with {
                try await $0.renewSelf(token, increment: .seconds(1_200), within: limit)
            }
            #expect(renewal.leaseDuration < .seconds(1_200))
        }
        #expect(stage.log.lines.count { $0.contains("max_ttl") } == 1)
        let facts = try await stage.with { try await $0.lookUpSelf(token, within: limit) }
        #expect(facts.explicitMaxTTL == .seconds(1_200))

        let brief = try await stage.makeToken(#"{"policies":["default"],"ttl":"2s","explicit_max_ttl":"2s"}"#)
        var error: AgentError?
        for _ in 0..<120 where error?.code != .tokenDead {
            try await stage.with { _ in try? await Task.sleep(for: .milliseconds(500)) }
            error = try await failure(stage) { try await $0.renewSelf(brief, increment: nil, within: limit) }
        }
        #expect(error?.code == .tokenDead)
    }

    @Test(
        "tokens that cannot be renewed, or may not",
        arguments: [
            (#"{"policies":["default"],"type":"batch","ttl":"60s"}"#, AgentError.Code.tokenNotRenewable, "batch"),
            (#"{"policies":["default"],"renewable":false,"ttl":"60s"}"#, .tokenNotRenewable, "not renewable"),
            (#"{"policies":["root"]}"#, .tokenNotRenewable, "not renewable"),
            (#"{"policies":["none"],"no_default_policy":true,"ttl":"60s"}"#, .vaultDenied, "token_no_default_policy"),
        ])
    func notRenewable(made: String, code: AgentError.Code, remedy: String) async throws {
        let stage = try await OpenBaoServer.shared().stage
        let token = try await stage.makeToken(made)
        let error = try await failure(stage) { try await $0.renewSelf(token, increment: nil, within: limit) }
        #expect(error?.code == code)
        #expect(error?.remedy.contains(remedy) == true)
        if code == .vaultDenied {
            let lookup = try await failure(stage) { try await $0.lookUpSelf(token, within: limit) }
            #expect(lookup?.code == .vaultDenied, "alive, and told apart from a dead one")
            let revocation = try await failure(stage) { try await $0.revokeSelf(token, within: limit) }
            #expect(revocation?.code == .vaultDenied)
        }
    }

    @Test("a batch token, a periodic one, one with few uses, as lookups tell them")
    func lookups() async throws {
        let stage = try await OpenBaoServer.shared().stage
        let batch = try await stage.makeToken(#"{"policies":["default"],"type":"batch","ttl":"60s"}"#)
        let facts = try await stage.with { try await $0.lookUpSelf(batch, within: limit) }
        #expect(facts.kind == .batch)
        #expect(!facts.renewable)
        #expect(facts.accessor.isEmpty)
        let revocation = try await failure(stage) { try await $0.revokeSelf(batch, within: limit) }
        #expect(revocation?.code == .tokenNotRenewable)

        let periodic = try await stage.makeToken(#"{"policies":["default"],"period":"60s"}"#)
        #expect(try await stage.with { try await $0.lookUpSelf(periodic, within: limit) }.period == .seconds(60))

        let scarce = try await stage.makeToken(#"{"policies":["default"],"ttl":"60s","num_uses":2}"#)
        #expect(try await stage.with { try await $0.lookUpSelf(scarce, within: limit) }.numUses == 1)
        #expect(try await stage.with { try await $0.lookUpSelf(scarce, within: limit) }.numUses == -1)
        let spent = try await failure(stage) { try await $0.lookUpSelf(scarce, within: limit) }
        #expect(spent?.code == .tokenDead)

        let unending = try await stage.with { try await $0.lookUpSelf(OpenBaoServer.rootToken, within: limit) }
        #expect(unending.ttl == nil)
    }

    @Test("a role that was deleted ends renewals with a 500 that means: log in anew")
    func deletedRole() async throws {
        let server = try await OpenBaoServer.shared()
        let stage = try server.stage
        try await stage.administer("sys/auth/approle", #"{"type":"approle"}"#)
        try await stage.administer(
            "auth/approle/role/app",
            #"{"bind_secret_id":false,"secret_id_bound_cidrs":["127.0.0.0/8"],"token_ttl":"60s"}"#)
        try await stage.administer("auth/approle/role/app/role-id", #"{"role_id":"role-of-the-tests"}"#)
        let reply = try await stage.administer("auth/approle/login", #"{"role_id":"role-of-the-tests"}"#)
        let token = try #require(reply["auth"]?["client_token"]?.string?.secret)
        _ = try await stage.with { try await $0.renewSelf(token, increment: nil, within: limit) }
        try server.command("delete", "auth/approle/role/app")
        let error = try await failure(stage) { try await $0.renewSelf(token, increment: nil, within: limit) }
        #expect(error?.code == .tokenDead)
        #expect(error?.observed.contains("500") == true)
        #expect(error?.observed.contains("failed to renew entry") == true)
    }

    @Test("children have the policies asked for and end with their parent; what Vault refuses is explained")
    func children() async throws {
        let stage = try await OpenBaoServer.shared().stage
        try await stage.administer(
            "sys/policies/acl/children", #"{"policy":"path \"auth/token/create\" { capabilities = [\"update\"] }"}"#)
        let parent = try await stage.makeToken(#"{"policies":["default","children","app"],"ttl":"60s"}"#)
        let child = try await stage.with {
            try await $0.createChild(of: parent, policies: ["app"], ttl: .seconds(30), within: limit)
        }
        #expect(child.policies == ["app"])
        #expect(child.leaseDuration == .seconds(30))
        #expect(!child.orphan)
        let withDefault = try await stage.with {
            try await $0.createChild(of: parent, policies: ["app", "default"], ttl: nil, within: limit)
        }
        #expect(withDefault.policies == ["app", "default"])
        let beyond = try await failure(stage) {
            try await $0.createChild(of: parent, policies: ["other"], ttl: nil, within: limit)
        }
        #expect(beyond?.code == .vaultDenied)
        #expect(beyond?.remedy.contains("token_policies") == true)
        try await stage.with { try await $0.revokeSelf(parent, within: limit) }
        let orphaned = try await failure(stage) { try await $0.lookUpSelf(withDefault.token, within: limit) }
        #expect(orphaned?.code == .tokenDead)

        let childless = try await stage.makeToken(#"{"policies":["default"],"ttl":"60s"}"#)
        let forbidden = try await failure(stage) {
            try await $0.createChild(of: childless, policies: ["default"], ttl: nil, within: limit)
        }
        #expect(forbidden?.code == .vaultDenied)
        #expect(forbidden?.remedy.contains("auth/token/create") == true)
        for (made, remedy) in [("type\":\"batch", "token_type=service"), ("num_uses\":\"9", "token_num_uses")] {
            let token = try await stage.makeToken(#"{"policies":["children"],"ttl":"60s","\#(made)"}"#)
            let error = try await failure(stage) {
                try await $0.createChild(of: token, policies: ["children"], ttl: nil, within: limit)
            }
            #expect(error?.code == .vaultDenied)
            #expect(error?.remedy.contains(remedy) == true)
        }
    }

    @Test("a wrapped login is unwrapped once; a wrapped token is what Vault Agent would write")
    func wrapping() async throws {
        let server = try await OpenBaoServer.shared()
        let admin = try server.stage
        try await enableCert(admin, server, #"{"token_ttl":"20s","token_policies":["default"]}"#)
        let stage = try admin.settings(login: certLogin(wrapTTL: .seconds(60)))
        let wrapping = try await stage.with { client in
            guard case .wrapped(let wrapping) = try await client.logIn(.sample, within: limit) else {
                throw ServerMissing(description: "not wrapped")
            }
            return wrapping
        }
        #expect(wrapping.ttl == .seconds(60))
        #expect(wrapping.creationPath == "auth/cert/login")
        #expect(wrapping.creationTime.hasSuffix("Z"))
        let grant = try await stage.with { try await $0.unwrap(wrapping.token, within: limit) }
        #expect(grant.accessor == wrapping.wrappedAccessor)
        #expect(grant.leaseDuration == .seconds(20))
        let again = try await failure(stage) { try await $0.unwrap(wrapping.token, within: limit) }
        #expect(again?.code == .tokenDead)
        #expect(again?.remedy.contains("stolen") == true)

        let wrapped = try await stage.with { try await $0.wrap(grant.token, ttl: .seconds(60), within: limit) }
        let inside = try await admin.administer("sys/wrapping/unwrap", #"{"token":"\#(wrapped.token.text)"}"#)
        #expect(inside["data"]?["token"]?.string?.secret == grant.token)
    }

    @Test("namespaces: the login's and the token's, in the header; one that is not there")
    func namespaces() async throws {
        let server = try await OpenBaoServer.shared()
        let admin = try server.stage
        try await admin.administer("sys/namespaces/team", "{}")
        try await enableCert(admin, server, namespace: "team", #"{"token_ttl":"20s"}"#)
        for stage in [
            try admin.settings(login: certLogin()) { $0.namespace = "team" },
            try admin.settings(login: certLogin(namespace: "team")) { $0.namespace = "elsewhere" },
        ] {
            let facts = try await stage.with { client in
                guard case .granted(let grant) = try await client.logIn(.sample, within: limit) else {
                    throw ServerMissing(description: "wrapped")
                }
                _ = try await client.renewSelf(grant.token, increment: nil, within: limit)
                return try await client.lookUpSelf(grant.token, within: limit)
            }
            #expect(facts.namespace == "team")
        }
        let absent = try admin.settings(login: certLogin()) { $0.namespace = "absent" }
        let error = try await failure(absent) { try await $0.logIn(.sample, within: limit) }
        #expect(error?.code == .vaultLoginRefused)
        #expect(error?.remedy.contains("namespace") == true)
        let token = try await failure(absent) {
            try await $0.renewSelf(OpenBaoServer.rootToken, increment: nil, within: limit)
        }
        #expect(token?.code == .vaultDenied)
    }

    @Test("a mount that is not there, and one of another kind")
    func wrongMount() async throws {
        let stage = try await OpenBaoServer.shared().stage
        let absent = try await failure(stage) { try await $0.logIn(.sample, within: limit) }
        #expect(absent?.code == .vaultLoginRefused)
        #expect(absent?.remedy.contains("No aws method at auth/aws") == true)
        try await stage.administer("sys/auth/userpass", #"{"type":"userpass"}"#)
        var login = LoginSettings(method: .iam)
        login.mountPath = "auth/userpass"
        let other = try await failure(try stage.settings(login: login)) { try await $0.logIn(.sample, within: limit) }
        #expect(other?.code == .vaultLoginRefused)
    }

    @Test("a quota that is used up: throttled, for as long as Vault says")
    func quota() async throws {
        let stage = try await OpenBaoServer.shared().stage
        try await stage.administer("sys/namespaces/busy", "{}")
        try await stage.administer("sys/quotas/config", #"{"enable_rate_limit_response_headers":true}"#)
        let token = try await stage.makeToken(#"{"policies":["default"],"ttl":"60s"}"#, namespace: "busy")
        try await stage.administer("sys/quotas/rate-limit/busy", #"{"rate":1,"interval":"30s","path":"busy/"}"#)
        let busy = try stage.settings { $0.namespace = "busy" }
        _ = try await busy.with { try await $0.lookUpSelf(token, within: limit) }
        let error = try await failure(busy) { try await $0.lookUpSelf(token, within: limit) }
        #expect(error?.code == .vaultThrottled)
        #expect(error?.retryAfter.map { $0 > .zero && $0 <= .seconds(30) } == true, "\(String(describing: error))")
    }

    @Test("http where TLS is spoken, and a certificate of a CA that is not known")
    func wrongScheme() async throws {
        let server = try await OpenBaoServer.shared()
        let plain = try server.stage.settings { $0.addresses = ["http" + server.address.dropFirst(5)] }
        // A server that does not read the request's body may cut the connection before its words arrive.
        for (error, remedy) in [
            (try await failure(plain) { try await $0.lookUpSelf(sampleToken, within: limit) }, "https://"),
            (try await failure(plain) { try await $0.logIn(.sample, within: limit) }, "http"),
        ] {
            #expect(error?.code == .vaultUnreachable)
            #expect(error?.remedy.contains(remedy) == true, "\(String(describing: error))")
        }
        let stranger = try server.stage.settings { $0.tls.caFile = nil }
        let untrusted = try await failure(stranger) { try await $0.logIn(.sample, within: limit) }
        #expect(untrusted?.code == .vaultTLS)
        #expect(untrusted?.remedy.contains("vault.tls.ca_cert") == true)
    }

    @Test("sealed: unavailable for every call, another address serves; unsealed: all is well again")
    func sealed() async throws {
        let server = try await OpenBaoServer.start()
        let stage = try server.stage
        let token = try await stage.makeToken(#"{"policies":["default"],"ttl":"60s"}"#)
        let key = try #require(try server.line(beginningWith: "Unseal Key: "))
        try await stage.administer("sys/seal", "{}")
        for error in [
            try await failure(stage) { try await $0.logIn(.sample, within: limit) },
            try await failure(stage) { try await $0.renewSelf(token, increment: nil, within: limit) },
            try await failure(stage) { try await $0.lookUpSelf(token, within: limit) },
            try await failure(stage) { try await $0.unwrap(token, within: limit) },
        ] {
            #expect(error?.code == .vaultUnavailable)
            #expect(error?.remedy.contains("Unseal") == true)
        }
        let health = try await stage.with { try await $0.health(of: server.address, within: limit) }
        #expect(health.sealed)
        #expect(health.status == 503)

        try await stage.administer("sys/unseal", #"{"key":"\#(key)"}"#)
        let deadline = stage.loop.now + .seconds(30)
        var renewal: Renewal?
        while renewal == nil, stage.loop.now < deadline {
            renewal = try? await stage.with { try await $0.renewSelf(token, increment: nil, within: limit) }
        }
        #expect(renewal?.leaseDuration == .seconds(60))
        let open = try await stage.with { try await $0.health(of: server.address, within: limit) }
        #expect(!open.sealed)
        #expect(open.version.hasPrefix("2."))
        #expect(open.serverTime.map { abs($0.secondsSince1970 - stage.loop.wallTime.secondsSince1970) <= 5 } == true)
    }
}
