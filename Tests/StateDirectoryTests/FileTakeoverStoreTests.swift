import EventLoop
import Glibc
import TestSupport
import Testing
import Timekeeping

@testable import StateDirectory

private func digest(_ byte: UInt8) -> [UInt8] { Array(repeating: byte, count: 32) }

private func moment(_ seconds: Int64) -> TakeoverRecord.Moment {
    TakeoverRecord.Moment(
        calendar: WallTime(nanosecondsSince1970: seconds * 1_000_000_000 + 1),
        sinceBoot: Instant(nanoseconds: seconds * 1_000 + 7))
}

private let records: [TakeoverRecord] = [
    TakeoverRecord(boot: nil, entries: []),
    TakeoverRecord(boot: "6f1c", entries: [TakeoverRecord.Entry(token: digest(1), origin: digest(2))]),
    TakeoverRecord(
        boot: "6f1c",
        entries: [
            TakeoverRecord.Entry(
                sink: digest(3), token: digest(1), origin: digest(2), parent: digest(4),
                principal: "arn:aws:sts::123456789012:assumed-role/app/i-1", identity: "instance",
                lease: TakeoverRecord.Lease(
                    expiry: moment(1_800_000_000), full: .seconds(3_600), renewable: true, limitedUses: true)),
            // Never expires, and is not renewed.
            TakeoverRecord.Entry(
                sink: digest(255), token: digest(0), origin: digest(2), principal: "", identity: "",
                lease: TakeoverRecord.Lease(expiry: nil, full: nil, renewable: false, limitedUses: false)),
        ]),
]

@Suite struct FileTakeoverStoreTests {
    private let directory = TemporaryDirectory()
    private let log = CapturedLog()

    private func store(on loop: EventLoop, at place: String? = nil) -> FileTakeoverStore {
        FileTakeoverStore(StateFiles(directory: place ?? directory.path, timekeeper: loop), log: log.logger)
    }

    private func onLoop(_ body: @escaping @Sendable (EventLoop) async -> Void) async throws {
        let loop = try EventLoop(label: "test")
        await Task(executorPreference: loop) { await body(loop) }.value
    }

    private func inode(_ name: String) -> UInt? {
        var status = stat()
        return unsafe lstat(directory.file(name), &status) == 0 ? UInt(status.st_ino) : nil
    }

    @Test(arguments: records)
    func `what one process has kept the next one reads, and nobody else`(record: TakeoverRecord) async throws {
        try await onLoop { [self] loop in
            await store(on: loop).keep(record, for: "app")
            let own = await self.store(on: loop).record(for: "app")
            #expect(own == record)
            let others = await self.store(on: loop).record(for: "other")
            #expect(others == nil)
            #expect(directory.names == ["takeover-app"])
            var status = stat()
            #expect(unsafe lstat(directory.file("takeover-app"), &status) == 0 && status.st_mode & 0o777 == 0o600)
            #expect(log.warnings.isEmpty)
        }
    }

    @Test func `a record that is the same is not written again, a changed one takes its place whole`() async throws {
        try await onLoop { [self] loop in
            let store = store(on: loop)
            await store.keep(records[1], for: "app")
            let first = inode("takeover-app")
            await store.keep(records[1], for: "app")
            #expect(inode("takeover-app") == first)
            await store.keep(records[2], for: "app")
            #expect(inode("takeover-app") != first)
            let changed = await self.store(on: loop).record(for: "app")
            #expect(changed == records[2])
            #expect(directory.names == ["takeover-app"])
        }
    }

    @Test func `no record removes the file, and a later one is written though it is the same as before`() async throws {
        try await onLoop { [self] loop in
            let store = store(on: loop)
            await store.keep(records[1], for: "app")
            await store.keep(nil, for: "app")
            await store.keep(nil, for: "app")
            #expect(directory.names.isEmpty)
            await store.keep(records[1], for: "app")
            let again = await self.store(on: loop).record(for: "app")
            #expect(again == records[1])
        }
    }

    @Test func `what cannot be written is warned of once, tried again, and then kept`() async throws {
        try await onLoop { [self] loop in
            let place = directory.file("not-yet")
            let store = store(on: loop, at: place)
            await store.keep(records[1], for: "app")
            await store.keep(records[1], for: "app")
            #expect(log.warnings.count == 1)
            #expect(
                log.warnings.first?.contains(place) == true && log.warnings.first?.contains("Create \(place)") == true)
            #expect(unsafe mkdir(place, 0o700) == 0)
            await store.keep(records[1], for: "app")
            let atLast = await self.store(on: loop, at: place).record(for: "app")
            #expect(atLast == records[1])
            #expect(log.warnings.count == 1)
        }
    }

    @Test func `the format before this is read: no sink and no lease`() async throws {
        try await onLoop { [self] loop in
            let hexadecimal = { (byte: UInt8) in String(repeating: String(byte, radix: 16), count: 32) }
            directory.write("\(hexadecimal(0x1a))\n\(hexadecimal(0x2b))\n", to: "takeover-app")
            let expected = TakeoverRecord.Entry(token: digest(0x2b), origin: digest(0x1a))
            let found = await self.store(on: loop).record(for: "app")
            #expect(found == TakeoverRecord(boot: nil, entries: [expected]))
        }
    }

    @Test(arguments: [
        "", "\n", "takeover 2", "takeover 3 -\n", "nonsense\nnonsense\n", "takeover 2 -\nx y z\n",
        "takeover 2 -\n- " + String(repeating: "0", count: 63) + " - - - - . p i\n",
        "takeover 2 -\n- \(String(repeating: "zz", count: 32)) \(String(repeating: "00", count: 32)) - ? ? ? p i\n",
        "takeover 2 -\n- \(String(repeating: "00", count: 32)) \(String(repeating: "00", count: 32)) - 1 2 r. p i\n",
        "takeover 2 -\n- \(String(repeating: "00", count: 32)) \(String(repeating: "00", count: 32)) - 1/2 x r. p i\n",
        String(repeating: "a", count: TakeoverRecord.largestText + 1),
    ])
    func `what is no whole record counts as none`(text: String) async throws {
        try await onLoop { [self] loop in
            directory.write(text, to: "takeover-app")
            let found = await self.store(on: loop).record(for: "app")
            #expect(found == nil)
            #expect(log.warnings.isEmpty)
        }
    }

    @Test func `no piece of a record is taken for one`() {
        let text = records[2].text
        for length in 0..<text.utf8.count {
            let piece = TakeoverRecord(text: String(decoding: text.utf8.prefix(length), as: UTF8.self))
            // Cut between two words a line can still be whole; what it says of a token then is true.
            #expect(piece.map { $0.entries.allSatisfy { cut in isPart(cut) } } ?? true, "at \(length)")
        }
    }

    private func isPart(_ cut: TakeoverRecord.Entry) -> Bool {
        records[2].entries.contains { $0.token == cut.token && $0.origin == cut.origin && $0.parent == cut.parent }
    }

    @Test func `a link, a pipe and a directory in its place are not read`() async throws {
        try await onLoop { [self] loop in
            directory.write(records[1].text, to: "elsewhere")
            #expect(unsafe symlink("elsewhere", directory.file("takeover-link")) == 0)
            #expect(unsafe mkfifo(directory.file("takeover-pipe"), 0o600) == 0)
            #expect(unsafe mkdir(directory.file("takeover-directory"), 0o700) == 0)
            for name in ["link", "pipe", "directory"] {
                let read = await self.store(on: loop).record(for: name)
                #expect(read == nil)
            }
            await store(on: loop).keep(records[1], for: "link")
            let kept = await self.store(on: loop).record(for: "link")
            #expect(kept == records[1])
        }
    }

    @Test func `a name with spaces or a line's end in it breaks no record`() async throws {
        try await onLoop { [self] loop in
            var entry = records[2].entries[0]
            entry.principal = "a b\nsink"
            await store(on: loop).keep(TakeoverRecord(boot: "b", entries: [entry]), for: "app")
            let kept = await self.store(on: loop).record(for: "app")
            #expect(kept?.entries.first?.principal == "absink")
        }
    }
}
