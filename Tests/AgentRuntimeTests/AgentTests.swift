// The agent as a whole: many tokens, proxies.

import Configuration
import Diagnosis
import EventLoop
import Glibc
import HTTPClient
import ServiceHealth
import TestSupport
import Testing
import Timekeeping
import TokenLifecycle
import TokenSinks

@Suite("The agent", .serialized)
struct AgentTests {
    @Test("1,000 tokens begin at no more than 200 logins a second, and all become valid")
    func manyTokens() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        let tokens = (1...1_000).map { TokenSettings("token-\($0)", file: directory.file("\($0)")) }
        try await stage.start(tokens)
        #expect(await stage.wait { stage.reports.readyAt != nil })
        // The first lookups come while the last tokens still log in.
        let moments = stage.vault.asked.filter { $0.url.hasSuffix("/login") }.map(\.at).sorted()
        #expect(moments.count == 1_000)
        let most = moments.indices.map { first in
            moments[first...].prefix { $0 < moments[first] + .seconds(1) }.count
        }.max()
        #expect(try #require(most) <= 200)
        #expect(directory.names.count == 1_000)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("fifty tokens begin without a wait; of more than fifty the first does, and the second 5.5 ms later")
    func fewTokens() async throws {
        for count in [50, 51] {
            let directory = TemporaryDirectory()
            let stage = try Stage(clockStands: true)
            let clock = try #require(stage.clock)
            try await stage.start((1...count).map { TokenSettings("token-\($0)", file: directory.file("\($0)")) })
            let atOnce = count == 50 ? 50 : 1
            #expect(await stage.wait { stage.vault.asked.count >= atOnce })
            await stage.settle()
            #expect(stage.vault.asked.count == atOnce)
            #expect(clock.alarms.contains(clock.now + .microseconds(5_500)) == (count == 51))
            await stage.stop()
            withExtendedLifetime(directory) {}
        }
    }

    @Test("a login and the write that follows are told by one report, where both end before a pause is over")
    func oneReport() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage(clockStands: true)
        try await stage.start([TokenSettings("app", file: directory.file("token"))])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        #expect(stage.reports.count == 1)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test(
        "twenty times as long as a report kept a processor busy passes before the next",
        arguments: [(2, 100), (500, 10_000)])
    func dearReports(milliseconds: Int, pause: Int) async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage(clockStands: true, workOfReports: .milliseconds(milliseconds))
        let clock = try #require(stage.clock)
        try await stage.start([TokenSettings("app", file: directory.file("token"))])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        await stage.logInNow()
        await stage.settle()
        #expect(clock.alarms.contains(clock.now + .milliseconds(pause)))
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("a token whose directory is missing waits for it alone, is told of, and is taken up when it is there")
    func machineNotReady() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        let late = TokenSettings("late", file: directory.file("late/token"))
        let tokens =
            [TokenSettings("first", file: directory.file("first")), late]
            + [TokenSettings("last", file: directory.file("last"))]
        try await stage.start(tokens)
        #expect(await stage.wait { stage.reports.latest?.tokens.filter(\.served).map(\.name) == ["first", "last"] })
        #expect(await stage.wait { (stage.reports.latest?.tokens[1].trouble?.attempts ?? 0) >= 2 })
        let health = try #require(stage.reports.latest)
        #expect(health.tokens.map(\.name) == ["first", "late", "last"] && !health.ready)
        let trouble = try #require(health.tokens[1].trouble)
        #expect(health.tokens[1].awaitsMachine && trouble.error.code == .sinkUnwritable)
        #expect(health.tokens[1].sinks.map(\.name) == ["file \(directory.file("late/token"))"])
        #expect(health.statusLine(at: trouble.since).hasPrefix("late: no token yet, waits for this machine since "))
        // A reload may leave it waiting, and refuses what an untroubled token cannot have.
        try await stage.reload(tokens)
        let refused = await #expect(throws: AgentError.self) {
            try await stage.reload(tokens + [TokenSettings("more", file: directory.file("more/token"))])
        }
        #expect(refused?.code == .sinkUnwritable)
        let asked = stage.vault.asked.count
        _ = unsafe mkdir(directory.file("late"), 0o755)
        #expect(await stage.wait { stage.reports.latest?.ready == true })
        #expect(stage.reports.latest?.tokens.map(\.name) == ["first", "late", "last"])
        // The others were left alone: one login more.
        #expect(stage.vault.asked.dropFirst(asked).filter { $0.url.hasSuffix("/login") }.count == 1)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("a token that waits for its machine is let go by a reload without it, by a logout and by a stop")
    func waitsNoLonger() async throws {
        let directory = TemporaryDirectory()
        for end in ["reload", "logout", "stop"] {
            let stage = try Stage()
            let first = TokenSettings("first", file: directory.file("\(end)"))
            try await stage.start([first, TokenSettings("late", file: directory.file("\(end).d/token"))])
            #expect(await stage.wait { stage.reports.latest?.tokens.last?.awaitsMachine == true })
            switch end {
            case "reload": try await stage.reload([first])
            case "logout": await stage.logOut()
            default: await stage.stop()
            }
            _ = unsafe mkdir(directory.file("\(end).d"), 0o755)
            // The next look would be within 2 s.
            await stage.pause(.seconds(4))
            #expect(unsafe access(directory.file("\(end).d/token"), F_OK) != 0)
            if end != "stop" { await stage.stop() }
        }
    }

    @Test("of two tokens that a logout revokes, the one that is granted hides nothing of the one that is not")
    func halfRevoked() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        var app = TokenSettings("app", file: directory.file("token"))
        app.policy.maxBackoff = .seconds(1)
        try await stage.start([app])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        // Readers still find the first when there is a second.
        stage.disk.refuses = true
        await stage.logInNow()
        #expect(await stage.wait { stage.vault.asked.count { $0.url.hasSuffix("/login") } == 2 })
        #expect(await stage.wait { stage.reports.latest?.tokens[0].sinks[0].trouble != nil })
        // Each is tried three times: the last of these is granted.
        stage.vault.revocationsToRefuse = 5
        await stage.logOut()
        stage.disk.refuses = false
        #expect(await stage.wait { stage.reports.latest?.lastLogout?.pending.isEmpty == true })
        #expect(stage.vault.asked.count { $0.url.hasSuffix("/revoke-self") } == 6)
        #expect(stage.reports.latest?.lastLogout?.tokens.first?.failure?.code == .vaultUnavailable)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("a sink that could not be emptied when it was dropped is known again when it is named again")
    func namedAgain() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        var app = TokenSettings("app", file: directory.file("token"))
        let copy = SinkSettings(place: .file(FilePlace(path: directory.file("copy"))))
        app.sinks.append(copy)
        try await stage.start([app])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        #expect(Set(directory.names) == ["copy", "token"])
        stage.disk.refuses = true
        app.sinks.removeLast()
        try await stage.reload([app])
        app.sinks.append(copy)
        try await stage.reload([app])
        app.sinks.removeLast()
        try await stage.reload([app])
        stage.disk.refuses = false
        #expect(await stage.wait { directory.names == ["token"] })
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("two sinks that are one file by way of a linked directory are refused, at the start and by a reload")
    func linkedTwins() async throws {
        let directory = TemporaryDirectory()
        _ = unsafe mkdir(directory.file("real"), 0o755)
        _ = unsafe symlink("real", directory.file("link"))
        let stage = try Stage()
        let first = TokenSettings("app", file: directory.file("real/token"))
        let (twin, other) = (TokenSettings("b", file: directory.file("link/token")), directory.file("link/other"))
        func isRefused(_ body: () async throws -> Void) async -> Bool {
            let error = await #expect(throws: AgentError.self) { try await body() }
            return error?.code == .configurationInvalid && error?.observed.contains("one place") == true
        }
        #expect(await isRefused { try await stage.start([first, twin]) })
        #expect(stage.vault.asked.isEmpty)
        try await stage.start([first, TokenSettings("b", file: other)])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        #expect(await isRefused { try await stage.reload([first, twin]) })
        #expect(unsafe access(other, F_OK) == 0)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("so is a sink that is what else the agent writes")
    func linkedNamesake() async throws {
        let directory = TemporaryDirectory()
        _ = unsafe mkdir(directory.file("real"), 0o755)
        _ = unsafe symlink("real", directory.file("link"))
        let (stage, token) = (try Stage(), TokenSettings("app", file: directory.file("link/status.json")))
        let error = await #expect(throws: AgentError.self) {
            try await stage.start([token], namesakes: [directory.file("real/status.json"): "status_file"])
        }
        #expect(error?.observed.contains("status_file are one place") == true)
        try await stage.start([token], namesakes: [directory.file("status.json"): "status_file"])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("of two such sinks the one whose directory comes later waits, and says why")
    func lateTwin() async throws {
        let directory = TemporaryDirectory()
        _ = unsafe mkdir(directory.file("real"), 0o755)
        let stage = try Stage()
        try await stage.start([
            TokenSettings("app", file: directory.file("real/token")),
            TokenSettings("b", file: directory.file("link/token")),
        ])
        _ = unsafe symlink("real", directory.file("link"))
        let waiting = { @Sendable in stage.reports.latest?.tokens.first { $0.name == "b" } }
        #expect(await stage.wait { waiting()?.trouble?.error.observed.contains("one place") == true })
        #expect(waiting()?.served == false && stage.vault.asked.count { $0.url.hasSuffix("/login") } == 1)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("a child that a reload gives another name is told of by the new one")
    func renamedChild() async throws {
        let (directory, log) = (TemporaryDirectory(), CapturedLog())
        let stage = try Stage(log: log.logger)
        var app = TokenSettings("app", file: directory.file("token"))
        for name in ["first", "second"] {
            var child = SinkSettings(place: .file(FilePlace(path: directory.file(name))))
            child.policies = [name]
            app.sinks.append(child)
        }
        try await stage.start([app])
        #expect(await stage.wait { stage.reports.readyAt != nil })
        let made = { @Sendable in log.lines.filter { $0.contains("Child token made") } }
        #expect(Set(made().flatMap { $0.split(separator: " ").suffix(1) }) == ["token=app/1", "token=app/2"])
        app.sinks.remove(at: 1)
        try await stage.reload([app])
        await stage.logInNow()
        #expect(await stage.wait { made().count > 2 })
        #expect(made().dropFirst(2).allSatisfy { $0.hasSuffix("token=app/1") })
        await stage.stop()
        withExtendedLifetime(directory) {}
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
        #expect(await stage.wait { stage.reports.readyAt != nil })
        let route = try #require(stage.vault.asked.first).route
        #expect(route.proxy == (goesThere ? .url("http://proxy:3128", exceptions: "internal") : .direct))
        await stage.stop()
        withExtendedLifetime(directory) {}
    }
}
