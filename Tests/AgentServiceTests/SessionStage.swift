// Test support: a run of the service with real files, sockets and locks, and a stand-in for Vault.

import Configuration
import Diagnosis
import Dispatch
import EventLoop
import FileSystem
import Glibc
import ServiceHealth
import Synchronization
import TestSupport
import Timekeeping

@testable import AgentService

/// While it is closed, who comes waits.
final class Gate: Sendable {
    private let group = DispatchGroup()
    private let isClosed = Mutex(false)

    func close() {
        isClosed.withLock { isClosed in
            if !isClosed { group.enter() }
            isClosed = true
        }
    }

    func open() {
        isClosed.withLock { isClosed in
            if isClosed { group.leave() }
            isClosed = false
        }
    }

    func pass() { group.wait() }

    deinit { open() }
}

/// STAND-IN for Vault: grants every login and knows nothing else.
final class GenerousVault: Sendable {
    let answering = Gate()
    private let server: SocketServer

    init() throws {
        server = try SocketServer(answering: { [answering] peer, request in
            answering.pass()
            guard Self.isLogin(request) else {
                peer.reply(#"{"errors":[]}"#, status: "404 Not Found")
                return
            }
            peer.reply(
                """
                {"auth":{"client_token":"s.token","accessor":"a","policies":["default"],"metadata":null,\
                "lease_duration":3600,"renewable":true,"token_type":"service","num_uses":0}}
                """)
        })
    }

    var url: String { server.url }

    var logins: Int { server.requests.count(where: Self.isLogin) }

    private static func isLogin(_ request: String) -> Bool {
        request.prefix { $0 != "\r\n" }.contains("/login ")
    }
}

/// Of one agent, whose configuration is `agent.json` in the directory.
final class SessionStage: Sendable {
    private struct Notes {
        var readings = (begun: 0, ended: 0)
        var adopted: [HealthSettings] = []
        var ends: [Result<Void, AgentError>] = []
        var heard: [String] = []
    }

    let directory: TemporaryDirectory
    let vault: GenerousVault
    let log = CapturedLog()
    /// Of the configuration, by a reload.
    let reading = Gate()
    let loop: EventLoop
    private let session: ServiceSession
    private let systemd = NotifySocket()
    private let notes: Notebook

    private final class Notebook: Sendable {
        let notes = Mutex(Notes())
    }

    private static let credentials = [
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true",
    ]

    init(in directory: TemporaryDirectory = TemporaryDirectory(), vault: GenerousVault? = nil) throws {
        let (loop, notes) = (try EventLoop(label: "test"), Notebook())
        let (path, reading) = (directory.file("agent.json"), reading)
        (self.directory, self.loop, self.notes) = (directory, loop, notes)
        self.vault = try vault ?? GenerousVault()
        session = ServiceSession(
            loop: loop, confinement: nil, log: log.logger,
            end: { result in notes.notes.withLock { $0.ends.append(result) } },
            load: { () throws(AgentError) in
                notes.notes.withLock { $0.readings.begun += 1 }
                defer { notes.notes.withLock { $0.readings.ended += 1 } }
                reading.pass()
                return try ConfigurationLoader.load(.file(path), environment: Self.credentials)
            },
            adopt: { settings in notes.notes.withLock { $0.adopted.append(settings) } })
    }

    /// Writes the configuration of these tokens, each with one sink of its name. `sink` and `root`: more members of each.
    func configure(
        _ tokens: [String] = ["app"], status: String = "status.json", sink: String = "", root: String = ""
    ) {
        let list = tokens.map { name in
            """
            {"name": "\(name)", "auth": {"type": "iam"},
             "sinks": [{"type": "file", "path": "\(directory.file(name))"\(sink)}]}
            """
        }
        directory.write(
            """
            {"vault": {"address": "\(vault.url)"}, "tokens": [\(list.joined(separator: ", "))],
             "status_file": "\(status.hasPrefix("/") ? status : directory.file(status))"\(root)}
            """, to: "agent.json")
    }

    /// `more`: environment, as systemd gives it.
    func start(_ more: [String: String] = [:]) throws {
        let loaded = try ConfigurationLoader.load(.file(directory.file("agent.json")), environment: Self.credentials)
        let environment = Self.credentials.merging(systemd.environment) { given, _ in given }.merging(more) { $1 }
        onSession { $0.start(loaded, environment: environment, version: "test", lostRecords: { 0 }) }
    }

    /// As the loop hears of a signal that has come.
    func hear(_ number: Int32) {
        onSession { $0.hear(number) }
    }

    /// STAND-IN for a disk that hangs until the gate is opened: work of the service's that waits there.
    func hangDisk() -> Gate {
        let gate = Gate()
        gate.close()
        onSession { session in session.disk.submit { gate.pass() } }
        return gate
    }

    private func onSession(_ body: @Sendable (isolated ServiceSession) -> Void) {
        loop.queue.sync { session.assumeIsolated { body($0) } }
    }

    /// Readings of the configuration by reloads.
    var readings: (begun: Int, ended: Int) { notes.notes.withLock(\.readings) }
    /// What of the configuration concerns the log, each time it was put in force.
    var adopted: [HealthSettings] { notes.notes.withLock(\.adopted) }
    /// How it ended; nil: not yet.
    var end: Result<Void, AgentError>? { notes.notes.withLock(\.ends.first) }

    /// What systemd was told of the service's life: READY, RELOADING, STOPPING.
    var heard: [String] {
        let new = systemd.received().compactMap { message in
            ["READY=1", "RELOADING=1", "STOPPING=1"].first { message.hasPrefix($0) }
        }
        return notes.notes.withLock { notes in
            notes.heard += new
            return notes.heard
        }
    }

    /// How often a line was logged that begins so, after its level.
    func count(of line: String) -> Int {
        log.lines.count { $0.drop { $0 != " " }.dropFirst().hasPrefix(line) }
    }

    var status: StatusDocument? { try? StatusReading(path: directory.file("status.json")).document }

    /// Whether somebody holds the lock of that name; nil: there is no such file.
    func isLocked(_ name: String) -> Bool? { FileLock.isHeld(path: directory.file(name)) }

    func wait(until condition: @escaping @Sendable (SessionStage) -> Bool) async -> Bool {
        await loop.wait { condition(self) }
    }

    /// Started, with every token in its sink, and systemd told.
    func becomeReady() async throws -> Bool {
        try start()
        return await wait { $0.heard == ["READY=1"] && $0.count(of: "Started") == 1 }
    }

    /// Once its queue has done all that it had to do, and all that this led to at once, on a disk that answers too.
    func settle() async {
        for _ in 0..<3 {
            let (loop, done) = (loop, Gate())
            done.close()
            onSession { session in
                let disk = session.disk
                session.reading.submit { disk.submit { loop.queue.async { done.open() } } }
            }
            done.pass()
            await Task(executorPreference: loop) {
                for _ in 0..<500 { await Task.yield() }
            }.value
        }
    }

    /// Whether it has ended as it should.
    func stop() async -> Bool {
        hear(SIGTERM)
        return await wait { stage in
            if case .success = stage.end { true } else { false }
        }
    }
}
