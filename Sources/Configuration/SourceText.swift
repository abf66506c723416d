// Configuration: the bytes of the file, and where in it an offset stands.

private import CLinux
package import Diagnosis
private import Glibc
private import SystemCalls

/// A text file of bounded size.
package struct SourceText: Sendable {
    /// Longest file read: 1 MiB holds some thousand tokens.
    package static let sizeLimit = 1 << 20

    package let path: String
    package let bytes: [UInt8]
    /// Whether users other than its owner may write it.
    package let isWritableByOthers: Bool

    /// Offsets at which lines begin.
    private let lineStarts: [Int]

    package init(path: String, bytes: [UInt8], isWritableByOthers: Bool = false) {
        self.path = path
        self.bytes = bytes
        self.isWritableByOthers = isWritableByOthers
        lineStarts = [0] + bytes.indices.filter { bytes[$0] == UInt8(ascii: "\n") }.map { $0 + 1 }
    }

    /// Throws `fileUnreadable`, and `configurationInvalid` for what is no file or too long.
    package init(readingFrom path: String) throws(AgentError) {
        let content: (bytes: [UInt8], mode: mode_t)?
        do throws(SystemFault) {
            content = try Self.regularFile(path)
        } catch {
            throw Self.unreadable(error)
        }
        guard let content else {
            throw AgentError(
                .configurationInvalid, "\(path) is not a regular file", remedy: "Name the configuration file itself")
        }
        guard content.bytes.count <= Self.sizeLimit else {
            throw AgentError(
                .configurationInvalid, "\(path) is longer than 1 MiB",
                remedy: "Is it the configuration? Spread many tokens over several files and processes")
        }
        self.init(path: path, bytes: content.bytes, isWritableByOthers: content.mode & (S_IWGRP | S_IWOTH) != 0)
    }

    /// At least one byte more than ``sizeLimit`` of what is longer; nil: it is no regular file.
    private static func regularFile(_ path: String) throws(SystemFault) -> (bytes: [UInt8], mode: mode_t)? {
        // Not blocking, so that a FIFO without a writer is refused instead of waited for.
        // SAFETY: the path is lent for the call only.
        let file = try Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "read", path)
        var status = stat()
        // SAFETY: the kernel fills `status` before the call returns.
        guard unsafe fstat(file.number, &status) == 0 else { throw SystemFault("read", path) }
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= sizeLimit {
            // SAFETY: the kernel writes at most `chunk.count` bytes into the array and says how many.
            let count = retryingOnSignal { unsafe read(file.number, &chunk, chunk.count) }
            guard count >= 0 else { throw SystemFault("read", path) }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return (bytes, status.st_mode)
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

    /// `config.json:12:5`: line and column count from 1, columns in characters.
    func place(_ offset: Int) -> String {
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
