// SimulatedWorld: a model of the places where an agent leaves things: its sinks and its take-over records. Survives the agent.

import AgentRuntime
import Crypto
import Diagnosis
import Logging
import StateDirectory
import Timekeeping
import TokenSinks

/// What is on the disk.
final class DiskModel {
    /// By path.
    private(set) var contents: [String: String] = [:]
    var records: [String: TakeoverRecord] = [:]
    /// Called before a sink changes: with what it will hold, and since when that was under way.
    var onChange: ((_ path: String, _ next: String?, _ begun: Instant) -> Void)?

    subscript(path: String) -> String? { contents[path] }

    func put(_ text: String?, at path: String, begun: Instant) {
        onChange?(path, text, begun)
        contents[path] = text
    }

    /// Somebody else removes or overwrites the file.
    func damage(_ path: String, _ text: String?) {
        contents[path] = text
    }

    /// The machine's kernel takes away what dies with a process.
    func loseSockets() {
        for path in contents.keys where Place(path: path) == .socket { contents[path] = nil }
    }
}

/// What stands at a path of the simulated machine.
enum Place: Hashable {
    case file, socket, wrapped, child
    /// No directory: what is to stand there is refused.
    case nowhere

    init(path: String) {
        self =
            switch true {
            case path.hasPrefix("/nowhere"): .nowhere
            case path.hasSuffix("socket"): .socket
            case path.hasSuffix("wrapped"): .wrapped
            case path.hasSuffix("child"): .child
            default: .file
            }
    }
}

/// One sink of one agent process.
final class SimulatedSink: TokenSink {
    let standing: SinkStanding? = nil
    let name: String
    private let path: String
    private let place: Place
    private let world: World
    private let process: SimulatedTransport
    private var delivered: String?
    private var onDisturbed: (@Sendable (SinkDisturbance) -> Void)?
    private var isClosed = false

    init(_ settings: SinkSettings, world: World, process: SimulatedTransport) {
        switch settings.place {
        case .file(let file): path = file.path
        case .socket(let socket): path = socket.path
        }
        place = Place(path: path)
        name = "\(place) \(path)"
        self.world = world
        self.process = process
    }

    func check() async throws(AgentError) {
        await world.loop.sleep(for: .milliseconds(1))
        if place == .nowhere { throw AgentError(.configurationInvalid, "no directory for \(path)") }
    }

    func open() async throws(AgentError) {}

    func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery {
        let begun = world.loop.now
        try await world.waitForDisk()
        try checkIsThere()
        let text = (place == .wrapped ? content.wrapping?.token : content.token)?.text
        guard let text else { throw AgentError(.internalFault, "nothing to stand for the token") }
        let before = delivered
        delivered = text
        if world.disk[path] == text { return .unchanged }
        world.disk.put(text, at: path, begun: begun)
        if let watching = world.sinks[path], watching !== self { watching.notice() }
        // Readers have it; the news of it takes until the directory is synced.
        await world.loop.sleep(for: .milliseconds(1))
        guard process.isAlive else { throw AgentError(.cancelled, "the process has ended") }
        return before == text ? .restored : .rotated
    }

    func heldToken() async -> Secret? {
        place == .file || place == .child ? world.disk[path].map { Secret(text: $0) } : nil
    }

    func withdraw() async throws(AgentError) {
        let begun = world.loop.now
        try await world.waitForDisk()
        try checkIsThere()
        delivered = nil
        world.disk.put(nil, at: path, begun: begun)
    }

    /// A file is written by whoever is told to, however late. A socket is its listener's alone.
    private func checkIsThere() throws(AgentError) {
        guard process.isAlive, !isClosed || place != .socket else {
            throw AgentError(.cancelled, "the process or the sink has ended")
        }
    }

    func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void) {
        self.onDisturbed = onDisturbed
        world.sinks[path] = self
    }

    /// A socket goes, unless another stands at its place by now.
    func close() {
        onDisturbed = nil
        isClosed = true
        guard world.sinks[path] === self else { return }
        world.sinks[path] = nil
        if place == .socket, process.isAlive, delivered != nil { world.disk.put(nil, at: path, begun: world.loop.now) }
    }

    func notice() {
        guard process.isAlive, delivered != nil, world.disk[path] != delivered else { return }
        onDisturbed?(SinkDisturbance(kind: .removed, observed: "somebody removed it"))
    }
}

struct SimulatedSinks: SinkMaking {
    let world: World
    let process: SimulatedTransport

    func makeSink(_ settings: SinkSettings, log: Logger) throws(AgentError) -> any TokenSink {
        SimulatedSink(settings, world: world, process: process)
    }
}

struct SimulatedRecords: TakeoverStore {
    let world: World
    let process: SimulatedTransport

    func record(for tokenName: String) async -> TakeoverRecord? {
        world.disk.records[tokenName]
    }

    /// It stands there a while before its writer hears of it.
    func keep(_ record: TakeoverRecord?, for tokenName: String) async {
        guard await world.stateDirectoryTakes(), process.isAlive else { return }
        world.disk.records[tokenName] = record
        await world.loop.sleep(for: .milliseconds(1))
    }
}
