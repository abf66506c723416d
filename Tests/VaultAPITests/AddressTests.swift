import Crypto
import Diagnosis
import HTTPClient
import TestSupport
import Testing
import Timekeeping
import VaultAPI

private let three = ["https://a:8200", "https://b:8200", "unix:///run/c.sock"]
private let renewed = Scripted.reply(200, #"{"auth":{"client_token":"s.x","lease_duration":20,"renewable":true}}"#)
private let lookedUp = """
    {"data":{"ttl":20,"renewable":true,"type":"service","expire_time":"2026-11-21T09:10:20Z","creation_time":1795252200,\
    "creation_ttl":20,"num_uses":0,"accessor":"a","policies":["app"],"path":"auth/aws/login","orphan":true}}
    """
private let sealed = Scripted.reply(503, errors("Vault is sealed"))
private let denied = Scripted.reply(403, errors("permission denied"))

private func failure(_ kind: HTTPFailure.Kind, maybeSent: Bool = false) -> Scripted {
    .fail(HTTPFailure(kind, "it is \(kind)", maybeSent: maybeSent))
}

@Suite("Several addresses")
struct AddressTests {
    private func hosts(_ vault: ScriptedVault) -> String {
        vault.transport.requests.map { request in
            request.route.unixSocketPath == nil ? String(request.url.dropFirst(8).prefix(1)) : "c"
        }.joined()
    }

    @Test(
        "the next one is tried where an address gives no answer, whatever the reason",
        arguments: [
            HTTPFailure.Kind.nameNotResolved, .connectionRefused, .noRoute, .connectTimedOut, .replyTimedOut,
            .connectionLost, .proxyFailed, .certificateRefused, .tlsFailed, .replyTooLong, .replyMalformed, .badURL,
            .other,
        ])
    func noAnswer(kind: HTTPFailure.Kind) async throws {
        for maybeSent in [false, true] {
            let vault = ScriptedVault([failure(kind, maybeSent: maybeSent), renewed], addresses: three)
            try await Asked.renew.ask(vault)
            #expect(hosts(vault) == "ab")
        }
    }

    @Test("what one token met with a server spares the others the same, unless they reach it by another way")
    func shared() async throws {
        let servers = VaultServers()
        let first = ScriptedVault([failure(.connectTimedOut), renewed], addresses: three, servers: servers)
        try await Asked.renew.ask(first)
        #expect(hosts(first) == "ab")
        let second = ScriptedVault([renewed, renewed], addresses: three, servers: servers)
        try await Asked.renew.ask(second)
        #expect(hosts(second) == "b")
        let throttled = ScriptedVault(
            [.reply(429, errors("quota"), [("retry-after", "60")]), renewed], addresses: ["https://b:8200", three[2]],
            servers: servers)
        try await Asked.renew.ask(throttled)
        #expect(hosts(throttled) == "bc")
        let third = ScriptedVault([renewed], addresses: three, servers: servers)
        try await Asked.renew.ask(third)
        #expect(hosts(third) == "c", "the one rests, the other wants to be left alone")
        let other = ScriptedVault([renewed], addresses: three, servers: servers) { $0.tls.serverName = "vault" }
        try await Asked.renew.ask(other)
        #expect(hosts(other) == "a")
    }

    @Test(
        "and where the answer is about that server",
        arguments: [
            (503, "Vault is sealed"), (503, ""), (502, ""), (504, ""), (473, ""), (307, ""),
            (500, "local node not active but active cluster node not found"), (412, "required index state not present"),
            (400, "cannot write to readonly storage"), (500, "internal error"), (599, "odd"),
            (429, "rate limit quota exceeded"),
        ])
    func serverTrouble(status: Int, said: String) async throws {
        let vault = ScriptedVault([.reply(status, errors(said)), renewed], addresses: three)
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "ab")
    }

    @Test(
        "an answer about the request counts, whoever gives it",
        arguments: [
            (403, "permission denied"), (500, "failed to renew entry: x"), (400, "something about the request"),
            (503, "API access to this namespace has been locked by an administrator"),
        ])
    func requestTrouble(status: Int, said: String) async throws {
        let vault = ScriptedVault([.reply(status, errors(said)), renewed], addresses: three)
        await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(hosts(vault) == "a")
    }

    @Test(
        "and where what came is not Vault's, whatever the status",
        arguments: [
            (200, "<html>It works!</html>"), (200, ""), (200, "{}"), (200, #"{"status":"ok"}"#), (204, ""),
            (404, "<h1>404</h1>"), (405, ""), (403, "Access denied by policy 7"), (400, "Bad Request"),
            (401, #"{"message":"who are you?"}"#), (500, "oops"),
        ])
    func notVaults(status: Int, page: String) async throws {
        for asked in [Asked.renew, .lookUp] {
            let good = asked == .renew ? renewed : .reply(200, lookedUp)
            let vault = ScriptedVault([.reply(status, page), good], addresses: three)
            try await asked.ask(vault)
            #expect(hosts(vault) == "ab")
        }
        // What works once may have been used up by whoever answered so.
        let vault = ScriptedVault([.reply(status, page), renewed], addresses: three)
        await #expect(throws: AgentError.self) { try await Asked.unwrap.ask(vault) }
        #expect(hosts(vault) == "a")
    }

    @Test("a page in place of nothing, as a revocation is answered, is not taken for it")
    func revocation() async throws {
        let vault = ScriptedVault([.reply(200, "<html>"), .reply(204, "")], addresses: three)
        try await Asked.revoke.ask(vault)
        #expect(hosts(vault) == "ab")
    }

    @Test("with one address a page is an error that passes, and the next request takes another connection")
    func oneAddress() async throws {
        let vault = ScriptedVault([.reply(404, "<h1>404</h1>"), renewed, renewed])
        let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(error?.code == .vaultUnavailable)
        #expect(error?.remedy.contains("load balancer") == true)
        try await Asked.renew.ask(vault)
        try await Asked.renew.ask(vault)
        #expect(vault.transport.requests.map(\.wantsOtherConnection) == [false, true, false])
    }

    @Test("one that failed is asked last for a while")
    func resting() async throws {
        let refused = failure(.connectionRefused)
        // a fails, b serves; then b fails too: c before a, which has failed just now; later a before b, which rests.
        let vault = ScriptedVault(
            [sealed, renewed, refused, refused, renewed, refused, renewed], addresses: three)
        try await Asked.renew.ask(vault)
        vault.transport.clock.advance(by: .seconds(9))
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "ab" + "bca")
        vault.transport.clock.advance(by: .seconds(11))
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "abbca" + "ab")
    }

    private func throttled(_ seconds: Int) -> Scripted {
        .reply(429, errors("rate limit quota exceeded"), [(name: "retry-after", value: "\(seconds)")])
    }

    @Test("what one asks for silences that one only")
    func quiet() async throws {
        let vault = ScriptedVault(
            [throttled(3_600), renewed, failure(.connectionLost), failure(.connectionLost), renewed],
            addresses: three)
        try await Asked.renew.ask(vault)
        vault.transport.clock.advance(by: .seconds(600))
        let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(hosts(vault) == "ab" + "bc")
        #expect(error?.retryAfter == nil)
        #expect(error?.observed.contains("https://a:8200 asked to be left alone for another 50m") == true)
        vault.transport.clock.advance(by: .seconds(3_000))
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "abbca")
    }

    @Test("the list is quiet once each of them asked for it, until the first has had its time")
    func allQuiet() async throws {
        let vault = ScriptedVault([throttled(60), throttled(20), throttled(40), renewed], addresses: three)
        let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(error?.code == .vaultThrottled)
        #expect(error?.retryAfter == .seconds(20))
        #expect(hosts(vault) == "abc")
        // Whoever asks all the same has a reason; the one whose time ends first is asked.
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "abcb")
    }

    @Test("sticks to the one that answered, and says where that is")
    func sticking() async throws {
        let vault = ScriptedVault(
            [
                sealed, failure(.connectionRefused), renewed, renewed, denied, failure(.connectionLost), renewed,
                renewed,
            ],
            addresses: three)
        try await Asked.renew.ask(vault)
        try await Asked.renew.ask(vault)
        await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        try await Asked.renew.ask(vault)
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "abcccca" + "a")
        #expect(
            vault.log.lines == [
                "notice Vault answers at another address address=unix:///run/c.sock",
                "notice Vault answers at another address address=https://a:8200",
            ])
    }

    @Test("none of them: one error with what each said, of the kind that says most")
    func noneServes() async {
        let vault = ScriptedVault(
            [failure(.connectionRefused), failure(.certificateRefused), sealed], addresses: three)
        let error = await #expect(throws: AgentError.self) { try await Asked.login.ask(vault) }
        #expect(error?.code == .vaultUnavailable)
        for part in [
            "3 addresses", "https://a:8200", "connectionRefused", "https://b:8200", "certificateRefused", "sealed",
        ] {
            #expect(error?.observed.contains(part) == true)
        }
        #expect(error?.remedy.contains("Unseal") == true)
    }

    @Test("a cancelled request ends there")
    func cancelled() async {
        let vault = ScriptedVault([failure(.cancelled, maybeSent: true), renewed], addresses: three)
        let error = await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(error?.code == .cancelled)
        #expect(hosts(vault) == "a")
    }

    @Test("what works once only is not sent twice, unless it surely did not arrive")
    func unwrapping() async throws {
        let lost = ScriptedVault([failure(.connectionLost, maybeSent: true), renewed], addresses: three)
        await #expect(throws: AgentError.self) { try await Asked.unwrap.ask(lost) }
        #expect(hosts(lost) == "a")
        let refused = ScriptedVault([failure(.connectionRefused), renewed], addresses: three)
        try await Asked.unwrap.ask(refused)
        #expect(hosts(refused) == "ab")
    }

    @Test("one that hangs takes the time of one attempt, and the next attempt begins with another")
    func hanging() async throws {
        let vault = ScriptedVault(
            [.slow(.seconds(60), 200, ""), .slow(.seconds(60), 200, ""), renewed], addresses: three)
        let before = vault.transport.clock.now
        await #expect(throws: AgentError.self) {
            try await vault.client.renewSelf(sampleToken, increment: nil, within: .seconds(15))
        }
        // 10 s for the first, the 5 s that were left for the second, nothing for the third.
        #expect(vault.transport.clock.now - before == .seconds(15))
        #expect(vault.transport.requests.map(\.totalTimeout) == [.seconds(10), .seconds(5)])
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "abc")
    }

    @Test(
        "failures without an answer: code and remedy of each",
        arguments: [
            (HTTPFailure.Kind.nameNotResolved, AgentError.Code.vaultUnreachable, "DNS"),
            (.connectionRefused, .vaultUnreachable, "Nothing listens"), (.noRoute, .vaultUnreachable, "routes"),
            (.connectTimedOut, .vaultUnreachable, "security groups"),
            (.replyTimedOut, .vaultUnreachable, "request_timeout"),
            (.connectionLost, .vaultUnreachable, "http://"), (.proxyFailed, .vaultUnreachable, "HTTPS_PROXY"),
            (.certificateRefused, .vaultTLS, "ca_cert"), (.tlsFailed, .vaultTLS, "client_cert"),
            (.replyTooLong, .vaultUnavailable, "something else"),
            (.replyMalformed, .vaultUnavailable, "something else"),
            (.badURL, .configurationInvalid, "https://host:port"), (.cancelled, .cancelled, ""),
            (.other, .vaultUnreachable, ""),
        ])
    func codes(kind: HTTPFailure.Kind, code: AgentError.Code, remedy: String) async {
        let vault = ScriptedVault([failure(kind)])
        let error = await #expect(throws: AgentError.self) { try await Asked.login.ask(vault) }
        #expect(error?.code == code)
        #expect(error?.observed.contains("https://vault.example:8200") == true)
        #expect(error?.observed.contains("it is \(kind)") == true)
        #expect(error?.remedy.contains(remedy) == true)
    }
}

@Suite("At start")
struct StartWarningTests {
    @Test(
        "plain http is told from what stays on this machine",
        arguments: [
            ("http://vault.example:8200", true), ("http://10.0.0.7:8200", true), ("http://[2001:db8::1]:8200", true),
            ("http://127.0.0.1.evil.example", true), ("http://localhost.evil.example", true), ("HTTP://vault", true),
            ("http://127.0.0.1:8200", false), ("http://127.9.9.9", false), ("http://[::1]:8200", false),
            ("http://localhost:8200", false), ("http://LOCALHOST/prefix", false), ("https://vault.example:8200", false),
            ("unix:///run/vault.sock", false),
        ])
    func plainHTTP(address: String, isWarned: Bool) {
        #expect(VaultServer.isPlainBeyondLoopback(address) == isWarned)
    }
}
