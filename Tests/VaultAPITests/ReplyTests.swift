import Crypto
import Diagnosis
import HTTPClient
import TestSupport
import Testing
import Timekeeping
import VaultAPI

private let minute: Duration = .seconds(60)

@Suite("What Vault grants")
struct ReplyTests {
    @Test("a login, with everything in it")
    func login() async throws {
        let vault = ScriptedVault([.reply(200, loginSuccess)])
        let sentAt = vault.transport.clock.now
        let grant = try await vault.logIn()
        #expect(grant.token == Secret(text: "s.2N2Ke7SPGcgaJilpxrBLiqIb"))
        #expect(grant.accessor == "bBZxCNeHxow9Xl7BSCWb6nhf")
        #expect(grant.policies == ["app", "default"])
        #expect(grant.metadata == ["account_id": "123456789012", "auth_type": "iam"])
        #expect(grant.leaseDuration == .seconds(20))
        #expect(grant.renewable)
        #expect(grant.kind == .service)
        #expect(grant.numUses == 0)
        #expect(grant.entityID == "e-1")
        #expect(grant.orphan)
        #expect(grant.sentAt == sentAt)
        #expect(vault.log.lines.isEmpty)
    }

    @Test("a batch token; no lease means never; the ec2 nonce is kept out of the metadata")
    func variants() async throws {
        let vault = ScriptedVault([
            .reply(
                200,
                #"{"auth":{"client_token":"hvb.x","accessor":"","policies":null,"lease_duration":0,"renewable":false,"#
                    + #""token_type":"batch","num_uses":3,"metadata":{"nonce":"5defbf9e","role":"app","odd":7}}}"#)
        ])
        let grant = try await vault.logIn()
        #expect(grant.kind == .batch)
        #expect(grant.leaseDuration == nil)
        #expect(grant.numUses == 3)
        #expect(grant.policies.isEmpty)
        #expect(grant.metadata == ["role": "app"])
    }

    @Test("a wrapped login, asked for")
    func wrapped() async throws {
        var login = LoginSettings(method: .iam)
        login.wrapTTL = .seconds(120)
        let wrapInfo = """
            {"request_id":"","auth":null,"data":null,"wrap_info":{"token":"hvs.wrap","accessor":"wa","ttl":120,\
            "creation_time":"2026-11-21T09:37:23.5Z","creation_path":"auth/aws/login","wrapped_accessor":"inner"}}
            """
        let vault = ScriptedVault([.reply(200, wrapInfo), .reply(200, loginSuccess)], login: login)
        guard case .wrapped(let wrapping) = try await vault.client.logIn(.sample, within: minute) else {
            Issue.record("not wrapped")
            return
        }
        #expect(vault.transport.requests[0].header("X-Vault-Wrap-TTL") == "120s")
        #expect(wrapping.token == Secret(text: "hvs.wrap"))
        #expect(wrapping.accessor == "wa")
        #expect(wrapping.ttl == .seconds(120))
        #expect(wrapping.creationTime == "2026-11-21T09:37:23.5Z")
        #expect(wrapping.creationPath == "auth/aws/login")
        #expect(wrapping.wrappedAccessor == "inner")
        let grant = try await vault.client.unwrap(wrapping.token, within: minute)
        #expect(grant.leaseDuration == .seconds(20))
    }

    @Test(
        "a wrapped login, not asked for, is refused; one that was asked for and is not wrapped is used, with a warning")
    func wrappingMismatch() async throws {
        let unasked = ScriptedVault([.reply(200, #"{"auth":null,"wrap_info":{"token":"s.w","ttl":60}}"#)])
        let error = await #expect(throws: AgentError.self) { try await unasked.logIn() }
        #expect(error?.observed.contains("not asked for") == true)
        #expect(error?.description.contains("s.w") == false)

        var login = LoginSettings(method: .iam)
        login.wrapTTL = minute
        let unwrapped = ScriptedVault([.reply(200, loginSuccess)], login: login)
        _ = try await unwrapped.logIn()
        #expect(unwrapped.log.lines.count == 1)
        #expect(unwrapped.log.lines.first?.contains("X-Vault-Wrap-TTL") == true)
    }

    @Test(
        "a second factor is a matter of configuration",
        arguments: [
            #"{"auth":{"client_token":"","lease_duration":0,"mfa_requirement":{"mfa_request_id":"1","mfa_constraints":{}}}}"#
        ])
    func secondFactor(body: String) async {
        let vault = ScriptedVault([.reply(200, body)])
        let error = await #expect(throws: AgentError.self) { try await vault.logIn() }
        #expect(error?.code == .vaultLoginRefused)
        #expect(error?.remedy.contains("login-enforcement") == true)
    }

    @Test("a renewal; less than a second is the maximum")
    func renewal() async throws {
        func body(_ lease: String) -> Scripted {
            .reply(200, #"{"auth":{"client_token":"s.x","lease_duration":\#(lease),"renewable":true}}"#)
        }
        let vault = ScriptedVault([body("3"), body("20.0"), body("0")])
        let first = try await vault.client.renewSelf(sampleToken, increment: nil, within: minute)
        #expect(first.leaseDuration == .seconds(3))
        #expect(first.renewable)
        #expect(first.sentAt == vault.transport.clock.now)
        let second = try await vault.client.renewSelf(sampleToken, increment: nil, within: minute)
        #expect(second.leaseDuration == .seconds(20))
        let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(error?.code == .tokenAtMaximum)
    }

    @Test("a lookup")
    func lookup() async throws {
        let vault = ScriptedVault([
            .reply(
                200,
                """
                {"data":{"accessor":"AMTx","creation_time":1795253842,"creation_ttl":20,"display_name":"token",\
                "entity_id":"","expire_time":"2026-11-21T09:37:42.3Z","explicit_max_ttl":60,"id":"s.ITZ0",\
                "namespace_path":"team/a/","num_uses":-1,"orphan":false,"path":"auth/aws/login","period":30,\
                "policies":["default"],"renewable":true,"ttl":19,"type":"service"}}
                """),
            .reply(
                200, #"{"data":{"ttl":0,"expire_time":null,"explicit_max_ttl":0,"type":"batch","policies":["root"]}}"#),
            .reply(200, #"{"data":{"ttl":0,"expire_time":"2026-11-21T09:37:42.3Z"}}"#),
        ])
        let facts = try await vault.client.lookUpSelf(sampleToken, within: minute)
        #expect(facts.ttl == .seconds(19))
        #expect(facts.creationTTL == .seconds(20))
        #expect(facts.explicitMaxTTL == .seconds(60))
        #expect(facts.period == .seconds(30))
        #expect(facts.renewable)
        #expect(facts.kind == .service)
        #expect(facts.numUses == -1)
        #expect(facts.accessor == "AMTx")
        #expect(facts.policies == ["default"])
        #expect(facts.path == "auth/aws/login")
        #expect(facts.namespace == "team/a")
        #expect(facts.createdAt.rfc3339 == "2026-11-21T09:37:22Z")
        let root = try await vault.client.lookUpSelf(sampleToken, within: minute)
        #expect(root.ttl == nil)
        #expect(root.explicitMaxTTL == nil)
        #expect(root.period == nil)
        #expect(root.kind == .batch)
        #expect(try await vault.client.lookUpSelf(sampleToken, within: minute).ttl == .zero, "at its end, not unending")
    }

    @Test("a server's health, sealed or not", arguments: [200, 429, 472, 473, 501, 503])
    func health(status: Int) async throws {
        let vault = ScriptedVault([
            .reply(
                status,
                #"{"initialized":true,"sealed":\#(status == 503),"standby":false,"version":"2.7.2","cluster_name":"c\u001b[2J","#
                    + #""server_time_utc":1795252200}"#)
        ])
        let health = try await vault.client.health(of: "https://vault.example:8200", within: minute)
        #expect(health.status == status)
        #expect(health.sealed == (status == 503))
        #expect(health.initialized)
        #expect(health.version == "2.7.2")
        #expect(health.clusterName == #"c\x1b[2J"#)
        #expect(health.serverTime == vault.transport.clock.wallTime)
        await #expect(throws: AgentError.self) { try await vault.client.health(of: "https://other", within: minute) }
    }

    @Test("a health page that is not Vault's")
    func foreignHealth() async {
        let vault = ScriptedVault([.reply(503, "<html>"), .reply(200, "{}")])
        for _ in 0..<2 {
            let error = await #expect(throws: AgentError.self) {
                try await vault.client.health(of: "https://vault.example:8200", within: minute)
            }
            #expect(error?.code == .vaultUnavailable)
        }
    }
}

@Suite("Replies that cannot be used")
struct UnusableReplyTests {
    /// Passing and bounded; says what is wrong and nothing of what stood there.
    private func check(_ scripted: Scripted, _ asked: Asked = .login, saying why: String) async {
        let vault = ScriptedVault([scripted])
        let error = await #expect(throws: AgentError.self) { try await asked.ask(vault) }
        #expect(error?.code == .vaultUnavailable)
        #expect(error?.observed.contains(why) == true, "\(error?.observed ?? "")")
        #expect(error?.description.contains("SECRET") == false)
        #expect((error?.description.count ?? 0) < 500)
        #expect(vault.log.lines.isEmpty)
    }

    @Test(
        "fields that are missing or of the wrong type",
        arguments: [
            (#"{}"#, "no auth"), (#"{"auth":null}"#, "no auth"), (#"{"auth":[]}"#, "no auth"), (#"[1]"#, "no auth"),
            (#"{"auth":{}}"#, "no lease_duration"),
            (#"{"auth":{"lease_duration":20}}"#, "no client_token"),
            (#"{"auth":{"lease_duration":20,"client_token":""}}"#, "client_token"),
            (#"{"auth":{"lease_duration":20,"client_token":"SECRET with spaces"}}"#, "client_token"),
            (#"{"auth":{"lease_duration":20,"client_token":"SECRET\r\nX-Evil: 1"}}"#, "client_token"),
            (#"{"auth":{"lease_duration":20,"client_token":7}}"#, "client_token is a number"),
            (#"{"auth":{"client_token":"SECRET"}}"#, "no lease_duration"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":-1}}"#, "lease_duration"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":1.5}}"#, "lease_duration"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":"20"}}"#, "lease_duration is a string"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":1e3}}"#, "lease_duration"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":99999999999999999999}}"#, "lease_duration"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20,"renewable":"yes"}}"#, "renewable"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20,"policies":"default"}}"#, "policies"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20,"policies":[1]}}"#, "policies"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20,"accessor":{}}}"#, "accessor"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20,"token_type":"odd"}}"#, "token type"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20,"num_uses":"1"}}"#, "num_uses"),
            (#"{"auth":{"client_token":"SECRET","client_token":"SECRET","lease_duration":20}}"#, "twice"),
            (#"{"auth":{"client_token":"SECRET","lease_duration":20}"#, "not JSON"),
            (#"{"auth":{"client_token":"SECRET"#, "not JSON"),
            ("<html><body>Sign in to the SECRET guest Wi-Fi</body></html>", "not JSON"),
            ("SECRET", "not JSON"), ("", "empty"),
        ])
    func fields(body: String, why: String) async {
        await check(.reply(200, body), saying: why)
    }

    @Test("204, where something was to come", arguments: [Asked.login, .renew, .lookUp, .createChild, .wrap, .unwrap])
    func noContent(asked: Asked) async {
        await check(.reply(204, ""), asked, saying: "empty (status 204)")
    }

    @Test("a megabyte of garbage, of zeros, of brackets, of values")
    func megabytes() async {
        var state: UInt64 = 7
        let garbage = (0..<1 << 20).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        await check(.bytes(200, garbage), saying: "not JSON")
        await check(.bytes(200, [UInt8](repeating: 0, count: 1 << 20)), saying: "not JSON")
        await check(.bytes(200, [UInt8](repeating: UInt8(ascii: "["), count: 1 << 20)), saying: "inside one another")
        await check(
            .reply(200, #"{"auth":["# + String(repeating: "0,", count: 1 << 19) + "0]}"),
            saying: "more than 20000 values")
        let error = ScriptedVault([.bytes(500, garbage)])
        let thrown = await #expect(throws: AgentError.self) { try await Asked.login.ask(error) }
        #expect(thrown?.code == .vaultUnavailable)
    }

    @Test("a lease of a million years is cut to ten")
    func hugeLease() async throws {
        let vault = ScriptedVault([
            .reply(200, #"{"auth":{"client_token":"s.x","lease_duration":31556952000000,"renewable":true}}"#)
        ])
        #expect(try await vault.logIn().leaseDuration == .longestInText)
    }

    @Test("the content type helps to tell a portal from Vault")
    func contentType() async {
        await check(
            .reply(200, "<html>", [("content-type", "text/html; \u{1B}[2J\r\nSet-Cookie: x")]),
            saying: #"content type text/html; \x1b[2J Set-Cookie: x"#)
    }
}
