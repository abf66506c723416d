// Test support: real sinks on a disk that can be told to refuse.

import AgentRuntime
import Configuration
import Crypto
import Diagnosis
import Logging
import Synchronization
import Timekeeping
import TokenSinks

final class FaultyDisk: Sendable {
    private let state = Mutex(false)

    var refuses: Bool {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }

    func over(_ sinks: any SinkMaking) -> any SinkMaking { FaultySinks(disk: self, sinks: sinks) }

    fileprivate func pass() throws(AgentError) {
        if refuses { throw AgentError(.sinkUnwritable, "the disk refuses, as told") }
    }
}

private struct FaultySinks: SinkMaking {
    let disk: FaultyDisk
    let sinks: any SinkMaking

    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        FaultySink(disk, try sinks.makeSink(settings, log: log))
    }

    func makeChangeListener(
        _ action: ChangeAction, about: [String: String], log: Logger
    ) -> (any ChangeListener)? {
        sinks.makeChangeListener(action, about: about, log: log)
    }
}

private final class FaultySink: TokenSink {
    private let disk: FaultyDisk
    private let sink: any TokenSink

    init(_ disk: FaultyDisk, _ sink: any TokenSink) {
        (self.disk, self.sink) = (disk, sink)
    }

    var name: String { sink.name }
    var standing: SinkStanding? { sink.standing }

    func check() async throws(AgentError) { try await sink.check() }
    func open() async throws(AgentError) { try await sink.open() }
    func heldToken() async -> Secret? { await sink.heldToken() }
    func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) { sink.watch(onDisturbed) }
    func close() { sink.close() }

    func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        try disk.pass()
        return try await sink.deliver(content)
    }

    func withdraw() async throws(AgentError) {
        try disk.pass()
        try await sink.withdraw()
    }
}
