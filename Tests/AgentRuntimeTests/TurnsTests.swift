// Start, reload and stop at the same time: one after the other, and the end is the end.

import AgentRuntime
import Configuration
import ServiceHealth
import TestSupport
import Testing

@Suite("Start, reload and stop", .serialized)
struct TurnsTests {
    @Test("a reload during the start makes no second keeper of a token: it logs in once")
    func reloadDuringStart() async throws {
        let directory = TemporaryDirectory()
        let stage = try Stage()
        let (agent, loop) = (stage.agent, stage.loop)
        let configuration = AgentConfiguration(tokens: [TokenSettings("app", file: directory.file("token"))])
        let start = Task(executorPreference: loop) { try await agent.start(configuration) }
        let reloads = (0..<5).map { _ in
            Task(executorPreference: loop) { try await agent.reload(configuration).entries.map(\.change) }
        }
        try await start.value
        for reload in reloads {
            let changes = try await reload.value
            #expect(changes == [.keep])
        }
        #expect(await stage.wait { stage.reports.readyAt != nil })
        await stage.settle()
        #expect(stage.vault.asked.filter { $0.url.hasSuffix("/login") }.count == 1)
        await stage.stop()
        withExtendedLifetime(directory) {}
    }

    @Test("a stop during the start leaves nothing that goes on after it")
    func stopDuringStart() async throws {
        for yields in 0..<12 {
            let directory = TemporaryDirectory()
            let stage = try Stage()
            let (agent, loop) = (stage.agent, stage.loop)
            let configuration = AgentConfiguration(tokens: [TokenSettings("app", file: directory.file("token"))])
            let start = Task(executorPreference: loop) { try? await agent.start(configuration) }
            await Task(executorPreference: loop) { for _ in 0..<yields * yields { await Task.yield() } }.value
            await stage.stop()
            let asked = stage.vault.asked.count
            _ = await start.value
            await stage.settle()
            #expect(stage.vault.asked.count == asked, "asked Vault after the stop, \(yields)")
            #expect(await Task(executorPreference: loop) { await agent.health().tokens.isEmpty }.value)
            withExtendedLifetime(directory) {}
        }
    }
}
