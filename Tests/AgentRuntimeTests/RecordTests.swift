// A token is on record before readers see it, and a state directory that hangs keeps it from nobody.

import AgentRuntime
import Configuration
import EventLoop
import Glibc
import StateDirectory
import Synchronization
import TestSupport
import Testing
import Timekeeping

/// STAND-IN for a state directory on a disk that hangs until it is told to go on.
private final class HangingStore: TakeoverStore, Sendable {
    private struct State {
        var hangs = true
        var begun = 0
        var kept: [TakeoverRecord?] = []
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    var begun: Int { state.withLock { $0.begun } }
    var kept: [TakeoverRecord?] { state.withLock { $0.kept } }

    func goOn() {
        state.withLock { state in
            state.hangs = false
            defer { state.waiting = [] }
            return state.waiting
        }.forEach { $0.resume() }
    }

    func record(for tokenName: String) async -> TakeoverRecord? { nil }

    func keep(_ record: TakeoverRecord?, for tokenName: String) async {
        await withCheckedContinuation { continuation in
            let hangs = state.withLock { state in
                state.begun += 1
                if state.hangs { state.waiting.append(continuation) }
                return state.hangs
            }
            if !hangs { continuation.resume() }
        }
        state.withLock { $0.kept.append(record) }
    }
}

@Suite struct RecordTests {
    private let directory = TemporaryDirectory()
    private let store = HangingStore()
    private let log = CapturedLog()

    private func settings() -> TokenSettings { TokenSettings("app", file: directory.file("token")) }

    @Test func `a write waits for the record that tells of its token`() async throws {
        // The clock stands: nothing is overdue, however slow the machine.
        let stage = try Stage(clockStands: true, takeovers: store, log: log.logger)
        try await stage.start([settings()])
        let isBegun = await stage.wait { [store] in store.begun == 1 }
        #expect(isBegun)
        await stage.settle()
        #expect(directory.names.isEmpty)
        store.goOn()
        let isWritten = await stage.wait { [directory] in directory.names == ["token"] }
        #expect(isWritten)
        let first = store.kept.first.flatMap { $0 }
        #expect(first?.entries.count == 1)
        await stage.stop()
    }

    @Test func `a state directory that hangs keeps a token from nobody, is told once, and is used again`() async throws
    {
        let (store, log) = (store, log)
        let said: @Sendable (String) -> Int = { words in log.lines.filter { $0.contains(words) }.count }
        let stage = try Stage(takeovers: store, log: log.logger)
        try await stage.start([settings()])
        let isWritten = await stage.wait { [directory] in directory.names == ["token"] }
        #expect(isWritten)
        #expect(store.kept.isEmpty)
        // The next one does not wait at all: it would be late each time.
        await stage.agent.logInNow()
        let isWrittenAgain = await stage.wait { said("Token written") == 2 }
        #expect(isWrittenAgain)
        let warnings = said("state directory has not answered")
        #expect(warnings == 1)
        #expect(store.begun == 1, "the newest waits for the one that hangs")
        store.goOn()
        let isKept = await stage.wait { store.begun >= 2 && store.kept.count == store.begun }
        #expect(isKept)
        #expect(store.kept.count < 4, "what was outdated meanwhile is not written")
        let answersAgain = await stage.wait { said("State directory answers again") == 1 }
        #expect(answersAgain)
        await stage.stop()
    }

    @Test func `a state directory that hangs does not hold up the stop`() async throws {
        let stage = try Stage(takeovers: store, log: log.logger)
        try await stage.start([settings()])
        let isBegun = await stage.wait { [store] in store.begun == 1 }
        #expect(isBegun)
        await stage.stop()
        #expect(store.kept.isEmpty)
        store.goOn()
    }
}
