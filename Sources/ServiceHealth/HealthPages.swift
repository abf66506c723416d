// ServiceHealth: what the health server says, and the little of HTTP/1.1 it takes to say it. Pure.

private import Diagnosis
package import Timekeeping

/// The pages of the health server.
package enum HealthPage: String, CaseIterable, Hashable, Sendable {
    case metrics = "/metrics"
    /// Whether the agent works: 200 whenever it answers. For liveness probes: no outage elsewhere makes it fail.
    case liveness = "/healthz"
    /// Whether every sink holds a valid token: 200 or 503.
    case readiness = "/readyz"
}

/// A page's content.
package struct HealthAnswer: Hashable, Sendable {
    package var good: Bool
    package var text: String

    /// The page as the agent's state has it.
    package init(_ page: HealthPage, _ health: AgentHealth, _ metrics: Metrics, at now: WallTime) {
        switch page {
        case .metrics: (good, text) = (true, metrics.text(health, at: now))
        case .liveness: (good, text) = (true, "ok\n")
        case .readiness: (good, text) = (health.ready, health.statusLine(at: now) + "\n")
        }
    }
}

/// What a client's bytes ask for.
enum HealthRequest: Equatable {
    /// The header's end has not come yet.
    case incomplete
    case page(HealthPage, withBody: Bool)
    case refused(HealthStatus)

    /// Longest header in bytes; Prometheus sends some 300.
    static let longestHeader = 8_192

    /// Reads a request's header. Its fields mean nothing here, and neither does a query: `/readyz?verbose` is `/readyz`.
    init(_ bytes: [UInt8]) {
        let head = bytes.prefix(Self.longestHeader)
        guard let end = head.firstRange(of: Array("\r\n\r\n".utf8)) else {
            self = bytes.count >= Self.longestHeader ? .refused(.headerTooLong) : .incomplete
            return
        }
        let header = head[..<end.lowerBound]
        let line = header.split(separator: UInt8(ascii: "\r"), maxSplits: 1, omittingEmptySubsequences: false)[0]
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        guard words.count == 3, words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else {
            self = .refused(.notUnderstood)
            return
        }
        guard words[0] == "GET" || words[0] == "HEAD" else {
            self = .refused(.methodNotAllowed)
            return
        }
        let path = words[1].prefix { $0 != "?" }
        guard let page = HealthPage(rawValue: String(path)) else {
            self = .refused(.notFound)
            return
        }
        self = .page(page, withBody: words[0] == "GET")
    }
}

enum HealthStatus: String {
    case good = "200 OK"
    case notUnderstood = "400 Bad Request"
    case notFound = "404 Not Found"
    case methodNotAllowed = "405 Method Not Allowed"
    case headerTooLong = "431 Request Header Fields Too Large"
    case unready = "503 Service Unavailable"

    /// The whole reply; the connection ends with it.
    func reply(_ text: String, type: String = "text/plain; charset=utf-8", withBody: Bool = true) -> [UInt8] {
        let allow = self == .methodNotAllowed ? "Allow: GET, HEAD\r\n" : ""
        let head =
            "HTTP/1.1 \(rawValue)\r\nContent-Type: \(type)\r\nContent-Length: \(text.utf8.count)\r\n"
            + "Cache-Control: no-store\r\n\(allow)Connection: close\r\n\r\n"
        return Array((withBody ? head + text : head).utf8)
    }
}

extension HealthRequest {
    /// The reply's bytes; nil while the request is incomplete.
    func reply(_ answer: (HealthPage) -> HealthAnswer) -> [UInt8]? {
        switch self {
        case .incomplete: return nil
        case .refused(let status): return status.reply("\(status.rawValue)\n")
        case .page(let page, let withBody):
            let content = answer(page)
            let type = page == .metrics ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain; charset=utf-8"
            return (content.good ? HealthStatus.good : .unready).reply(content.text, type: type, withBody: withBody)
        }
    }
}
