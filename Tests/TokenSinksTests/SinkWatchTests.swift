// What others do to a sink, and how soon it is put right.

import Dispatch
import EventLoop
import FileSystem
import Glibc
import TestSupport
import Testing
import Timekeeping

@testable import TokenSinks

@Suite("A watched file sink")
struct SinkWatchTests {
    private let directory = TemporaryDirectory()

    enum Damage: CaseIterable {
        case deleted, emptied, truncatedByPath, overwritten, sameLength, appended, replaced, mode, link,
            directoryDeleted,
            directoryMoved, directoryReplaced

        /// As what it may be seen.
        var kinds: Set<SinkDisturbance.Kind> {
            switch self {
            case .deleted, .directoryReplaced: [.removed]
            case .emptied, .truncatedByPath, .overwritten, .sameLength, .appended, .replaced, .link: [.altered]
            case .mode: [.permissions]
            // The file goes first: who looks in between sees no more.
            case .directoryDeleted: [.directory, .removed]
            case .directoryMoved: [.directory]
            }
        }

        func strike(_ path: String, in directory: String) {
            switch self {
            case .deleted: remove(path)
            case .emptied: write("", to: path)
            case .truncatedByPath: _ = unsafe truncate(path, 0)
            case .overwritten: write("something else", to: path)
            case .sameLength: write("hvs.FIRST", to: path)
            case .appended:
                let descriptor = unsafe open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
                _ = unsafe Glibc.write(descriptor, "x", 1)
            // Left open: there is no close to notice.
            case .replaced:
                write("a stranger", to: "\(directory)/stranger")
                move("\(directory)/stranger", to: path)
            case .mode: _ = unsafe chmod(path, 0o666)
            case .link:
                write("hvs.first", to: "\(directory)/elsewhere")
                remove(path)
                TokenSinksTests.link(path, to: "\(directory)/elsewhere")
            case .directoryDeleted:
                remove(path)
                _ = unsafe rmdir(directory)
            case .directoryMoved: move(directory, to: directory + ".moved")
            case .directoryReplaced:
                makeDirectory(directory + ".new")
                move(directory, to: directory + ".old")
                move(directory + ".new", to: directory)
            }
        }
    }

    /// Whoever strikes while the agent is not yet done with its own write is not taken for the agent.
    @Test("what is done to a new file the moment it appears is seen")
    func struckAtOnce() throws {
        let path = directory.file("token")
        let file = try KeptFile(FilePlace(path: path))
        let done = DispatchSemaphore(value: 0)
        for number in 0..<200 {
            let rendering = try Rendering(content("hvs.\(number)"), format: .token, newline: true, wraps: false)
            let former = stamp(path)?.inode
            DispatchQueue(label: "stranger").async {
                while stamp(path)?.inode == former {}
                _ = unsafe truncate(path, 0)
                done.signal()
            }
            _ = try file.put(rendering)
            done.wait()
            #expect(file.inspect()?.observed.hasSuffix("is empty") == true)
        }
    }

    @Test("is put right within a second", arguments: Damage.allCases)
    func repaired(damage: Damage) async throws {
        let inner = directory.file("inner")
        makeDirectory(inner)
        try await onLoop { loop in
            let caretaker = Caretaker(on: loop)
            try await caretaker.begin([("\(inner)/token", content("hvs.first"))])
            var quickest: Duration = .seconds(60)
            for _ in 0..<3 {
                await loop.sleep(for: .milliseconds(60))
                quickest = min(quickest, await strike(damage, inner, caretaker, loop))
            }
            // The others may have waited for a busy machine, but for nothing else.
            #expect(quickest < .seconds(4), "a second, and four for a machine four times slower")
            let disturbances = await caretaker.disturbances
            #expect(disturbances.contains { damage.kinds.contains($0.kind) && $0.observed.contains(inner) })
            #expect(disturbances.allSatisfy { !$0.observed.contains("hvs.") })
            await caretaker.end()
        }
    }

    /// Does the damage and says how long it lasted.
    private func strike(
        _ damage: Damage, _ directory: String, _ caretaker: Caretaker, _ loop: EventLoop
    ) async -> Duration {
        let path = "\(directory)/token"
        let failures = await caretaker.failures
        var start = loop.now
        damage.strike(path, in: directory)
        if damage.kinds.contains(.directory) {
            // Without its directory the sink fails; it is put right as soon as there is one.
            let hasFailed = await eventually(loop) { await caretaker.failures > failures }
            #expect(hasFailed)
            start = loop.now
            makeDirectory(directory)
        }
        let isRight = await eventually(loop) {
            contents(path) == "hvs.first" && stamp(path)?.mode == 0o640 && stamp(path)?.isRegular == true
        }
        #expect(isRight)
        let duration = loop.now - start
        for old in [directory + ".moved", directory + ".old"] { clear(old) }
        return duration
    }

    /// In one step, and without emptying it first: there is no moment at which it holds anything else.
    private func writeAgain(_ text: String, to path: String) {
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        _ = unsafe Glibc.write(descriptor, text, text.utf8.count)
        close(descriptor)
    }

    private func clear(_ directory: String) {
        for name in entries(of: directory) { remove("\(directory)/\(name)") }
        _ = unsafe rmdir(directory)
    }

    @Test("is not disturbed by its own writes, by its neighbours or by its readers")
    func calm() async throws {
        let directory = directory
        let path = directory.file("token")
        try await onLoop { loop in
            let caretaker = Caretaker(on: loop)
            try await caretaker.begin([(path, content("hvs.first"))])
            for round in 0..<20 {
                try await caretaker.deliver(content("hvs.\(round)"))
                write("\(round)", to: directory.file("neighbour"))
                remove(directory.file("neighbour"))
                #expect(contents(path) == "hvs.\(round)")
                await loop.sleep(for: .milliseconds(10))
            }
            await loop.sleep(for: .milliseconds(100))
            #expect(await caretaker.disturbances == [])
            await caretaker.end()
        }
    }

    @Test("is not reported when it is as it should be again, or was withdrawn, or is closed")
    func silent() async throws {
        let path = directory.file("token")
        try await onLoop { loop in
            let caretaker = Caretaker(on: loop)
            try await caretaker.begin([(path, content("hvs.first"))])
            await loop.sleep(for: .milliseconds(60))
            let before = stamp(path)
            writeAgain("hvs.first", to: path)
            await loop.sleep(for: .milliseconds(100))
            #expect(stamp(path)?.inode == before?.inode)
            try await caretaker.withdraw()
            write("mine now", to: path)
            await loop.sleep(for: .milliseconds(100))
            await caretaker.end()
            remove(path)
            await loop.sleep(for: .milliseconds(100))
            #expect(await caretaker.disturbances == [])
        }
    }

    @Test("shares one inotify instance with all others")
    func many() async throws {
        let directory = directory
        try await onLoop { loop in
            let caretaker = Caretaker(on: loop)
            try await caretaker.begin((0..<100).map { (directory.file("token-\($0)"), content("hvs.\($0)")) })
            await loop.sleep(for: .milliseconds(100))
            // Tests beside this one have some too.
            #expect((1..<90).contains(inotifyInstances))
            for index in 0..<100 { remove(directory.file("token-\(index)")) }
            let areRight = await eventually(loop) {
                (0..<100).allSatisfy { contents(directory.file("token-\($0)")) == "hvs.\($0)" }
            }
            #expect(areRight)
            await caretaker.end()
        }
    }

    private var inotifyInstances: Int {
        entries(of: "/proc/self/fd").count { descriptor in
            var target = [CChar](repeating: 0, count: 64)
            let count = unsafe readlink("/proc/self/fd/\(descriptor)", &target, target.count)
            return String(decoding: target.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
                == "anon_inode:inotify"
        }
    }

    @Test("is fought over at no more than a bounded rate")
    func allowance() {
        var allowance = ReportAllowance()
        let start = Instant(nanoseconds: 1_000_000_000_000)
        for _ in 0..<10 { #expect(allowance.take(at: start) == nil) }
        #expect(allowance.take(at: start) == start + .seconds(5))
        #expect(allowance.take(at: start + .seconds(4)) == start + .seconds(5))
        #expect(allowance.take(at: start + .seconds(5)) == nil)
        #expect(allowance.take(at: start + .seconds(5)) == start + .seconds(10))
        for _ in 0..<10 { #expect(allowance.take(at: start + .seconds(100)) == nil) }
        #expect(allowance.take(at: start + .seconds(100)) != nil)
    }
}
