// What readers see while a sink is rotated, and what is left when its agent is killed.

import Crypto
import Dispatch
import Glibc
import Synchronization
import TestSupport
import Testing
import Timekeeping

@testable import TokenSinks

/// Opens a file again and again on a thread of its own and counts what it finds.
private final class Reader: Sendable {
    struct Findings {
        var opens = 0
        var missing = 0
        /// Neither one of the contents nor anything else that may be there.
        var wrong: [String] = []
        /// An older content after a newer one.
        var backwards = 0
    }

    private let queue = DispatchQueue(label: "reader")
    private let isDone = Atomic(false)
    private let findings = Mutex(Findings())

    init(_ path: String, contents: [String]) {
        let order = Dictionary(uniqueKeysWithValues: contents.enumerated().map { (Array($1.utf8), $0) })
        queue.async {
            var found = Findings()
            var newest = 0
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while !self.isDone.load(ordering: .relaxed) {
                let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else {
                    found.missing += 1
                    continue
                }
                let count = unsafe read(descriptor, &buffer, buffer.count)
                close(descriptor)
                found.opens += 1
                let content = Array(buffer.prefix(max(0, count)))
                if let place = order[content] {
                    if place < newest { found.backwards += 1 }
                    newest = place
                } else {
                    found.wrong.append(String(decoding: content, as: UTF8.self))
                }
            }
            self.findings.withLock { $0 = found }
        }
    }

    func stop() -> Findings {
        isDone.store(true, ordering: .relaxed)
        return queue.sync { findings.withLock { $0 } }
    }
}

@Suite("Readers of a file sink", .serialized)
struct ReaderTests {
    private let directory = TemporaryDirectory()

    @Test("only ever see a whole valid content, through 200 rotations", arguments: TokenFormat.allCases)
    func rotation(format: TokenFormat) async throws {
        let path = directory.file("token")
        let findings = try await onLoop { loop in
            let tokens = (0..<200).map { content("hvs.\($0)-\(String(repeating: "x", count: $0))") }
            let texts = try tokens.map {
                try Rendering($0, format: format, newline: true, wraps: false).bytes.text
            }
            let sink = try fileSink(path, on: loop) { settings, _ in
                settings.format = format
                settings.newline = true
            }
            try await sink.deliver(tokens[0])
            let readers = (0..<2).map { _ in Reader(path, contents: texts) }
            for token in tokens {
                try await sink.deliver(token)
                await loop.sleep(for: .milliseconds(3))
            }
            return readers.map { $0.stop() }
        }
        for found in findings {
            #expect(found.opens > 1_000)
            #expect(found.missing == 0)
            #expect(found.wrong == [])
            #expect(found.backwards == 0)
        }
        #expect(directory.names == ["token"])
    }

    @Test("see the old or the new content when the agent is killed, and its next start sweeps up", arguments: 0..<6)
    func killed(round: Int) async throws {
        let path = directory.file("token")
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, round = round as Int] in
            let delay = UInt32(round * 1_500) + UInt32.random(in: 0..<1_500)
            try await onLoop { loop in
                let sink = try fileSink(path, on: loop)
                try await sink.deliver(content("hvs.0"))
                DispatchQueue(label: "killer").async {
                    usleep(delay)
                    kill(getpid(), SIGKILL)
                }
                var number = 0
                while true {
                    number += 1
                    try await sink.deliver(content("hvs.\(number)"))
                }
            }
        }
        let left = try #require(contents(path))
        #expect(left.hasPrefix("hvs.") && Int(left.dropFirst(4)) != nil, "\(left)")
        #expect(directory.names.count <= 2)
        try await onLoop { loop in
            let successor = try fileSink(path, on: loop)
            try await successor.check()
            #expect(directory.names == ["token"])
            #expect(contents(path) == left)
        }
    }
}
