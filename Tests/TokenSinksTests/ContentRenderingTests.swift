// What sinks hold, read by those who are to read it.

import ChildProcess
import Crypto
import Diagnosis
import SecretJSON
import TestSupport
import Testing
import Timekeeping

@testable import TokenSinks

@Suite("The content of a sink")
struct ContentRenderingTests {
    private func render(
        _ content: TokenContent, _ format: TokenFormat, newline: Bool = false, wraps: Bool = false
    ) throws -> Secret {
        try Rendering(content, format: format, newline: newline, wraps: wraps).bytes
    }

    private var wrapped: TokenContent {
        var content = content("hvs.inner")
        content.wrapping = WrappedToken(
            token: Secret(text: "hvs.wrapping"), accessor: "wrap-accessor", timeToLive: .seconds(300),
            createdAt: WallTime(secondsSince1970: 1_800_000_000), creationPath: "sys/wrapping/wrap",
            wrappedAccessor: "inner-accessor")
        return content
    }

    @Test("is the bare token, with a newline where wanted")
    func bare() throws {
        #expect(try render(content("hvs.first"), .token).text == "hvs.first")
        #expect(try render(content("hvs.first"), .token, newline: true).text == "hvs.first\n")
    }

    @Test("in JSON says all that is known, and null for the end of a token that has none")
    func json() throws {
        #expect(
            try render(content("hvs.first"), .json).text == """
                {"token":"hvs.first","accessor":"accessor-of-hvs.first","policies":["app","default"],\
                "metadata":{"account_id":"123456789012","note":"a \\"quoted\\" word"},"lease_duration":1200,\
                "renewable":true,"issue_time":"2027-01-15T08:00:00Z","expire_time":"2027-01-15T08:20:00Z",\
                "vault_addr":"https://vault.example.com:8200","vault_namespace":""}

                """)
        var endless = content("hvs.first")
        (endless.leaseDuration, endless.expiresAt) = (nil, nil)
        let document = try JSONValue(reading: render(endless, .json))
        #expect(document["lease_duration"]?.integer == 0)
        #expect(document.object?.keys.contains("expire_time") == true && document["expire_time"] == nil)
    }

    @Test("is the wrapping token and nothing of the token inside", arguments: TokenFormat.allCases)
    func wrapping(format: TokenFormat) throws {
        let text = try render(wrapped, format, wraps: true).text
        #expect(text.contains("hvs.wrapping"))
        #expect(!text.contains("hvs.inner"))
        if format == .json {
            #expect(
                text == """
                    {"token":"hvs.wrapping","accessor":"wrap-accessor","ttl":300,"creation_time":"2027-01-15T08:00:00Z",\
                    "creation_path":"sys/wrapping/wrap","wrapped_accessor":"inner-accessor"}

                    """)
        }
        let error = try #require(throws: AgentError.self) { try render(content("hvs.bare"), format, wraps: true) }
        #expect(error.code == .internalFault)
    }

    @Test("as environment file needs no quotes for what Vault issues")
    func environment() throws {
        var content = content("hvs.CAESI-Ab_9.x")
        content.vaultNamespace = "team/app"
        #expect(
            try render(content, .env, newline: true).text == """
                VAULT_TOKEN=hvs.CAESI-Ab_9.x
                VAULT_ADDR=https://vault.example.com:8200
                VAULT_NAMESPACE=team/app

                """)
    }

    @Test(
        "as environment file survives a shell whatever it holds",
        arguments: ["a b", "a\"b", "a\\b", "$HOME", "`id`", "a#b", "#", "'", "!", "~", "a;b&c|d", "é", "\\\"$`", ""])
    func shell(value: String) async throws {
        let directory = TemporaryDirectory()
        var content = content("hvs.first")
        content.vaultAddress = value
        write(try render(content, .env).text, to: directory.file("env"))
        let path = directory.file("env")
        let outcome = try await onLoop { loop in
            try await ChildLauncher(loop: loop).run(
                ChildCommand(
                    arguments: ["/bin/sh", "-c", #". "$1" && printf %s "$VAULT_ADDR""#, "sh", path],
                    timeout: .seconds(20)))
        }
        #expect(outcome.standardOutput.text == value)
    }

    @Test("as environment file refuses what it cannot carry", arguments: ["a\nB=c", "a\u{0}b", "a\u{7F}"])
    func control(value: String) throws {
        var content = content("hvs.first")
        content.vaultNamespace = value
        let error = try #require(throws: AgentError.self) { try render(content, .env) }
        #expect(error.observed.contains("VAULT_NAMESPACE"))
    }

    @Test("is bounded")
    func bounded() throws {
        var content = content("hvs.first")
        content.policies = (0..<10_000).map { "policy-\($0)" }
        let error = try #require(throws: AgentError.self) { try render(content, .json) }
        #expect(error.code == .configurationInvalid)
        #expect(try render(content, .token).text == "hvs.first")
    }

    @Test("is found again by a later run", arguments: TokenFormat.allCases)
    func readBack(format: TokenFormat) throws {
        for newline in [false, true] {
            let found = format.token(in: try render(content("hvs.first"), format, newline: newline))
            #expect(found == Secret(text: "hvs.first"))
        }
        #expect(format.token(in: Secret(text: "")) == nil)
    }
}
