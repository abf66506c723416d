// SimulatedWorld: a model of the places where an agent leaves things: its sink and its take-over records. Survives the agent.

import AgentRuntime
import Crypto
import Diagnosis
import Logging
import StateDirectory
import Timekeeping
import TokenSinks

/// What is on the disk.
final class DiskModel {
    private(set) var token: String?
    var records: [String: TakeoverRecord] = [:]
    /// Called before the sink changes: with what it will hold, and since when that was under way.
    var onChange: ((_ next: String?, _ begun: Instant) -> Void)?

    func put(_ text: String?, begun: Instant) {
        onChange?(text, begun)
        token = text
    }

    /// Somebody else removes or overwrites the file.
    func damage(_ text: String?) {
        token = text
    }
}

/// The file of one agent process.
final class SimulatedSink: TokenSink {
    let name = "file /simulated/token"
    private let world: World
    private let process: SimulatedTransport
    private var delivered: String?
    private var onDisturbed: (@Sendable (SinkDisturbance) -> Void)?

    init(world: World, process: SimulatedTransport) {
        self.world = world
        self.process = process
    }

    func check() async throws(AgentError) {}
    func open() async throws(AgentError) {}

    func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        let begun = world.loop.now
        try await world.waitForDisk()
        guard process.isAlive else { throw AgentError(.cancelled, "the process has ended") }
        let text = content.token.text
        let before = delivered
        delivered = text
        if world.disk.token == text { return .unchanged }
        world.disk.put(text, begun: begun)
        return before == text ? .restored : .rotated
    }

    func heldToken() async -> Secret? {
        world.disk.token.map { Secret(text: $0) }
    }

    func withdraw() async throws(AgentError) {
        guard process.isAlive else { return }
        delivered = nil
        world.disk.put(nil, begun: world.loop.now)
    }

    func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {
        self.onDisturbed = onDisturbed
        world.sink = self
    }

    func close() {
        onDisturbed = nil
    }

    func notice() {
        guard process.isAlive, delivered != nil, world.disk.token != delivered else { return }
        onDisturbed?(SinkDisturbance(kind: .removed, observed: "somebody removed it"))
    }
}

struct SimulatedSinks: SinkMaking {
    let world: World
    let process: SimulatedTransport

    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        SimulatedSink(world: world, process: process)
    }
}

struct SimulatedRecords: TakeoverStore {
    let world: World
    let process: SimulatedTransport

    func record(for tokenName: String) -> TakeoverRecord? {
        world.disk.records[tokenName]
    }

    func keep(_ record: TakeoverRecord?, for tokenName: String) {
        guard process.isAlive, !world.losesRecords else { return }
        world.disk.records[tokenName] = record
    }
}
