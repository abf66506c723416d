// HTTPServer: what a client's bytes ask for: the little of HTTP/1.1 that it takes. Pure.

private import Diagnosis

/// One request, as far as anybody here asks: of its fields `Accept` alone counts.
package struct ServerRequest: Hashable, Sendable {
    /// Without the query: `/readyz?verbose` is `/readyz`.
    package let path: String
    /// The field `Accept`; empty: there is none.
    package let accept: String
    /// A HEAD, which wants no body.
    let isHead: Bool

    package init(path: String, accept: String = "", isHead: Bool = false) {
        self.path = path
        self.accept = accept
        self.isHead = isHead
    }

    /// How much the client wants this type, from 0 to 1 (RFC 9110, 12.5.1). `versions`: those of its parameter `version` that
    /// count, a type without one included; nil: whatever it is.
    package func preference(for type: String, versions: Set<String>? = nil) -> Double {
        accept.split(separator: ",").reduce(0.0) { best, range in
            let parts = range.split(separator: ";").map { Self.trimmed($0) }
            guard parts.first?.lowercased() == type else { return best }
            var weight = 1.0
            for parameter in parts.dropFirst() {
                let pair = parameter.split(separator: "=", maxSplits: 1).map { Self.trimmed($0) }
                guard pair.count == 2 else { continue }
                switch pair[0].lowercased() {
                case "q": weight = min(1, max(0, Double(pair[1]) ?? 0))
                case "version": if let versions, !versions.contains(pair[1].filter { $0 != "\"" }) { return best }
                default: break
                }
            }
            return max(best, weight)
        }
    }

    private static func trimmed(_ text: Substring) -> String {
        var rest = text
        while rest.first == " " || rest.first == "\t" { rest.removeFirst() }
        while rest.last == " " || rest.last == "\t" { rest.removeLast() }
        return String(rest)
    }
}

/// What has come of a request so far.
enum RequestReading: Equatable {
    /// The header's end has not come yet.
    case incomplete
    case whole(ServerRequest)
    case refused(ServerReply.Status)

    /// Longest header in bytes; Prometheus sends some 500.
    static let longestHeader = 8_192

    init(_ bytes: [UInt8]) {
        let head = bytes.prefix(Self.longestHeader)
        guard let length = head.span.firstOffset(of: "\r\n\r\n".utf8.span) else {
            self = bytes.count >= Self.longestHeader ? .refused(.headerTooLong) : .incomplete
            return
        }
        var lines = String(decoding: head.prefix(length), as: UTF8.self)
            .split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        let words = (lines.popFirst() ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else {
            self = .refused(.notUnderstood)
            return
        }
        guard words[0] == "GET" || words[0] == "HEAD" else {
            self = .refused(.methodNotAllowed)
            return
        }
        let accept = lines.compactMap { line -> Substring? in
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == "accept" else { return nil }
            return line[line.index(after: colon)...]
        }
        self = .whole(
            ServerRequest(
                path: String(words[1].prefix { $0 != "?" }), accept: accept.joined(separator: ","),
                isHead: words[0] == "HEAD"))
    }
}
