// The agent as a whole: many tokens, proxies.

import Configuration
import EventLoop
import HTTPClient
import Testing
import Timekeeping

@Suite("The agent", .serialized)
struct AgentTests {
    @Test("1,000 tokens begin at no more than 200 logins a second, and all become valid")
    func manyTokens() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        let tokens = (1...1_000).map { TokenSettings("token-\($0)", file: directory.file("\($0)")) }
        let began = stage.loop.now
        try await stage.start(tokens)
        let checked = stage.loop.now - began
        let isReady = await stage.wait(.seconds(30)) { stage.reports.readyAt != nil }
        let took = stage.loop.now - began
        #expect(isReady)
        // 7 s on a machine with nothing else to do.
        #expect(took < .seconds(30), "the sinks' check took \(checked.text)")
        // The first lookups come while the last tokens still log in.
        let moments = stage.vault.asked.filter { $0.url.hasSuffix("/login") }.map(\.at).sorted()
        #expect(moments.count == 1_000)
        let most = moments.indices.map { first in
            moments[first...].prefix { $0 < moments[first] + .seconds(1) }.count
        }.max()
        #expect(try #require(most) <= 200)
        #expect(directory.names.count == 1_000)
        await stage.stop()
    }

    @Test("fifty tokens begin at once")
    func fewTokens() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        try await stage.start((1...50).map { TokenSettings("token-\($0)", file: directory.file("\($0)")) })
        #expect(await stage.wait(.seconds(10)) { stage.reports.readyAt != nil })
        let moments = stage.vault.asked.map(\.at)
        #expect(try #require(moments.max()) - #require(moments.min()) < .milliseconds(250))
        await stage.stop()
    }

    @Test(
        "Vault is asked by way of the proxy that the environment names, but never through a socket",
        arguments: [
            ("https://vault.example:8200", ["HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "internal"], true),
            ("https://vault.example:8200", ["HTTP_PROXY": "http://proxy:3128"], false),
            ("http://vault.example:8200", ["http_proxy": "http://proxy:3128", "no_proxy": "internal"], true),
            ("unix:///run/vault.sock", ["http_proxy": "http://proxy:3128"], false),
        ])
    func proxies(address: String, environment: [String: String], goesThere: Bool) async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage(environment: environment)
        try await stage.start([TokenSettings("app", address: address, file: directory.file("token"))])
        #expect(await stage.wait(.seconds(10)) { stage.reports.readyAt != nil })
        let route = try #require(stage.vault.asked.first).route
        #expect(route.proxy == (goesThere ? .url("http://proxy:3128", exceptions: "internal") : .direct))
        await stage.stop()
    }
}
