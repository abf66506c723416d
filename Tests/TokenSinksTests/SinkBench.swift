// A sink on a loop of its own, as the runtime uses it.

import Crypto
import Diagnosis
import EventLoop
import Logging
import Timekeeping

@testable import TokenSinks

/// Runs `body` on a fresh event loop, as the agent's flows run on theirs.
func onLoop<Result: Sendable>(
    _ body: @escaping @Sendable (EventLoop) async throws -> Result
) async throws -> Result {
    let loop = try EventLoop(label: "test")
    return try await Task(executorPreference: loop) { try await body(loop) }.value
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func fileSink(_ path: String, on loop: EventLoop, _ adjust: (inout SinkSettings, inout FilePlace) -> Void = { _, _ in })
    throws -> any TokenSink
{
    var place = FilePlace(path: path)
    var settings = SinkSettings(place: .file(place))
    adjust(&settings, &place)
    settings.place = .file(place)
    return try SinkFactory(loop: loop, log: quiet).makeSink(settings, log: quiet)
}

func content(_ token: String, renewedAt moment: Int64 = 1_800_000_000) -> TokenContent {
    TokenContent(
        token: Secret(text: token), accessor: "accessor-of-\(token)", policies: ["app", "default"],
        metadata: ["account_id": "123456789012", "note": "a \"quoted\" word"], leaseDuration: .seconds(1_200),
        renewable: true, issuedAt: WallTime(secondsSince1970: 1_800_000_000),
        expiresAt: WallTime(secondsSince1970: moment + 1_200), vaultAddress: "https://vault.example.com:8200")
}

/// Waits until a condition holds; false after a minute, which only ends a wait that would not end.
func eventually(_ loop: EventLoop, _ condition: () async -> Bool) async -> Bool {
    let deadline = loop.now + .seconds(60)
    while loop.now < deadline {
        if await condition() { return true }
        await loop.sleep(for: .milliseconds(5))
    }
    return await condition()
}

/// Sinks that are repaired whenever they report a disturbance, as the runtime does it.
actor Caretaker {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
    private var sinks: [any TokenSink] = []
    private var contents: [TokenContent] = []
    private(set) var disturbances: [SinkDisturbance] = []
    private(set) var failures = 0

    init(on loop: EventLoop) {
        self.loop = loop
    }

    /// Starts to care for a file sink with each of these contents.
    func begin(_ files: [(path: String, content: TokenContent)]) async throws {
        try await begin(files.map { SinkSettings(place: .file(FilePlace(path: $0.path))) }, files.map(\.content))
    }

    /// Starts to care for these sinks.
    func begin(_ settings: [SinkSettings], _ contents: [TokenContent]) async throws {
        let factory = SinkFactory(loop: loop, log: quiet)
        self.contents = contents
        for (index, settings) in settings.enumerated() {
            // A predecessor, as after a reload, whose watches end while the successor's begin.
            let former = try factory.makeSink(settings, log: quiet)
            former.watch { _ in }
            former.close()
            sinks.append(try factory.makeSink(settings, log: quiet))
            try await sinks[index].deliver(contents[index])
            sinks[index].watch { disturbance in
                self.assumeIsolated { $0.notice(disturbance, at: index) }
            }
        }
    }

    private func notice(_ disturbance: SinkDisturbance, at index: Int) {
        disturbances.append(disturbance)
        Task(executorPreference: loop) { await self.repair(index) }
    }

    private func repair(_ index: Int) async {
        do { try await sinks[index].deliver(contents[index]) } catch { failures += 1 }
    }

    func deliver(_ content: TokenContent) async throws {
        contents[0] = content
        try await sinks[0].deliver(content)
    }

    func withdraw() async throws {
        try await sinks[0].withdraw()
    }

    func end() {
        for sink in sinks { sink.close() }
    }
}
