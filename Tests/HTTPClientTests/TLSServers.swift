// Test support: the HTTPS servers of Servers/tls_servers.py, started once for all tests.

import Crypto
import Glibc
import HTTPClient

final class TLSServers: Sendable {
    struct NotReady: Error {}

    private let helper: Helper
    private let ports: [String: Int]
    /// Where the certificates are.
    let directory: String

    static let shared = Result { try TLSServers() }

    private init() throws {
        let script = String(#filePath.prefix(through: #filePath.lastIndex(of: "/") ?? #filePath.startIndex))
        helper = try Helper(["python3", "-W", "ignore", script + "Servers/tls_servers.py"])
        var ports: [String: Int] = [:]
        var directory: String?
        while let line = helper.line(), line != "ready" {
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            if words[0] == "dir" { directory = words[1] } else { ports[words[0]] = Int(words[1]) }
        }
        guard let directory, !ports.isEmpty else { throw NotReady() }
        (self.ports, self.directory) = (ports, directory)
    }

    func port(_ name: String) -> Int { ports[name] ?? 0 }

    func has(_ name: String) -> Bool { ports[name] != nil }

    func url(_ name: String) -> String { "https://127.0.0.1:\(port(name))" }

    func path(_ file: String) -> String { "\(directory)/\(file)" }

    /// Trust in the CA `main`.
    var trusting: TLSSettings {
        var settings = TLSSettings()
        settings.caFile = path("main.pem")
        return settings
    }

    func trusting(_ change: (inout TLSSettings) -> Void) -> TLSSettings {
        var settings = trusting
        change(&settings)
        return settings
    }
}

/// What a server of tls_servers.py says it saw.
struct Seen {
    let request: String
    let version: String
    let serverName: String
    let host: String
    let clientName: String
    let token: String
    let connection: Int

    init(_ reply: HTTPReply) {
        let lines =
            reply.body.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            + Array(repeating: "", count: 7)
        (request, version, serverName, host) = (lines[0], lines[1], lines[2], lines[3])
        (clientName, token, connection) = (lines[4], lines[5], Int(lines[6]) ?? 0)
    }
}

/// Puts a file in another's place, as a certificate's renewal does.
func replace(_ path: String, byCopyOf original: String) throws {
    let copy = path + ".new"
    let source = unsafe open(original, O_RDONLY | O_CLOEXEC)
    let target = unsafe open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    defer {
        close(source)
        close(target)
    }
    var part = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe read(source, &part, part.count)
    guard count > 0, unsafe write(target, part, count) == count, unsafe rename(copy, path) == 0 else {
        throw TLSServers.NotReady()
    }
}
