// Configuration: the bytes of the file, and where in it an offset stands.

private import CLinux
private import Crypto
package import Diagnosis
private import Glibc
package import ServiceHealth
private import SystemCalls

/// A text file of bounded size.
package struct SourceText: Sendable {
    /// Longest file read: 1 MiB holds some thousand tokens.
    package static let sizeLimit = 1 << 20

    package let path: String
    package let bytes: [UInt8]
    /// Whether users other than its owner may write it.
    package let isWritableByOthers: Bool
    /// Whether a reload may read it anew.
    package let canBeReadAgain: Bool

    /// Offsets at which lines begin.
    private let lineStarts: [Int]

    package init(
        path: String, bytes: [UInt8], isWritableByOthers: Bool = false, canBeReadAgain: Bool = true
    ) {
        self.path = path
        self.bytes = bytes
        self.isWritableByOthers = isWritableByOthers
        self.canBeReadAgain = canBeReadAgain
        lineStarts = [0] + bytes.indices.filter { bytes[$0] == UInt8(ascii: "\n") }.map { $0 + 1 }
    }

    /// Longest wait for the next bytes of a pipe.
    private static let patience: Duration = .seconds(10)

    /// Throws `fileUnreadable`, and `configurationInvalid` for what is neither a file nor a pipe, or too long.
    package init(readingFrom path: String) throws(AgentError) {
        let file = try Self.opened(path)
        var status = stat()
        // SAFETY: the kernel fills `status` before the call returns.
        guard unsafe fstat(file.number, &status) == 0 else { throw Self.unreadable(SystemFault("read", path)) }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG || kind == S_IFIFO else {
            throw AgentError(
                .configurationInvalid, "\(path) is neither a file nor a pipe", remedy: "Name the configuration itself")
        }
        self.init(
            path: path, bytes: try Self.content(of: file.number, path, patience: Self.patience),
            isWritableByOthers: kind == S_IFREG && status.st_mode & (S_IWGRP | S_IWOTH) != 0,
            canBeReadAgain: kind == S_IFREG)
    }

    private static func opened(_ path: String) throws(AgentError) -> Descriptor {
        do throws(SystemFault) {
            // Not blocking, so that a pipe without a writer is waited for by a time that ends.
            // SAFETY: the path is lent for the call only.
            return try Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "read", path)
        } catch {
            throw unreadable(error)
        }
    }

    /// Standard input to its end. Whoever types at a terminal may take his time.
    init(readingStandardInputAs name: String) throws(AgentError) {
        let patience: Duration? = isatty(STDIN_FILENO) == 1 ? nil : Self.patience
        self.init(
            path: name, bytes: try Self.content(of: STDIN_FILENO, name, patience: patience), canBeReadAgain: false)
    }

    private static func content(
        of descriptor: Int32, _ path: String, patience: Duration?
    ) throws(AgentError) -> [UInt8] {
        let milliseconds = patience.map { Int32($0.components.seconds) * 1_000 } ?? -1
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while content.count <= sizeLimit {
            var readable = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // SAFETY: one structure, which outlives the call.
            let answer = retryingOnSignal { Int(unsafe poll(&readable, 1, milliseconds)) }
            guard answer >= 0 else { throw unreadable(SystemFault("read", path)) }
            guard answer > 0 else {
                throw AgentError(
                    .fileUnreadable, "\(path) gave nothing for \(milliseconds / 1_000) s and did not end",
                    remedy: "Is its writer still there?")
            }
            // SAFETY: the kernel writes at most `chunk.count` bytes into the array and says how many.
            let count = retryingOnSignal { unsafe read(descriptor, &chunk, chunk.count) }
            if count < 0 && errno == EAGAIN { continue }
            guard count >= 0 else { throw unreadable(SystemFault("read", path)) }
            if count == 0 { return content }
            content.append(contentsOf: chunk[..<count])
        }
        throw tooLong(path)
    }

    static func tooLong(_ path: String) -> AgentError {
        AgentError(
            .configurationInvalid, "\(path) is longer than 1 MiB",
            remedy: "Is it the configuration? Spread many tokens over several files and processes")
    }

    private static func unreadable(_ fault: SystemFault) -> AgentError {
        let remedy =
            switch fault.number {
            case ENOENT: "Name the configuration with --config FILE; config.example.json is one to begin with"
            case EACCES: "Let the agent's user read it"
            default: fault.limitRemedy
            }
        return AgentError(.fileUnreadable, "cannot read \(fault.subject): \(fault.words)", remedy: remedy)
    }

    /// SHA-256.
    var digest: [UInt8] { SHA256.digest(of: bytes) }

    /// Tells it from others.
    package var identity: ConfigurationText { ConfigurationText(name: path, digest: digest.hexadecimal) }

    /// `config.json:12:5`: line and column count from 1, columns in characters.
    package func place(_ offset: Int) -> String {
        let line = line(offset)
        let before = bytes[lineStarts[line - 1]..<min(offset, bytes.count)]
        return "\(path):\(line):\(String(decoding: before, as: UTF8.self).count + 1)"
    }

    /// The line of an offset, from 1.
    func line(_ offset: Int) -> Int {
        var (low, high) = (0, lineStarts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return low + 1
    }
}
