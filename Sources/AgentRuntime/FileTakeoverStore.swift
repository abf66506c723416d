// AgentRuntime: take-over records in the state directory, one small file for each token.

private import Crypto
private import Glibc
package import Logging
private import SystemCalls

/// `takeover-NAME` in the state directory, mode 0600: two digests in hexadecimal, a line each.
///
/// A record that cannot be read counts as none; one that cannot be written costs the next start a login and is warned about
/// once.
package final class FileTakeoverStore: TakeoverStore {
    private let directory: String
    private let log: Logger
    private var warned = false

    /// `directory` is absolute and exists.
    package init(directory: String, log: Logger) {
        self.directory = directory
        self.log = log
    }

    package func record(for tokenName: String) -> TakeoverRecord? {
        let path = path(of: tokenName)
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        guard let file = try? Descriptor(unsafe open(path, flags), "open", path) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 4 * SHA256.length + 3)
        let count = unsafe read(file.number, &bytes, bytes.count)
        guard count == 4 * SHA256.length + 2 else { return nil }
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        guard lines.count == 2, let login = [UInt8](hexadecimal: lines[0]), let token = [UInt8](hexadecimal: lines[1])
        else { return nil }
        return TakeoverRecord(loginDigest: login, tokenDigest: token)
    }

    package func keep(_ record: TakeoverRecord?, for tokenName: String) {
        let path = path(of: tokenName)
        guard let record else {
            unsafe unlink(path)
            return
        }
        guard record != self.record(for: tokenName) else { return }
        let text = "\(record.loginDigest.hexadecimal)\n\(record.tokenDigest.hexadecimal)\n"
        do throws(SystemFault) {
            try replace(path, with: text)
        } catch {
            warn(error)
        }
    }

    private func replace(_ path: String, with text: String) throws(SystemFault) {
        let temporary = "\(path).new"
        unsafe unlink(temporary)
        do throws(SystemFault) {
            let file = try Descriptor(
                unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600), "create", temporary
            )
            let count = unsafe write(file.number, text, text.utf8.count)
            guard count == text.utf8.count else {
                throw SystemFault("write", temporary, number: count < 0 ? errno : ENOSPC)
            }
            guard unsafe rename(temporary, path) == 0 else { throw SystemFault("rename", path) }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
    }

    private func warn(_ fault: SystemFault) {
        guard !warned else { return }
        warned = true
        log.warning(
            "Token cannot be taken over by the next start",
            metadata: [
                "reason": "\(fault.observed)", "remedy": "Make the state directory writable for the agent",
            ])
    }

    private func path(of tokenName: String) -> String {
        "\(directory)/takeover-\(tokenName)"
    }
}

extension [UInt8] {
    /// Nil unless it is the hexadecimal form of a SHA-256.
    fileprivate init?(hexadecimal text: Substring) {
        let digits = Array(text.utf8)
        guard digits.count == 2 * SHA256.length else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        self = bytes
    }
}
