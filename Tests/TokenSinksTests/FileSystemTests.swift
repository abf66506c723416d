// File sinks where the file system has something to say: full, read-only, mounted, owned by others. Needs root.

import Diagnosis
import EventLoop
import FileSystem
import Glibc
import TestSupport
import Testing
import Timekeeping

@testable import TokenSinks

@Suite(
    "A file sink on a file system of its own",
    .enabled(if: Mounted.isPossible, "needs root and the right to mount (CAP_SYS_ADMIN)"))
struct FileSystemTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("token") }

    private func tmpfs(_ options: String) throws -> Mounted {
        try Mounted(["-t", "tmpfs", "-o", options, "tmpfs"], at: directory.path)
    }

    @Test(
        "that is full keeps the old token, leaves nothing behind, and gets the new one once there is room",
        arguments: ["size=16k", "nr_inodes=3"])
    func full(options: String) async throws {
        let mounted = try tmpfs(options)
        let (path, directory) = (path, directory)
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop) { settings, _ in settings.format = .json }
            try await sink.check()
            try await sink.deliver(content("hvs.first"))
            // A child that some other test has just forked has every descriptor of this process until it executes its
            // program: what the sink has unlinked meanwhile takes up room a little longer.
            #expect(await eventually(loop) { hasOnlyWhatIsNamed(directory) })
            fillUp(directory)
            let before = contents(path)
            for _ in 0..<3 {
                let error = try await #require(throws: AgentError.self) {
                    try await sink.deliver(content("hvs.second"))
                }
                #expect(error.code == .sinkFull)
                #expect(error.remedy.contains(directory.path))
                #expect(contents(path) == before)
                #expect(directory.names == ["filler", "token"])
            }
            let error = try await #require(throws: AgentError.self) { try await sink.check() }
            #expect(error.code == .sinkFull)
            #expect(directory.names == ["filler", "token"])
            remove(directory.file("filler"))
            #expect(await eventually(loop) { hasOnlyWhatIsNamed(directory) })
            #expect(try await sink.deliver(content("hvs.second")) == .rotated)
            #expect(directory.names == ["token"])
        }
        _ = mounted
    }

    @Test("that is read-only says so at start and later, and keeps the old token")
    func readOnly() async throws {
        let mounted = try tmpfs("size=64k")
        let (path, directory) = (path, directory)
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop)
            try await sink.deliver(content("hvs.first"))
            #expect(mounted.remount("ro"))
            let late = try await #require(throws: AgentError.self) { try await sink.deliver(content("hvs.second")) }
            #expect(late.code == .sinkUnwritable)
            #expect(late.remedy.contains("read-only"))
            let early = try await #require(throws: AgentError.self) { try await sink.check() }
            #expect(early.code == .sinkUnwritable)
            #expect(try await sink.deliver(content("hvs.first")) == .unchanged)
            #expect(contents(path) == "hvs.first")
            #expect(directory.names == ["token"])
        }
    }

    @Test("that comes and goes is noticed at the next delivery")
    func mountedOver() async throws {
        let path = path
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop)
            try await sink.deliver(content("hvs.first"))
            var mounted: Mounted? = try tmpfs("size=64k")
            #expect(try await sink.deliver(content("hvs.first")) == .restored)
            #expect(contents(path) == "hvs.first")
            mounted = nil
            #expect(mounted == nil)
            #expect(try await sink.deliver(content("hvs.first")) == .unchanged)
        }
    }

    @Test(
        "that is one bind-mounted file is written in place, watched, and emptied at the end", arguments: [true, false])
    func bindMountedFile(isKnownAtStart: Bool) async throws {
        let (path, directory) = (path, directory)
        let source = directory.file("source")
        write("what was there before and was rather long", to: source, mode: 0o644)
        write("", to: path)
        try await onLoop { loop in
            var mounted: [Mounted] = []
            if isKnownAtStart { mounted.append(try Mounted(["--bind", source], at: path)) }
            let sink = try fileSink(path, on: loop)
            try await sink.check()
            if !isKnownAtStart { mounted.append(try Mounted(["--bind", source], at: path)) }
            let before = try #require(stamp(source))
            #expect(before.mode == 0o644, "a rehearsal leaves the file as it is")
            #expect(contents(source) == "what was there before and was rather long")
            try await sink.deliver(content("hvs.first"))
            #expect(contents(source) == "hvs.first")
            #expect(stamp(source)?.inode == before.inode)
            #expect(stamp(source)?.mode == 0o640)
            #expect(try await sink.deliver(content("hvs.first")) == .unchanged)
            try await sink.deliver(content("hvs.the-second"))
            #expect(contents(source) == "hvs.the-second")
            #expect(directory.names == ["source", "token"])
            try await sink.withdraw()
            #expect(contents(source) == "")

            let caretaker = Caretaker(on: loop)
            try await caretaker.begin([(path, content("hvs.first"))])
            await loop.sleep(for: .milliseconds(60))
            let start = loop.now
            // From outside, by the other name: the directory of the sink sees nothing of it.
            write("", to: source)
            #expect(await eventually(loop) { contents(path) == "hvs.first" })
            #expect(loop.now - start < .seconds(4), "a second, and four for a machine four times slower")
            await caretaker.end()
            #expect(mounted.count == 1)
        }
    }
}

/// Whether the files that stand in a file system's top directory take up all the room and inodes that are taken.
private func hasOnlyWhatIsNamed(_ directory: TemporaryDirectory) -> Bool {
    var taken = statvfs()
    guard unsafe statvfs(directory.path, &taken) == 0, taken.f_frsize > 0 else { return false }
    var blocks = 0
    for name in directory.names {
        var status = stat()
        guard unsafe lstat(directory.file(name), &status) == 0 else { return false }
        blocks += status.st_blocks * 512 / Int(taken.f_frsize)
    }
    // The directory itself is an inode, too.
    return taken.f_blocks - taken.f_bfree == UInt(blocks)
        && taken.f_files - taken.f_ffree == UInt(directory.names.count + 1)
}

@Suite("A file sink for another user", .enabled(if: geteuid() == 0, "only root can give files away"))
struct OwnershipTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("token") }

    @Test(
        "belongs to the owner and group asked for, by name or number",
        arguments: [("65534", "65533", 65_534, 65_533), ("nobody", "nogroup", 65_534, 65_534), ("daemon", nil, 1, 0)]
            as [(String?, String?, uid_t, gid_t)])
    func given(owner: String?, group: String?, user: uid_t, groupNumber: gid_t) async throws {
        let path = path
        try await onLoop { loop in
            let sink = try fileSink(path, on: loop) { _, place in
                place.owner = owner
                place.group = group
                place.mode = 0o400
            }
            try await sink.check()
            try await sink.deliver(content("hvs.first"))
            #expect(stamp(path)?.owner == user && stamp(path)?.group == groupNumber && stamp(path)?.mode == 0o400)
            _ = unsafe chown(path, 2, 2)
            #expect(try await sink.deliver(content("hvs.first")) == .restored)
            #expect(stamp(path)?.owner == user && stamp(path)?.group == groupNumber)
        }
    }

    @Test("that an agent without privilege cannot make says so at start, and leaves nothing behind")
    func unprivileged() async {
        await #expect(processExitsWith: .success) {
            let directory = TemporaryDirectory()
            _ = unsafe chown(directory.path, 65_534, 65_534)
            try #require(setegid(65_534) == 0 && seteuid(65_534) == 0)
            let path = directory.file("token")
            try await onLoop { loop in
                let sink = try fileSink(path, on: loop) { $1.owner = "root" }
                let error = try await #require(throws: AgentError.self) { try await sink.check() }
                try #require(error.code == .sinkUnwritable)
                try #require(error.remedy.contains("CAP_CHOWN"))
                let denied = try fileSink("/root/token", on: loop)
                let refusal = try await #require(throws: AgentError.self) { try await denied.check() }
                try #require(refusal.code == .sinkUnwritable && refusal.remedy.contains("uid 65534"))
                let own = try fileSink(path, on: loop)
                try await own.check()
                try await own.deliver(content("hvs.first"))
            }
            try #require(directory.names == ["token"])
            // Who may remove the directory again.
            try #require(seteuid(0) == 0)
            withExtendedLifetime(directory) {}
        }
    }
}
