// The file sink on real files.

import Diagnosis
import FileSystem
import Glibc
import TestSupport
import Testing

@testable import TokenSinks

@Suite("A file sink")
struct FileSinkTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("token") }

    @Test("holds the token, with the mode asked for and nothing beside it")
    func writes() async throws {
        let (path, directory) = (path, directory)
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop) { $1.mode = 0o604 }
            try await sink.check()
            #expect(directory.names.isEmpty, "the trial leaves nothing")
            #expect(try await sink.deliver(content("hvs.first")) == .rotated)
        }
        #expect(contents(path) == "hvs.first")
        #expect(stamp(path)?.mode == 0o604)
        #expect(directory.names == ["token"])
    }

    @Test("is left alone when the same token is delivered again")
    func idempotent() async throws {
        let path = path
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop)
            try await sink.deliver(content("hvs.first"))
            let before = stamp(path)
            #expect(try await sink.deliver(content("hvs.first", renewedAt: 1_800_000_700)) == .unchanged)
            #expect(stamp(path) == before)
            #expect(try await sink.deliver(content("hvs.second")) == .rotated)
            #expect(stamp(path) != before)
        }
    }

    @Test("keeps the group that the directory gives it where none is named", .enabled(if: geteuid() == 0))
    func directoryGroup() async throws {
        let path = path
        let shared = directory.file("")
        // As Kubernetes makes a volume for fsGroup: of that group, with the set-group-ID bit.
        unsafe chown(shared, geteuid(), 10_001)
        unsafe chmod(shared, 0o2770)
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop)
            try await sink.check()
            try await sink.deliver(content("hvs.first"))
            #expect(stamp(path)?.group == 10_001)
            #expect(try await sink.deliver(content("hvs.first")) == .unchanged)
            let named = try fileSink(path, on: loop) { $1.group = "10002" }
            #expect(try await named.deliver(content("hvs.first")) == .restored)
            #expect(stamp(path)?.group == 10_002)
        }
    }

    @Test("takes over at a restart what already is right")
    func adopts() async throws {
        let path = path
        let before = try await onLoop { loop in
            try await fileSink(path, on: loop).deliver(content("hvs.first"))
            return stamp(path)
        }
        try await onLoop { loop in
            let successor = try fileSink(path, on: loop)
            #expect(try await successor.deliver(content("hvs.first")) == .unchanged)
            #expect(stamp(path) == before)
            let stricter = try fileSink(path, on: loop) { $1.mode = 0o600 }
            #expect(try await stricter.deliver(content("hvs.first")) == .restored)
            #expect(stamp(path)?.mode == 0o600)
        }
        try await onLoop { loop in
            let before = try #require(stamp(path))
            let wordier = try fileSink(path, on: loop) {
                $0.newline = true
                $1.mode = 0o600
            }
            #expect(try await wordier.deliver(content("hvs.first")) == .refreshed)
            #expect(contents(path) == "hvs.first\n")
            #expect(stamp(path)?.modified == before.modified, "the token is the one that pollers know")
            let other = try fileSink(path, on: loop)
            #expect(try await other.deliver(content("hvs.second")) == .rotated)
        }
    }

    @Test("in JSON tells the new expiry after a renewal and keeps the time of the rotation")
    func renewalInJSON() async throws {
        let path = path
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop) { settings, _ in settings.format = .json }
            try await sink.deliver(content("hvs.first"))
            let before = try #require(stamp(path))
            #expect(try await sink.deliver(content("hvs.first", renewedAt: 1_800_000_700)) == .refreshed)
            #expect(try #require(contents(path)).contains(#""expire_time":"2027-01-15T08:31:40Z""#))
            #expect(stamp(path)?.modified == before.modified)
            #expect(try await sink.deliver(content("hvs.second", renewedAt: 1_800_000_700)) == .rotated)
            #expect(stamp(path)?.modified != before.modified)
        }
    }

    @Test("loses its file when the token is withdrawn, and gets it back with the next")
    func withdraws() async throws {
        let (path, directory) = (path, directory)
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop)
            try await sink.deliver(content("hvs.first"))
            try await sink.withdraw()
            #expect(directory.names.isEmpty)
            try await sink.withdraw()
            #expect(try await sink.deliver(content("hvs.first")) == .rotated)
            #expect(contents(path) == "hvs.first")
        }
    }

    @Test(
        "that cannot work says so at start",
        arguments: [
            (name: "missing/token", expected: "Create "),
            (name: "a-file/token", expected: "Create "),
            (name: "a-directory", expected: "is a directory, not a file"),
            (name: "a-link", expected: "is a symbolic link, not a file"),
            (name: "a-pipe", expected: "is a pipe or a device, not a file"),
            (name: String(repeating: "n", count: 250), expected: "Give another path"),
        ])
    func refuses(name: String, expected: String) async throws {
        let directory = directory
        makeDirectory(directory.file("a-directory"))
        makePipe(directory.file("a-pipe"))
        write("", to: directory.file("a-file"))
        link(directory.file("a-link"), to: "/etc/passwd")
        let before = directory.names
        try await onLoop { loop in
            let sink = try fileSink(directory.file(name), on: loop)
            let error = try await #require(throws: AgentError.self) { try await sink.check() }
            // A name that is too long is so on every machine; all else may be otherwise later.
            #expect(error.code == (name.count > 200 ? .configurationInvalid : .sinkUnwritable))
            #expect(error.description.contains(expected), "\(error)")
        }
        #expect(directory.names == before)
    }

    @Test("for a user or group that nobody knows says which", arguments: [true, false])
    func unknownOwner(isUser: Bool) async throws {
        let path = path
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop) { _, place in
                if isUser { place.owner = "no-such-name" } else { place.group = "no-such-name" }
            }
            let error = try await #require(throws: AgentError.self) { try await sink.check() }
            #expect(error.code == .sinkUnwritable)
            #expect(error.observed.contains("\(isUser ? "user" : "group") no-such-name is unknown"))
        }
    }

    @Test("replaces a symbolic link instead of writing where it points")
    func neverFollows() async throws {
        let (path, directory) = (path, directory)
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop)
            try await sink.deliver(content("hvs.first"))
            write("innocent", to: directory.file("other"))
            remove(path)
            link(path, to: directory.file("other"))
            #expect(try await sink.deliver(content("hvs.first")) == .restored)
        }
        #expect(contents(directory.file("other")) == "innocent")
        #expect(contents(path) == "hvs.first")
    }

    @Test("leaves the old content and no temporary file when it cannot be written")
    func failure() async throws {
        let directory = directory
        let inner = directory.file("inner")
        makeDirectory(inner)
        try await onLoop { loop in
            let sink = try fileSink("\(inner)/token", on: loop)
            try await sink.deliver(content("hvs.first"))
            move(inner, to: directory.file("moved"))
            let error = try await #require(throws: AgentError.self) { try await sink.deliver(content("hvs.second")) }
            #expect(error.code == .sinkUnwritable)
            move(directory.file("moved"), to: inner)
            #expect(entries(of: inner) == ["token"])
            #expect(contents("\(inner)/token") == "hvs.first")
            // A directory in the file's place makes the rename itself fail, the temporary file already written.
            remove("\(inner)/token")
            makeDirectory("\(inner)/token")
            await #expect(throws: AgentError.self) { try await sink.deliver(content("hvs.second")) }
            #expect(entries(of: inner) == ["token"])
        }
    }

    @Test("sweeps up after a killed agent, and leaves alone what is not its own or still being written")
    func leftovers() async throws {
        let (path, directory) = (path, directory)
        write("half a tok", to: directory.file(".token.vta-0123456789abcdef"))
        write("theirs", to: directory.file(".token.vta-backup"))
        write("theirs", to: directory.file(".other.vta-0123456789abcdef"))
        write("half a tok", to: directory.file(".token.vta-fedcba9876543210"))
        let busy = unsafe open(directory.file(".token.vta-fedcba9876543210"), O_RDONLY | O_CLOEXEC)
        defer { close(busy) }
        #expect(flock(busy, LOCK_EX) == 0)
        try await onLoop { loop in try await fileSink(path, on: loop).check() }
        #expect(
            directory.names == [".other.vta-0123456789abcdef", ".token.vta-backup", ".token.vta-fedcba9876543210"])
    }
}
