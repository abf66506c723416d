import Crypto
import Diagnosis
import HTTPClient
import Testing
import Timekeeping
import VaultAPI

private let three = ["https://a:8200", "https://b:8200", "unix:///run/c.sock"]
private let renewed = Scripted.reply(200, #"{"auth":{"client_token":"s.x","lease_duration":20,"renewable":true}}"#)
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

    @Test(
        "and where the answer is about that server",
        arguments: [
            (503, "Vault is sealed"), (503, ""), (502, ""), (504, ""), (473, ""), (307, ""),
            (500, "local node not active but active cluster node not found"),
        ])
    func serverTrouble(status: Int, said: String) async throws {
        let vault = ScriptedVault([.reply(status, errors(said)), renewed], addresses: three)
        try await Asked.renew.ask(vault)
        #expect(hosts(vault) == "ab")
    }

    @Test(
        "an answer about the request counts, whoever gives it",
        arguments: [
            (403, "permission denied"), (429, "rate limit quota exceeded"), (500, "failed to renew entry: x"),
            (500, "internal error"), (412, ""), (400, "cannot write to readonly storage"),
            (503, "API access to this namespace has been locked by an administrator"),
        ])
    func requestTrouble(status: Int, said: String) async throws {
        let vault = ScriptedVault([.reply(status, errors(said)), renewed], addresses: three)
        await #expect(throws: AgentError.self) { try await Asked.renew.ask(vault) }
        #expect(hosts(vault) == "a")
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
                "notice: Vault answers at another address address=unix:///run/c.sock",
                "notice: Vault answers at another address address=https://a:8200",
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
