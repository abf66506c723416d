// HTTPServer: what a client is told. Pure.

package struct ServerReply: Hashable, Sendable {
    package enum Status: String, Hashable, Sendable {
        case good = "200 OK"
        case notUnderstood = "400 Bad Request"
        case notFound = "404 Not Found"
        case methodNotAllowed = "405 Method Not Allowed"
        case headerTooLong = "431 Request Header Fields Too Large"
        case unavailable = "503 Service Unavailable"
    }

    package static let plainText = "text/plain; charset=utf-8"

    package var status: Status
    package var text: String
    package var type: String

    package init(_ status: Status, _ text: String, type: String = plainText) {
        self.status = status
        self.text = text
        self.type = type
    }

    /// A refusal that says no more than its status.
    package init(_ status: Status) {
        self.init(status, "\(status.rawValue)\n")
    }

    /// The whole reply; the connection ends with it.
    func bytes(withBody: Bool = true) -> [UInt8] {
        let allow = status == .methodNotAllowed ? "Allow: GET, HEAD\r\n" : ""
        let head =
            "HTTP/1.1 \(status.rawValue)\r\nContent-Type: \(type)\r\nContent-Length: \(text.utf8.count)\r\n"
            + "Cache-Control: no-store\r\n\(allow)Connection: close\r\n\r\n"
        return Array((withBody ? head + text : head).utf8)
    }
}
