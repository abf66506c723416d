// A process of its own in which the HTTP client is looked at from outside: what it does with the environment, what it
// leaves in memory, and what it does when it has nothing to do. Started by HTTPClientTests with a URL and a CA file.
//
// Prints: `status N`, `copies while held N`, `copies afterwards N`, `wake-ups in 3 s N`.

import Crypto
import Dispatch
import EventLoop
import Glibc
import HTTPClient
import Logging

@main
struct Probe {
    static func main() throws {
        // The thread sanitizer's own thread wakes up ten times a second. It is begun along with the first other one.
        var first = pthread_t()
        if unsafe pthread_create(&first, nil, endAtOnce, nil) == 0 { pthread_join(first, nil) }
        let foreign = Set(threads())
        let (url, authority) = (CommandLine.arguments[1], CommandLine.arguments[2])
        let loop = try EventLoop(label: "probe")
        let log = Logger(label: "probe") { _ in SwiftLogNoOpLogHandler() }
        let transport = CurlTransport(loop: loop, log: log)
        var (held, pattern) = newSecret()
        print("copies while held", copies(of: pattern))
        let done = DispatchSemaphore(value: 0)
        let token = Token(held.take())
        Task(executorPreference: loop) {
            if let secret = token.secret.take() { print("status", await status(of: url, authority, secret, transport)) }
            done.signal()
        }
        done.wait()
        // The queue goes on after the signal: give it time to let go of the task.
        usleep(200_000)
        print("copies afterwards", copies(of: pattern))
        let before = wakeUps(without: foreign)
        sleep(3)
        // Of the threads that are there still: one of Dispatch's whose time is over may end meanwhile.
        let more = wakeUps(without: foreign).reduce(0) { $0 + $1.value - (before[$1.key] ?? 0) }
        print("wake-ups in 3 s", more)
        withExtendedLifetime(transport) {}
    }

    private static func status(
        of url: String, _ authority: String, _ secret: Secret, _ transport: CurlTransport
    ) async -> Int {
        var tls = TLSSettings()
        tls.caFile = authority
        let request = HTTPRequest(
            .put, url, headers: [HTTPHeader("X-Vault-Token", secret: secret)], body: secret,
            route: HTTPRoute(tls: tls))
        return (try? await transport.send(request).status) ?? 0
    }
}

private func endAtOnce(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    nil
}

/// Hands the only reference over.
private final class Token: @unchecked Sendable {
    var secret: Secret?

    init(_ secret: Secret?) {
        self.secret = secret
    }
}

/// A random secret, and its bytes inverted: to search memory without adding a copy.
private func newSecret() -> (Secret?, pattern: [UInt8]) {
    var bytes = (0..<40).map { _ in UInt8.random(in: UInt8(ascii: "a")...UInt8(ascii: "z")) }
    let pattern = bytes.map { ~$0 }
    return (Secret(wiping: &bytes), pattern)
}

/// How often the pattern's original stands in this process's writable memory.
private func copies(of pattern: [UInt8]) -> Int {
    // By way of the kernel: a range that another thread unmaps meanwhile is then an error, not a crash.
    let memory = unsafe open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
    defer { close(memory) }
    var part = [UInt8](repeating: 0, count: 1 << 20)
    var found = 0
    for line in read("/proc/self/maps").split(separator: "\n") {
        let fields = line.split(separator: " ")
        let ends = fields[0].split(separator: "-").compactMap { Int(String($0), radix: 16) }
        // Larger than this are only the sanitizers' own tables.
        guard fields[1].hasPrefix("rw"), ends.count == 2, ends[1] - ends[0] <= 1 << 30 else { continue }
        // Parts overlap by one byte less than the pattern, so that none is missed and none counted twice.
        for start in stride(from: ends[0], to: ends[1], by: part.count - pattern.count + 1) {
            // Emptied first: it is part of the memory that is searched.
            unsafe memset(&part, 0, part.count)
            let count = unsafe pread(memory, &part, min(part.count, ends[1] - start), start)
            found += occurrences(of: pattern, in: part[..<max(0, count)])
        }
    }
    unsafe memset(&part, 0, part.count)
    return found
}

private func occurrences(of pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Int {
    unsafe bytes.withUnsafeBytes { bytes in
        var (found, start) = (0, 0)
        // SAFETY: memchr looks at what is left of `bytes` and answers with a place in it.
        while let base = bytes.baseAddress, bytes.count - start >= pattern.count,
            let place = unsafe memchr(base + start, Int32(~pattern[0]), bytes.count - start)
        {
            let index = unsafe base.distance(to: UnsafeRawPointer(place))
            let candidate = unsafe bytes[index...].prefix(pattern.count)
            if unsafe candidate.elementsEqual(pattern, by: { $0 == ~$1 }) { found += 1 }
            start = index + 1
        }
        return found
    }
}

/// Voluntary context switches of each thread but the main one, which sleeps.
private func wakeUps(without foreign: Set<String>) -> [String: Int] {
    var found: [String: Int] = [:]
    for thread in threads() where !foreign.contains(thread) && thread != "\(getpid())" {
        for line in read("/proc/self/task/\(thread)/status").split(separator: "\n")
        where line.hasPrefix("voluntary_ctxt_switches:") {
            found[thread] = Int(line.split(separator: "\t").last ?? "") ?? 0
        }
    }
    return found
}

private func threads() -> [String] {
    guard let listing = unsafe opendir("/proc/self/task") else { return [] }
    defer { unsafe closedir(listing) }
    var found: [String] = []
    while let entry = unsafe readdir(listing) {
        let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if Int32(name) != nil { found.append(name) }
    }
    return found
}

private func read(_ path: String) -> String {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    defer { close(descriptor) }
    var all: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = unsafe Glibc.read(descriptor, &part, part.count)
        guard count > 0 else { return String(decoding: all, as: UTF8.self) }
        all += part[..<count]
    }
}
