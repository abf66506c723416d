// Fuzzing: HTTP as both sides of it read it: a reply's head, and what follows from its fields; a request to our own pages.

import Crypto
import Diagnosis
import Timekeeping

@testable import HTTPClient
@testable import HTTPServer
@testable import VaultAPI

private let now = WallTime(secondsSince1970: 1_795_251_600)

let httpTargets = [
    FuzzTarget("head") { bytes in
        var head = ReplyHead()
        var taken = 0
        // As libcurl delivers them: whole lines, each with its end. A small input stands for a long reply as well.
        for _ in 0..<(bytes.first == 0x2B ? 64 : 1) {
            for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map({ $0 + [0x0A] }) {
                let fits = unsafe line.withUnsafeBytes { unsafe head.take(line: $0) }
                insist(fits == (taken + line.count <= ReplyHead.limit), "the limit: \(taken) and \(line.count) bytes")
                if fits { taken += line.count }
            }
        }
        for field in head.fields {
            insist(field.name == field.name.lowercased(), "a field's name: \(field.name.debugDescription)")
            insist(!field.name.contains(":"), "a field's name: \(field.name.debugDescription)")
            for text in [field.name, field.value] {
                insist(text.utf8.first.map { $0 > 0x20 } ?? true, "blank before: \(text.debugDescription)")
                insist(text.utf8.last.map { $0 > 0x20 } ?? true, "blank behind: \(text.debugDescription)")
            }
        }
        let reply = HTTPReply(
            status: 429, headers: head.fields, body: Secret(text: ""), sentAt: Instant(nanoseconds: 1))
        let context = AnswerContext(
            operation: .allCases[0], address: "https://vault:8200", mount: "auth/aws", role: "app", namespace: "")
        let (error, _) = context.verdict(on: reply, sent: [], at: now)
        insist(error)
        insist(error.retryAfter.map { .zero...(.seconds(3_600)) ~= $0 } ?? true, "a pause: \(error.retryAfter as Any)")
        if let date = reply.header("date").flatMap({ WallTime(httpDate: $0) }) {
            insist(WallTime(rfc3339: date.rfc3339) == date, "\(date.rfc3339) is another date")
        }
    },
    FuzzTarget("request") { bytes in
        switch RequestReading(bytes) {
        case .incomplete: insist(bytes.count < RequestReading.longestHeader, "more is waited for")
        case .refused: break
        case .whole(let request):
            insist(!request.path.contains("?"), "a path: \(request.path.debugDescription)")
            insist(!request.path.utf8.contains(0x20), "a path: \(request.path.debugDescription)")
            for versions in [nil, ["1.0.0"]] as [Set<String>?] {
                let wish = request.preference(for: "application/openmetrics-text", versions: versions)
                insist(0...1 ~= wish, "a wish: \(wish)")
            }
        }
    },
]
