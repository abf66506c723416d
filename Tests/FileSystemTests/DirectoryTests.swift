// What stands in a directory after a change, whoever is in the way.

import CLinux
import Crypto
import Glibc
import SystemCalls
import TestSupport
import Testing

@testable import FileSystem

@Suite struct DirectoryTests {
    private let place = TemporaryDirectory()

    private func stamp(_ name: String) throws -> FileStamp? { try Directory(place.path).stamp(of: name) }

    @Test func `a file takes another's place whole, with its rights, and leaves nothing beside it`() throws {
        place.write("old", to: "file", mode: 0o666)
        try Directory(place.path).replace("file", with: Secret(text: "new"), rights: FileRights(mode: 0o640))
        #expect(try Directory(place.path).content(of: "file", limit: 3)?.text == "new")
        #expect(try stamp("file")?.mode == 0o640)
        #expect(place.names == ["file"])
    }

    @Test func `what cannot take its place leaves the old one and nothing beside it`() throws {
        #expect(unsafe mkdir(place.file("file"), 0o755) == 0)
        let fault = #expect(throws: SystemFault.self) {
            try Directory(place.path).replace("file", with: Secret(text: "new"), rights: .agentOnly)
        }
        #expect(fault?.call == "rename" && fault?.number == EISDIR)
        #expect(place.names == ["file"])
    }

    @Test func `a link in the place of a file is replaced, and what it points to is not touched`() throws {
        place.write("elsewhere", to: "target", mode: 0o600)
        #expect(unsafe symlink("target", place.file("file")) == 0)
        try Directory(place.path).replace("file", with: Secret(text: "new"), rights: FileRights(mode: 0o644))
        #expect(try Directory(place.path).content(of: "target", limit: 20)?.text == "elsewhere")
        #expect(try stamp("target")?.mode == 0o600)
        #expect(try stamp("file")?.kind == .regular)
    }

    @Test func `leftovers of a name go, but those of others and those that are locked stay`() throws {
        let digits = "0123456789abcdef"
        let (mine, locked, other) = (".app.vta-\(digits)", ".app.vta-\(String(digits.reversed()))", ".b.vta-\(digits)")
        for name in [mine, locked, other, ".app.vta-short", "app.vta-\(digits)"] { place.write("x", to: name) }
        let file = try Directory(place.path).open(locked)
        #expect(flock(file.number, LOCK_EX | LOCK_NB) == 0)
        #expect(try Directory(place.path).removeLeftovers { $0 == "app" } == 1)
        #expect(Set(place.names) == [locked, other, ".app.vta-short", "app.vta-\(digits)"])
    }

    @Test func `the owner of a temporary name is told whatever the name`() {
        for name in ["a", "takeover-app", ".hidden", "a.vta-0123456789abcdef", "ä b"] {
            #expect(TemporaryName.owner(of: TemporaryName.make(for: name)) == name)
        }
        #expect(TemporaryName.owner(of: "..vta-0123456789abcdef") == nil)
        #expect(TemporaryName.owner(of: TemporaryName.makeForSocket()) == nil)
    }

    // MARK: Rights

    @Test(
        .enabled(if: geteuid() == 0, "only root can give files away"),
        arguments: [(0o600, 0o640), (0o640, 0o604), (0o666, 0o400), (0o400, 0o444)] as [(mode_t, UInt16)])
    func `rights are given step by step, and no step lets anybody in whom neither side does`(
        before: mode_t, after: UInt16
    ) throws {
        place.write("x", to: "file", mode: before)
        let file = try Directory(place.path).open("file")
        try FileRights(mode: after, owner: 65_534, group: 65_533).apply(to: file, path: "file")
        let now = try #require(try stamp("file"))
        #expect(now.mode == after && now.owner == 65_534 && now.group == 65_533)
    }

    @Test func `a name's rights are its own, whatever it points to by then`() throws {
        place.write("elsewhere", to: "target", mode: 0o600)
        #expect(unsafe symlink("target", place.file("link")) == 0)
        let handle = try Descriptor(unsafe vta_open_name(AT_FDCWD, place.file("link")), "open", "link")
        #expect(throws: SystemFault.self) { try FileRights(mode: 0o666).apply(to: handle, path: "link") }
        #expect(try stamp("target")?.mode == 0o600)
    }

    // MARK: Sockets

    @Test func `a socket takes another's place, with its rights, and its name goes while it is its own`() throws {
        let first = try Directory(place.path).listen(at: "socket", rights: FileRights(mode: 0o666), backlog: 1)
        #expect(try Directory(place.path).process(listeningAt: "socket") == getpid())
        #expect(try stamp("socket")?.mode == 0o666 && place.names == ["socket"])
        let second = try Directory(place.path).listen(at: "socket", rights: FileRights(mode: 0o600), backlog: 1)
        #expect(try stamp("socket") == second.stamp)
        try Directory(place.path).remove("socket", ifItIs: first.stamp)
        #expect(place.names == ["socket"])
        _ = second.socket.take()
        #expect(try Directory(place.path).process(listeningAt: "socket") == nil)
        try Directory(place.path).remove("socket", ifItIs: second.stamp)
        #expect(place.names.isEmpty)
    }

    // MARK: Locks

    @Test func `a lock is seen by others for as long as it is held`() throws {
        let path = place.file("lock")
        #expect(FileLock.isHeld(path: path) == nil)
        let lock = try #require(try FileLock(path: path))
        #expect(FileLock.isHeld(path: path) == true)
        #expect(throws: SystemFault.self) { try FileLock(path: path) }
        withExtendedLifetime(lock) {}
    }
}
