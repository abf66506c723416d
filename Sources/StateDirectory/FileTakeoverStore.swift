// StateDirectory: take-over records in the state directory, one small file for each token.

private import Crypto
private import FileSystem
package import Logging
private import SystemCalls
private import Timekeeping

/// `takeover-NAME` in the state directory, mode 0600: a line that names the format, then a line for each sink: digests in
/// hexadecimal, the lease, whose token it is.
///
/// A record that cannot be read counts as none; one that cannot be written costs the next start a login and is warned about
/// once.
package final class FileTakeoverStore: TakeoverStore {
    private let files: StateFiles
    private let log: Logger
    private var warned = false
    /// What was written last, by token.
    private var kept: [String: TakeoverRecord] = [:]

    package init(_ files: StateFiles, log: Logger) {
        self.files = files
        self.log = log
    }

    package func record(for tokenName: String) async -> TakeoverRecord? {
        await files.content(of: name(of: tokenName), limit: TakeoverRecord.largestText)
            .flatMap { TakeoverRecord(text: $0) }
    }

    package func keep(_ record: TakeoverRecord?, for tokenName: String) async {
        guard record == nil || record != kept[tokenName] else { return }
        let fault = await withCheckedContinuation { continuation in
            files.replace(name(of: tokenName), with: record?.text) { continuation.resume(returning: $0) }
        }
        if record != nil, let fault { warn(fault) } else { kept[tokenName] = record }
    }

    private func warn(_ fault: SystemFault) {
        guard !warned else { return }
        warned = true
        log.warning(
            "Token cannot be taken over by the next start",
            metadata: [
                "reason": "\(fault.observed)", "remedy": "\(fault.remedy(directory: files.directory))",
            ])
    }

    private func name(of tokenName: String) -> String {
        "takeover-\(tokenName)"
    }
}

// MARK: The text

extension TakeoverRecord {
    /// In bytes: some hundred sinks, each with two tokens while one is being replaced.
    static let largestText = 128 << 10
    private static let heading = "takeover 2"

    /// `sink token origin parent expiry full flags principal identity`, `-` for what is absent; `?` for a lease that is not known.
    /// The expiry is in nanoseconds since 1970 and since boot, with a slash between. The heading names the boot.
    var text: String {
        let lines = entries.map { entry in
            let lease = entry.lease.map {
                [
                    $0.expiry.map { "\($0.calendar.nanosecondsSince1970)/\($0.sinceBoot.nanoseconds)" } ?? "-",
                    $0.full.map { "\($0.nanoseconds)" } ?? "-",
                    ($0.renewable ? "r" : "") + ($0.limitedUses ? "l" : "") + ".",
                ]
            }
            let digests = [entry.sink, entry.token, entry.origin, entry.parent].map { $0?.hexadecimal ?? "-" }
            let principal = entry.principal.filter { !$0.isNewline && $0 != " " }
            let identity = entry.identity.filter { !$0.isNewline && $0 != " " }
            return (digests + (lease ?? ["?", "?", "?"]) + [principal, identity]).joined(separator: " ")
        }
        return (["\(Self.heading) \(boot ?? "-")"] + lines).joined(separator: "\n") + "\n"
    }

    /// Reads the format before this as well: two digests, of login and token, a line each.
    init?(text: String) {
        var lines = text.split(separator: "\n").map(String.init)
        guard let first = lines.first else { return nil }
        if first.hasPrefix("\(Self.heading) ") {
            let boot = String(lines.removeFirst().dropFirst(Self.heading.utf8.count + 1))
            let entries = lines.map(Entry.init(line:))
            guard entries.allSatisfy({ $0 != nil }) else { return nil }
            self.init(boot: boot == "-" ? nil : boot, entries: entries.compactMap(\.self))
            return
        }
        guard lines.count == 2, let origin = [UInt8](hexadecimal: lines[0]), let token = [UInt8](hexadecimal: lines[1])
        else { return nil }
        self.init(boot: nil, entries: [Entry(token: token, origin: origin)])
    }
}

extension TakeoverRecord.Entry {
    fileprivate init?(line: String) {
        let words = line.split(separator: " ", maxSplits: 8, omittingEmptySubsequences: false).map(String.init)
        guard words.count == 8 || words.count == 9, let token = [UInt8](hexadecimal: words[1]),
            let origin = [UInt8](hexadecimal: words[2])
        else { return nil }
        self.init(
            sink: [UInt8](hexadecimal: words[0]), token: token, origin: origin, parent: [UInt8](hexadecimal: words[3]),
            principal: words[7], identity: words.count == 9 ? words[8] : "")
        guard words[4] != "?" else { return }
        let (expiry, full) = (TakeoverRecord.Moment(text: words[4]), Int64(words[5]))
        guard expiry != nil || words[4] == "-", full != nil || words[5] == "-" else { return nil }
        lease = TakeoverRecord.Lease(
            expiry: expiry, full: full.map { .nanoseconds($0) },
            renewable: words[6].contains("r"), limitedUses: words[6].contains("l"))
    }
}

extension TakeoverRecord.Moment {
    fileprivate init?(text: String) {
        let parts = text.split(separator: "/").map { Int64($0) }
        guard parts.count == 2, let calendar = parts[0], let sinceBoot = parts[1] else { return nil }
        self.init(
            calendar: WallTime(nanosecondsSince1970: calendar), sinceBoot: Instant(nanoseconds: sinceBoot))
    }
}

extension [UInt8] {
    /// Nil unless it is the hexadecimal form of a SHA-256.
    fileprivate init?(hexadecimal text: String) {
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
