// The socket sink on real sockets.

import CLinux
import ChildProcess
import Crypto
import Diagnosis
import EventLoop
import FileSystem
import Glibc
import SystemCalls
import TestSupport
import Testing
import Timekeeping

@testable import TokenSinks

/// A client that connects and waits.
private final class Client: Sendable {
    private let descriptor: Descriptor

    /// Nil where nobody listens at that path.
    init?(_ path: String) {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard let made = try? Descriptor(socket(AF_UNIX, type, 0), "socket", path),
            unsafe vta_unix_connect(made.number, path) == 0
        else { return nil }
        descriptor = made
    }

    /// Nil while the other end has neither sent nor closed.
    private func next() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = unsafe read(descriptor.number, &buffer, buffer.count)
        return count < 0 ? nil : Array(buffer.prefix(count))
    }

    var isWaiting: Bool { next() == nil }

    /// All that is sent until the other end closes.
    func everything(_ loop: EventLoop) async -> String {
        var text: [UInt8] = []
        _ = await eventually(loop) {
            while let piece = next() {
                if piece.isEmpty { return true }
                text += piece
            }
            return false
        }
        return String(decoding: text, as: UTF8.self)
    }
}

@Suite("A socket sink")
struct SocketSinkTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("token.sock") }

    private func sink(
        _ path: String, on loop: EventLoop, _ adjust: (inout SinkSettings, inout SocketPlace) -> Void = { _, _ in }
    ) throws -> any TokenSink {
        var place = SocketPlace(path: path)
        var settings = SinkSettings(place: .socket(place))
        adjust(&settings, &place)
        settings.place = .socket(place)
        return try SinkFactory(loop: loop, log: quiet).makeSink(settings, log: quiet)
    }

    @Test("hands everyone the token of the moment and closes, and goes when it is closed")
    func serves() async throws {
        let (path, directory) = (path, directory)
        try await onLoop { loop in
            let sink = try sink(path, on: loop) { $1.mode = 0o606 }
            try await sink.check()
            #expect(try await sink.deliver(content("hvs.first")) == .rotated)
            #expect(stamp(path)?.mode == 0o606)
            #expect(await Client(path)?.everything(loop) == "hvs.first")
            #expect(try await sink.deliver(content("hvs.first", renewedAt: 1_800_000_700)) == .unchanged)
            #expect(try await sink.deliver(content("hvs.second")) == .rotated)
            for _ in 0..<100 {
                #expect(await Client(path)?.everything(loop) == "hvs.second")
            }
            sink.close()
            #expect(directory.names.isEmpty)
            #expect(Client(path) == nil)
        }
    }

    @Test("lets those who come before the token wait for it, and again when it is withdrawn")
    func holds() async throws {
        let path = path
        try await onLoop { loop in
            let sink = try sink(path, on: loop)
            try await sink.check()
            #expect(Client(path) == nil, "to try it is not to be seen")
            try await sink.open()
            let early = try #require(Client(path))
            await loop.sleep(for: .milliseconds(50))
            #expect(early.isWaiting)
            try await sink.deliver(content("hvs.first"))
            #expect(await early.everything(loop) == "hvs.first")
            try await sink.withdraw()
            let late = try #require(Client(path))
            await loop.sleep(for: .milliseconds(50))
            #expect(late.isWaiting)
            try await sink.deliver(content("hvs.second"))
            #expect(await late.everything(loop) == "hvs.second")
            sink.close()
        }
    }

    @Test("is not held up by clients that do not read, however large the content")
    func slowReaders() async throws {
        let path = path
        try await onLoop { loop in
            let sink = try sink(path, on: loop) { settings, _ in settings.format = .json }
            var large = content("hvs.first")
            large.policies = (0..<3_000).map { "policy-number-\($0)" }
            try await sink.deliver(large)
            var lazy: [Client?] = []
            for _ in 0..<200 {
                // The backlog holds 64; the sink needs its turn to empty it.
                if lazy.count.isMultiple(of: 32) { await loop.sleep(for: .milliseconds(10)) }
                lazy.append(Client(path))
            }
            #expect(await Client(path)?.everything(loop).hasSuffix("}\n") == true)
            for client in lazy { #expect(await client?.everything(loop).utf8.count ?? 0 > 50_000) }
            sink.close()
        }
    }

    @Test("takes the place of a socket on which nobody listens any more, never of one that serves")
    func stale() async throws {
        let path = path
        try await onLoop { loop in
            let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            #expect(unsafe vta_unix_bind(dead, path) == 0)
            close(dead)
            let sink = try sink(path, on: loop)
            try await sink.check()
            try await sink.deliver(content("hvs.first"))
            #expect(await Client(path)?.everything(loop) == "hvs.first")
            sink.close()
        }
        let ready = directory.file("ready")
        let script = """
            import socket, sys, time
            s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); open(sys.argv[2], "w"); time.sleep(60)
            """
        try await onLoop { loop in
            let stranger = Task(executorPreference: loop) {
                try await ChildLauncher(loop: loop).run(
                    ChildCommand(arguments: ["python3", "-c", script, path, ready], timeout: .seconds(60)))
            }
            #expect(await eventually(loop) { contents(ready) != nil })
            let sink = try sink(path, on: loop)
            let error = try await #require(throws: AgentError.self) { try await sink.check() }
            #expect(error.code == .sinkUnwritable)
            #expect(error.observed.contains("listens on \(path) already"))
            stranger.cancel()
            _ = await stranger.result
        }
    }

    @Test("that cannot work says so", arguments: ["missing/sock", "a-file", String(repeating: "n", count: 100)])
    func refuses(name: String) async throws {
        let directory = directory
        write("", to: directory.file("a-file"))
        try await onLoop { loop in
            let error = try await #require(throws: AgentError.self) {
                try await sink(directory.file(name), on: loop).check()
            }
            #expect(error.code == (name.count > 50 ? .configurationInvalid : .sinkUnwritable))
            #expect(!error.remedy.isEmpty)
        }
        #expect(directory.names == ["a-file"])
    }

    @Test("that somebody removes or makes open to all is put right within a second", arguments: [true, false])
    func watched(removes: Bool) async throws {
        let path = path
        try await onLoop { loop in
            let caretaker = Caretaker(on: loop)
            try await caretaker.begin([SinkSettings(place: .socket(SocketPlace(path: path)))], [content("hvs.first")])
            await loop.sleep(for: .milliseconds(60))
            let start = loop.now
            if removes { remove(path) } else { _ = unsafe chmod(path, 0o777) }
            #expect(await eventually(loop) { stamp(path)?.mode == 0o660 })
            #expect(loop.now - start < .seconds(4), "a second, and four for a machine four times slower")
            #expect(await Client(path)?.everything(loop) == "hvs.first")
            #expect(await caretaker.disturbances.map(\.kind) == [removes ? .removed : .permissions])
            await caretaker.end()
        }
    }

    @Test(
        "gives the token to admitted peers only",
        .enabled(if: geteuid() == 0, "only root can connect as somebody else"),
        arguments: [
            (
                users: ["65534"], groups: [String](), arguments: ["--reuid=65534", "--regid=65534", "--clear-groups"],
                isAdmitted: true
            ),
            (
                users: ["65533"], groups: [], arguments: ["--reuid=65534", "--regid=65534", "--clear-groups"],
                isAdmitted: false
            ),
            (users: ["65533"], groups: [], arguments: [], isAdmitted: true),
            (
                users: [], groups: ["65532"], arguments: ["--reuid=65534", "--regid=65532", "--clear-groups"],
                isAdmitted: true
            ),
            (
                users: [], groups: ["65532"], arguments: ["--reuid=65534", "--regid=65534", "--groups=1,65532"],
                isAdmitted: true
            ),
            (
                users: [], groups: ["65532"], arguments: ["--reuid=65534", "--regid=65534", "--groups=1,2"],
                isAdmitted: false
            ),
            (users: [], groups: [], arguments: ["--reuid=65534", "--regid=65534", "--clear-groups"], isAdmitted: true),
        ])
    func peers(users: [String], groups: [String], arguments: [String], isAdmitted: Bool) async throws {
        let path = path
        _ = unsafe chmod(directory.path, 0o711)
        let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(99))"
        try await onLoop { loop in
            let sink = try sink(path, on: loop) { _, place in
                place.mode = 0o666
                place.allowUsers = users
                place.allowGroups = groups
            }
            try await sink.deliver(content("hvs.first"))
            let outcome = try await ChildLauncher(loop: loop).run(
                ChildCommand(
                    arguments: ["setpriv"] + arguments + ["python3", "-c", script, path], timeout: .seconds(30)))
            #expect(
                outcome.standardOutput.text == (isAdmitted ? "b'hvs.first'\n" : "b''\n"),
                "\(outcome.standardError.text)")
            sink.close()
        }
    }
}
