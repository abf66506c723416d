import Crypto
import Diagnosis
import HTTPClient
import TestSupport
import Testing
import VaultAPI

@Suite("Server's words are quoted without secrets")
struct QuotingTests {
    private func observed(_ status: Int, _ body: String, _ asked: Asked = .login) async -> String {
        let vault = ScriptedVault([.reply(status, body)])
        let error = await #expect(throws: AgentError.self) { try await asked.ask(vault) }
        #expect(vault.log.lines.isEmpty)
        return error?.description ?? ""
    }

    @Test("the first 200 characters, on one line")
    func length() async {
        let long = (0..<100).map { "word\($0)" }.joined(separator: " ")
        let text = await observed(500, errors(long))
        #expect(text.contains("\"\(long.prefix(200))…\""))
        #expect(await observed(500, errors(" a\n\tb\r\n  c ")).contains("\"a b c\""))
        #expect(await observed(500, "").contains("500: an empty reply"))
        #expect(await observed(500, #"{"errors":[]}"#).contains("500: an empty reply"))
        #expect(await observed(500, #"{"errors":["a","b",7]}"#).contains("\"a; b\""))
    }

    @Test("markup gives way to the words in it")
    func markup() async {
        let page = "<html>\r\n<head><title>502 Bad Gateway</title></head><body><hr><center>nginx</center></body></html>"
        #expect(await observed(502, page).contains("502: \"502 Bad Gateway nginx\""))
        #expect(await observed(500, "1 < 2 and 3 > 2, <unclosed").contains("\"1 < 2 and 3 > 2, <unclosed\""))
    }

    @Test(
        "what looks like a token",
        arguments: [
            "hvs.CAESIBbzhrXMPNMRLxLmQyTcpnvt", "hvb.AAAAAQI_q4rq7IZuqS5gPu4QyhIs", "s.2N2Ke7SPGcgaJilpxrBLiqIb",
            "b.AAAAAQI_q4rq7IZuqS5gPu4QyhIsXjLG", "hvr.CAESIBbzhrXMPNMRLxLmQyTc", "r.2N2Ke7SPGcgaJilpxrBLiqIb",
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln", "0123456789abcdef0123456789abcdef0123456789abcdef",
            "FwoGZXIvYXdzEBYaDHh2/KyQ7Zs+abcdefghijklmnopqrstuvwxyz0123456789abcdef==",
        ])
    func tokens(token: String) async {
        for text in ["token \(token) is bad", "token=\(token)", "\"\(token)\"", token, "nonce:\(token)."] {
            for body in [errors(text), text] {
                let shown = await observed(500, body)
                #expect(!shown.contains(token.prefix(12)), "\(shown)")
                #expect(shown.contains("(secret)"))
            }
        }
    }

    @Test(
        "ordinary words stay",
        arguments: [
            "arn:aws:sts::123456789012:assumed-role/app/i-0abcdef1234567890", "s.o.s",
            "https://sts.eu-central-1.amazonaws.com/",
            "c4aee143-d37c-11e7-9fd6-99a4a8d95498", "20261121T091000Z",
            "error converting input for field \"increment\"",
        ])
    func words(text: String) async {
        #expect(await observed(500, errors(text)).contains(text))
    }

    @Test("what was sent, wherever it comes back")
    func echoes() async {
        let echo =
            "The Canonical String for this request should have been 'POST / x-amz-security-token:FwoGZXIvYXdzEXAMPLE//session"
            + "+token== x'"
        for body in [errors(echo), echo, String(repeating: "x ", count: 90) + echo] {
            let text = await observed(400, body)
            #expect(!text.contains("FwoG"))
            #expect(!text.contains("session+token"))
        }
        let renewal = await observed(500, errors("token \(sampleToken.text) odd"), .renew)
        #expect(renewal.contains("token (secret) odd"))
        let nonce = ScriptedVault([.reply(400, errors("nonce short-nonce unknown"))])
        let error = await #expect(throws: AgentError.self) {
            try await nonce.logIn(.ec2PKCS7(Secret(text: "MII"), nonce: Secret(text: "short-nonce")))
        }
        #expect(error?.description.contains("short-nonce") == false)
    }

    @Test("the password of a URL")
    func urlPasswords() async {
        for body in [errors("no route to https://user:hunter2@proxy:3128/x, sorry"), "see http://u:hunter2/3@host/"] {
            let text = await observed(502, body)
            #expect(!text.contains("hunter2") && text.contains("://(secret)@"), "\(text)")
        }
    }

    @Test("control characters and direction marks cannot reach a terminal")
    func controls() async {
        let text = await observed(500, errors("a\u{1B}[2Jb\u{0}c\u{7F}d\u{202E}e\u{9B}f"))
        #expect(text.contains(#"a\x1b[2Jb\x00c\x7fd\u202ee\x9bf"#))
        #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F })
    }
}

@Suite("Vault's warnings")
struct WarningTests {
    private func renewal(_ warnings: [String]) -> Scripted {
        let list = warnings.map { "\"\($0)\"" }.joined(separator: ",")
        return .reply(
            200, #"{"warnings":[\#(list)],"auth":{"client_token":"s.x","lease_duration":3,"renewable":true}}"#)
    }

    @Test("are logged once each, numbers apart")
    func once() async throws {
        let vault = ScriptedVault([
            renewal([#"TTL of \"20s\" exceeded the effective max_ttl of \"13s\"; TTL value is capped accordingly"#]),
            renewal([
                #"TTL of \"20s\" exceeded the effective max_ttl of \"4s\"; TTL value is capped accordingly"#, "other",
            ]),
            renewal(["other"]),
        ])
        for _ in 0..<3 { try await Asked.renew.ask(vault) }
        #expect(
            vault.log.lines == [
                #"warning Vault warns warning=TTL of "20s" exceeded the effective max_ttl of "13s"; TTL value is capped "#
                    + "accordingly", "warning Vault warns warning=other",
            ])
    }

    @Test("cannot fill the memory, and hold no secrets")
    func bounded() async throws {
        let letters = Array("abcdefghijklmnopqrst")
        let kinds = letters.flatMap { first in letters.map { "kind \(first)\($0)" } }
        let vault = ScriptedVault([
            renewal(kinds),
            renewal(["token hvs.CAESIBbzhrXMPNMRLxLmQyTcpnvt \(String(repeating: "long ", count: 1_000))"]),
        ])
        try await Asked.renew.ask(vault)
        #expect(vault.log.lines.count == kinds.count)
        try await Asked.renew.ask(vault)
        #expect(vault.log.lines.last?.contains("hvs.") == false)
        #expect((vault.log.lines.last?.count ?? 0) < 600)
    }
}
